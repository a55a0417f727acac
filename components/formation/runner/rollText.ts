import type { Directive } from "../../config/types";
import { rollingOrder } from "../outline";

/** Of a machine that may roll: what its preview tells. */
export interface Rolling {
  readonly cluster: string;
  readonly boot: readonly Directive[];
  /** Default: 1. */
  readonly shardsAtOnce?: number;
}

/** What a reader is told of a part of a machine; of any other, "another address or port". */
const REASONS: Readonly<Record<string, string>> = {
  volume: "another data folder",
  containerId: "another container",
};

/** Lines of this process that a reader has seen: all nodes of a cluster usually roll for the same reason. */
const said = new Set<string>();

/**
 * What a reader of the preview sees beside "replace", which sounds like lost data. An engine's change is told by the
 * formation, which knows more of it.
 */
export function sayWhyItRolls(olds: Rolling, news: Rolling, changed: readonly string[]): void {
  if (changed.length === 0 || changed.includes("engine")) return;
  const reasons = changed.flatMap((what) => {
    if (what === "boot") return changedDirectives(olds, news);
    return [REASONS[what] ?? "another address or port"];
  });
  const text = [
    `${news.cluster}: ${[...new Set(reasons)].join(", ")}: takes a restart`,
    `  nodes restart in place, ${rollingOrder(news.shardsAtOnce ?? 1)}, replicas before leaders${changed.includes("boot") && changed.length === 1 ? ", each with its data and address" : ""}`,
    "  `replace` below means: stopped and started again by the same name; volumes stay, and a node that is not back in sync stops the roll",
    "  clients: connections to a node end when it restarts; a leader hands over to a replica in sync first, a pause of milliseconds for its slots, and leadership returns where one zone would lead too many; a shard without replicas pauses until its node is back",
    "  survives: before and afterwards as now; while a node restarts, its shard has one copy less, and with a single replica the other node holds the only one",
  ].join("\n");
  if (said.has(text)) return;
  said.add(text);
  console.log(text);
}

function changedDirectives(olds: Rolling, news: Rolling): string[] {
  const values = ({ boot }: Rolling) => {
    const byName = new Map<string, string[]>();
    for (const { name, value } of boot) byName.set(name, [...(byName.get(name) ?? []), JSON.stringify(value)]);
    return byName;
  };
  const [before, now] = [values(olds), values(news)];
  return [...new Set([...before.keys(), ...now.keys()])].sort().flatMap((name) => {
    const [was, is] = [before, now].map((all) => all.get(name)?.join(" "));
    return was === is ? [] : [`${name} ${was ?? "not declared"} → ${is ?? "not declared"}`];
  });
}
