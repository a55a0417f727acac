import type { TlsSpec } from "../spec/spec";
import type { CertificatesGoal } from "./certificates";
import type { FormationGoal } from "./goal";

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

const latestOf = ({ issued }: CertificatesGoal) => Math.max(...issued.authorities.map(({ generation }) => generation));

/** What clients notice of TLS: whom it shuts out, and what they have to take meanwhile. */
export function effectOnTrust(before: FormationGoal, goal: FormationGoal): string[] {
  const [was, is] = [before.certificates, goal.certificates];
  const auth = (of: FormationGoal) => of.settings["tls-auth-clients"];
  const closes = Object.entries(goal.endpoints).some(
    ([name, endpoint]) => before.endpoints[name]?.plainPort !== undefined && endpoint.plainPort === undefined,
  );
  return [
    ...(was && is && is.oldest > was.oldest
      ? ["whoever shows a certificate of the former authority is shut out, at the next connection"]
      : []),
    ...(was && is && is.shown !== was.shown
      ? ["whoever does not trust the later authority (output caCertificatePem) cannot connect anew"]
      : []),
    ...(was && is && latestOf(is) > latestOf(was)
      ? [
          `nothing yet: they have ${is.overlapSeconds} s to take the outputs caCertificatePem and credentials, before nodes show what is new`,
        ]
      : []),
    ...(auth(before) !== auth(goal) && auth(goal) === "yes"
      ? ["whoever shows no certificate is shut out, at the next connection"]
      : []),
    ...(closes ? ["whoever comes without TLS is shut out, at the next connection"] : []),
  ];
}

/** What changes of certificates, without any of them. */
export function changedCertificates(
  before: CertificatesGoal | undefined,
  goal: CertificatesGoal | undefined,
): string[] {
  if (!before || !goal) return [];
  const shown = (of: CertificatesGoal, node: string) => of.issued.nodes[node]?.find((c) => c.authority === of.shown);
  const renewed = Object.keys(goal.issued.nodes).filter((node) => {
    const was = shown(before, node);
    return was !== undefined && was.fingerprint !== shown(goal, node)?.fingerprint;
  });
  const changes: string[] = [];
  if (latestOf(goal) > latestOf(before))
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
  if (goal.oldest > before.oldest && goal.oldest === latestOf(before))
    changes.push("the former authority is trusted no more: a client that shows a certificate of it is refused");
  return changes;
}
