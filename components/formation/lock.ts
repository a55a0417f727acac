import { setTimeout } from "node:timers/promises";
import { hostAndPort, type NodeEndpoint } from "../config/types";
import { LOOK_MILLISECONDS } from "./observe";
import type { Connections } from "./wire";

/**
 * One actor at a time. Executors name their connections; the one whose connection to the first answering node is the
 * oldest goes on, any other waits, then refuses. The lock lives and dies with the connection, so a killed run leaves none.
 */
export const EXECUTOR_PREFIX = "pulumi-redis-cluster:executor:";

export class AnotherActor extends Error {
  constructor(seen: ConnectedExecutor) {
    super(
      `another run (${seen.name}, connected from ${seen.address} for ${seen.ageSeconds} s) is changing this cluster; ` +
        "wait for it to end, or end it, and run `up` again",
    );
    this.name = "AnotherActor";
  }
}

interface ConnectedExecutor {
  readonly id: number;
  readonly name: string;
  readonly address: string;
  readonly ageSeconds: number;
}

/** Everybody asks the same node first, whatever part of the cluster they act on. */
export function lockOrder(endpoints: readonly NodeEndpoint[]): NodeEndpoint[] {
  return [...endpoints].sort((a, b) => (hostAndPort(a) < hostAndPort(b) ? -1 : 1));
}

/** The executor that is ahead of us, if any. Nodes are asked in the order given; the first that answers decides. */
export async function executorAhead(
  endpoints: readonly NodeEndpoint[],
  connections: Connections,
): Promise<ConnectedExecutor | undefined> {
  for (const endpoint of endpoints) {
    const [own, list] = await connections.send(
      endpoint,
      [
        ["CLIENT", "ID"],
        ["CLIENT", "LIST", "TYPE", "NORMAL"],
      ],
      { withinMilliseconds: LOOK_MILLISECONDS },
    );
    if (!own?.ok || !list?.ok) continue;
    const others = parseClientList(String(list.value)).filter(
      (c) => c.name.startsWith(EXECUTOR_PREFIX) && c.name !== connections.clientName,
    );
    return others.filter((c) => c.id < Number(own.value)).sort((a, b) => a.id - b.id)[0];
  }
  return undefined;
}

/** Waits until nobody is ahead. @throws AnotherActor after `patienceMilliseconds` */
export async function takeTurn(
  endpoints: readonly NodeEndpoint[],
  connections: Connections,
  patienceMilliseconds: number,
  onWait: (line: string) => void,
): Promise<void> {
  const until = Date.now() + patienceMilliseconds;
  let said = false;
  for (;;) {
    const ahead = await executorAhead(endpoints, connections);
    if (!ahead) return;
    if (Date.now() >= until) throw new AnotherActor(ahead);
    if (!said) onWait(`waiting for another run to end (connected from ${ahead.address})`);
    said = true;
    await setTimeout(200);
  }
}

function parseClientList(text: string): ConnectedExecutor[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const fields = new Map(
        line.split(" ").map((field) => [field.slice(0, field.indexOf("=")), field.slice(field.indexOf("=") + 1)]),
      );
      return {
        id: Number(fields.get("id")),
        name: fields.get("name") ?? "",
        address: fields.get("addr") ?? "",
        ageSeconds: Number(fields.get("age")),
      };
    });
}
