import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { keySlot } from "../spec/keySlot";
import type { FormationGoal } from "./goal";
import type { ShardLayout } from "./layout";
import { type Access, openClusterClient } from "./wire";

/** A probe key that outlives a killed run is gone after this long by itself. */
const PROBE_TTL_MILLISECONDS = 60_000;

/**
 * Answers that pass by themselves right after a change: replicas that have linked up and not reported yet (where writes need
 * them), a failover that not everybody has heard of. Some of them the client asks about again itself, for a shorter time, and then says
 * which was the last.
 */
const PASSES =
  /^(Too many Cluster redirections\. Last error: ReplyError: )?(NOREPLICAS|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|LOADING|MOVED)\b/;
const PATIENCE_MILLISECONDS = 10_000;
const PAUSE_MILLISECONDS = 100;

/** Asks again for as long as the answer is one that passes. @throws the last answer */
async function insist<T>(ask: () => Promise<T>): Promise<T> {
  for (const until = Date.now() + PATIENCE_MILLISECONDS; ; await setTimeout(PAUSE_MILLISECONDS)) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof Error) || !PASSES.test(error.message) || Date.now() >= until) throw error;
    }
  }
}

/**
 * Writes, reads and removes one key in every shard (with `read` only asks for one that nobody has), through an ordinary cluster client that knows one node only and
 * finds the rest by itself, as an application does.
 * @throws Error that names the shard and the server's answer
 */
export async function probe(
  goal: FormationGoal,
  layout: readonly ShardLayout[],
  access: Access,
  clientName: string,
  how: "write" | "read" = "write",
): Promise<void> {
  const seeds = Object.values(goal.endpoints);
  const { client, ready, close } = openClusterClient(seeds, access, clientName);
  const errors: string[] = [];
  let clientError: Error | undefined;
  client.on("error", (error: Error) => {
    clientError = error;
  });
  try {
    await ready();
    const token = randomUUID();
    await Promise.all(
      layout.map(async ({ planned, slots }) => {
        const slot = slots[0]?.start;
        if (slot === undefined) return;
        const key = keyInSlot(slot, token);
        try {
          if (how === "read") {
            await insist(() => client.get(key));
            return;
          }
          await insist(() => client.set(key, token, "PX", PROBE_TTL_MILLISECONDS));
          const read = await insist(() => client.get(key));
          if (read !== token) errors.push(`${planned.name}: a key just written read back as ${JSON.stringify(read)}`);
          await insist(() => client.del(key));
        } catch (error) {
          errors.push(`${planned.name}: ${error instanceof Error ? error.message : String(error)}`);
        }
      }),
    );
  } catch (error) {
    errors.push(clientError?.message ?? (error instanceof Error ? error.message : String(error)));
  } finally {
    close();
  }
  if (errors.length > 0)
    throw new Error(`the cluster is formed, but a client cannot use all of it: ${errors.sort().join("; ")}`);
}

function keyInSlot(slot: number, token: string): string {
  for (let n = 0; ; n++) {
    const tag = n.toString(36);
    if (keySlot(`{${tag}}`) === slot) return `pulumi-redis-cluster:probe:{${tag}}:${token}`;
  }
}
