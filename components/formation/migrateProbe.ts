import { setTimeout } from "node:timers/promises";
import type { NodeEndpoint } from "../config/types";
import { type MigrationContext, MoveRefused } from "./migrateContext";
import type { Pace } from "./migratePace";
import { parseInfo } from "./observe";
import type { MigrateSlots } from "./rebalance";
import type { Connections } from "./wire";

const PING_EVERY_MILLISECONDS = 40;
/** Looking at the target's memory costs it a little; between two looks no more than a few megabytes move. */
const MEMORY_EVERY_MILLISECONDS = 200;
/** Above this the target would soon refuse keys, or evict others to make room for them. */
const FULL = 0.97;

/**
 * Watches both ends of a move on connections of its own: how long a client waits there, and whether the target has room.
 */
export class Probe {
  readonly #step: MigrateSlots;
  readonly #source: NodeEndpoint;
  readonly #pace: Pace;
  readonly #apart: Connections;
  #running: Promise<void> | undefined;
  #ended = false;
  #refusal: MoveRefused | undefined;

  constructor(step: MigrateSlots, source: NodeEndpoint, context: MigrationContext, pace: Pace) {
    this.#step = step;
    this.#source = source;
    this.#pace = pace;
    this.#apart = context.connections.another();
  }

  start(): void {
    this.#running = this.#watch();
  }

  async stop(): Promise<void> {
    this.#ended = true;
    this.#apart.close();
    await this.#running;
  }

  /** @throws MoveRefused when the target was seen to be full since it was asked last */
  check(): void {
    if (this.#refusal) throw this.#refusal;
  }

  /** For a target that refused keys for lack of memory before it was looked at. */
  static async noRoom(step: MigrateSlots, context: MigrationContext): Promise<MoveRefused> {
    return (await refusalFor(step, context.connections)) ?? noMemory(step, "has no memory left for more keys");
  }

  async #watch(): Promise<void> {
    let looked = Date.now();
    while (!this.#ended) {
      const waits = await Promise.all([this.#source, this.#step.toEndpoint].map((endpoint) => this.#ping(endpoint)));
      if (this.#ended) return;
      this.#pace.pinged(Math.max(...waits));
      if (Date.now() - looked >= MEMORY_EVERY_MILLISECONDS) {
        looked = Date.now();
        this.#refusal = await refusalFor(this.#step, this.#apart);
      }
      await setTimeout(PING_EVERY_MILLISECONDS, undefined, { ref: false });
    }
  }

  async #ping(endpoint: NodeEndpoint): Promise<number> {
    const began = performance.now();
    const [answer] = await this.#apart.send(endpoint, [["PING"]]);
    return answer?.ok ? performance.now() - began : 0;
  }
}

/** @throws MoveRefused where the target is full already */
export async function refuseWithoutRoom(step: MigrateSlots, connections: Connections): Promise<void> {
  const refusal = await refusalFor(step, connections);
  if (refusal) throw refusal;
}

async function refusalFor(step: MigrateSlots, connections: Connections): Promise<MoveRefused | undefined> {
  const [answer] = await connections.send(step.toEndpoint, [["INFO", "memory"]]);
  if (!answer?.ok) return undefined;
  const fields = parseInfo(String(answer.value));
  const [used, most] = [Number(fields["used_memory"] ?? 0), Number(fields["maxmemory"] ?? 0)];
  if (most === 0 || used <= most * FULL) return undefined;
  const mib = (bytes: number) => `${Math.ceil(bytes / 1024 / 1024)} MiB`;
  return noMemory(
    step,
    `uses ${mib(used)} of its maxmemory of ${mib(most)}, more than the ${FULL * 100} % that a move may fill`,
  );
}

function noMemory(step: MigrateSlots, what: string): MoveRefused {
  return new MoveRefused({
    kind: "no-memory",
    subject: step.to,
    message: `${step.to} ${what}; slots of ${step.node} stay where they are`,
    remedy: "raise maxmemory (with machines that have it) or keep more masters, and run `up` again",
  });
}
