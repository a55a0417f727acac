import type { ResourceRunner } from "../../cluster/shim";
import type { CertificatesInputs, CertificateTable } from "../../security/certificates";
import { nextTable } from "../../security/nextTable";
import { renamed } from "../../spec/renamed";
import { sorted } from "./formation";
import { notedAuthority } from "./knowledge";
import { withoutUndefined } from "./partialFailure";
import { hasUnknown, UNKNOWN } from "./unknowns";

/**
 * Keeps the certificates of a cluster in the stack's state, as a secret, and makes and renews them. It speaks to nobody: formation brings
 * them to the nodes. As with passwords, `check` makes them, so that what depends on them is known in previews; what a preview makes is
 * thrown away.
 */
export const certificatesRunner: ResourceRunner<CertificatesInputs, CertificatesInputs> = {
  async check(olds, news) {
    const name = renamed(olds.cluster, news.cluster);
    if (name)
      return {
        inputs: { ...news, table: olds.table ?? (UNKNOWN as unknown as CertificateTable) },
        failures: [{ property: "cluster", reason: name }],
      };
    if (hasUnknown(news)) return { inputs: { ...news, table: UNKNOWN as unknown as CertificateTable }, failures: [] };
    const { table, problems } = await nextTable(olds, news, new Date(), notedAuthority(news.cluster));
    return { inputs: { ...news, table }, failures: [...problems] };
  },

  async diff(_id, olds, news) {
    const changes = JSON.stringify(sorted(declared(olds))) !== JSON.stringify(sorted(declared(news)));
    return { changes, replaces: [] };
  },

  async create(inputs) {
    return { id: `${inputs.cluster}-certificates`, outs: withoutUndefined({ ...inputs }) };
  },

  async read(id, props) {
    return { id, props };
  },

  async update(_id, _olds, news) {
    return { outs: withoutUndefined({ ...news }) };
  },

  async delete() {
    // There is nothing but the state.
  },
};

function declared({ nodes, clients, rotation, authorityRotation, days, given, table }: CertificatesInputs): unknown {
  return withoutUndefined({ nodes, clients, rotation, authorityRotation, days, given, table });
}
