import type { TlsSpec } from "../spec/spec";
import type { CertificatesGoal } from "./certificates";

/** What formation is told of TLS beside the certificates. */
export interface TlsInput {
  /** Whether clients show a certificate too, `tls-auth-clients`. */
  readonly clientAuth: TlsSpec["clientAuth"];
  /** How long clients have to take what is new, when the authority changes. */
  readonly overlapSeconds: number;
}

const CLIENT_AUTH: Readonly<Record<TlsSpec["clientAuth"], string>> = {
  yes: "clients show a certificate too",
  optional: "clients may show a certificate",
  no: "clients need no certificate",
};

/** How a cluster that is to be formed speaks. */
export function describeTls({ clientAuth }: TlsInput, hasPlainPort: boolean): string {
  const plain = hasPlainPort ? "clients may come without TLS too (plainPort)" : "nobody comes in without TLS";
  return `TLS: for clients, replication and the cluster bus; ${CLIENT_AUTH[clientAuth]}, nodes to each other always; ${plain}`;
}

/** What changes of certificates, without any of them. */
export function changedCertificates(
  before: CertificatesGoal | undefined,
  goal: CertificatesGoal | undefined,
): string[] {
  if (!before || !goal) return [];
  const latest = (of: CertificatesGoal) => Math.max(...of.issued.authorities.map(({ generation }) => generation));
  const shown = (of: CertificatesGoal, node: string) => of.issued.nodes[node]?.find((c) => c.authority === of.shown);
  const renewed = Object.keys(goal.issued.nodes).filter((node) => {
    const was = shown(before, node);
    return was !== undefined && was.fingerprint !== shown(goal, node)?.fingerprint;
  });
  const changes: string[] = [];
  if (latest(goal) > latest(before))
    changes.push(
      "another authority: every node trusts it beside the former; nodes show its certificates, and then trust it alone, with the first `up` each that comes after the overlap",
    );
  if (goal.shown !== before.shown)
    changes.push("nodes show certificates of the later authority, which clients have to trust by now");
  else if (renewed.length > 0) {
    const all = renewed.length === Object.keys(goal.issued.nodes).length;
    const until = renewed.flatMap((node) => shown(goal, node)?.notAfter ?? []).sort()[0] ?? "";
    changes.push(
      `certificates renewed, until ${until.slice(0, 10)}: ${all ? `all ${renewed.length} nodes` : renewed.join(", ")}`,
    );
  }
  if (goal.oldest > before.oldest && goal.oldest === latest(before))
    changes.push("the former authority is trusted no more: a client that shows a certificate of it is refused");
  return changes;
}
