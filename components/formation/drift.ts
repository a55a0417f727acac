import { assess, type Finding, type FindingKind } from "./assess";
import type { FormationGoal, Member } from "./goal";
import { answering, type ClusterObservation } from "./observation";

/** What a difference is about, in the order in which a reader wants to know. */
const TOPICS = ["node", "member", "slots", "role", "setting", "user", "certificate"] as const;
type Topic = (typeof TOPICS)[number];

const TOPIC_OF: Record<FindingKind, Topic> = {
  "silent-node": "node",
  "not-cluster-mode": "node",
  "version-mix": "node",
  "other-address": "node",
  "name-unheard": "node",
  "replica-link": "node",
  "state-fail": "node",
  "duplicate-id": "member",
  "foreign-node": "member",
  "stale-id": "member",
  "not-joined": "member",
  "flagged-node": "member",
  "leaving-node": "member",
  "views-differ": "member",
  "slots-unowned": "slots",
  "slots-contested": "slots",
  "open-slot": "slots",
  uneven: "slots",
  "no-leader": "role",
  "stray-node": "role",
  "second-owner": "role",
  "led-from-elsewhere": "role",
  "shard-in-one-zone": "role",
  "crowded-zone": "role",
  "setting-differs": "setting",
  "user-differs": "user",
  "certificate-differs": "certificate",
};

/**
 * Where the live cluster differs from what is declared, as a refresh shows it: one line for each difference, sorted, the
 * same text as long as the difference is the same. Empty where `assess` finds nothing, and only there.
 */
export function describeDrift(
  goal: FormationGoal,
  members: readonly Member[],
  observation: ClusterObservation,
): string[] {
  const findings = assess(goal, members, observation);
  const causes = findings.filter((f) => !isConsequence(f, findings, observation));
  const lines = groupFindings(causes.length > 0 ? causes : findings, answering(observation).length).map(
    ({ kind, text }) => ({ topic: TOPIC_OF[kind], text: kind === "foreign-node" ? withoutKnowers(text) : text }),
  );
  lines.sort(
    (a, b) =>
      TOPICS.indexOf(a.topic) - TOPICS.indexOf(b.topic) || a.text.localeCompare(b.text, "en", { numeric: true }),
  );
  return lines.map(({ topic, text }) => `${topic}: ${text}`);
}

/**
 * What follows from another difference goes without saying, and comes and goes while the nodes notice: a node that does
 * not answer is doubted by the others, and views differ until everybody has heard.
 */
function isConsequence(finding: Finding, all: readonly Finding[], observation: ClusterObservation): boolean {
  const others = (...kinds: FindingKind[]) => all.some((f) => kinds.includes(f.kind));
  const silent = observation.nodes.some((n) => !n.answering);
  switch (finding.kind) {
    case "flagged-node":
      return silent || others("foreign-node", "stale-id");
    case "not-joined":
      return others("foreign-node");
    case "name-unheard":
      return silent || others("setting-differs", "not-joined");
    case "views-differ":
      return silent || others("foreign-node", "stale-id", "not-joined", "slots-contested", "open-slot");
    case "replica-link":
    case "state-fail":
      return silent;
    default:
      return false;
  }
}

/** Who has heard of a foreign node grows by gossip while one looks. */
function withoutKnowers(text: string): string {
  return text.replace(/^.* knows? (node \S+ at .+), which is not of this cluster$/, "foreign $1 is in the cluster");
}

/** What several nodes say alike is one line. */
export function groupFindings(findings: readonly Finding[], nodes: number): { kind: FindingKind; text: string }[] {
  const groups = new Map<string, Finding[]>();
  for (const finding of findings) {
    const key = finding.shared === undefined ? finding.message : `${finding.kind} ${finding.shared}`;
    groups.set(key, [...(groups.get(key) ?? []), finding]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    const { kind, shared } = first;
    if (group.length === 1 || shared === undefined) return [{ kind, text: first.message }];
    const names = group.map((f) => f.subject);
    const who = names.length === nodes ? `all ${nodes} nodes that answer` : names.join(", ");
    return [{ kind, text: `${who} ${shared}` }];
  });
}
