import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import type { Redis } from "ioredis";
import { keySlot } from "../../components/spec/keySlot";
import type { DeclaredCluster } from "./declared";

/**
 * How the replica is lost before its master is.
 * - `link`: it freezes and its connection is dropped: the master knows.
 * - `frozen`: it freezes with its connection intact: the master sees it fall behind.
 */
export type Fault = "link" | "frozen";

export interface Acknowledged {
  readonly fault: Fault;
  /** `min-replicas-to-write` and `min-replicas-max-lag`, as the servers report them. */
  readonly guard: { readonly replicas: number; readonly lagSeconds: number };
  /** Writes that the master acknowledged after the fault. */
  readonly afterFault: number;
  /** From the fault to the last of them, in milliseconds. */
  readonly windowMilliseconds: number;
  /** Acknowledged writes that the shard's next master does not have. */
  readonly lost: number;
  /** Writes of which WAIT said that a replica has them; and how many of these are gone. */
  readonly confirmed: number;
  readonly confirmedLost: number;
  /** The master refused writes for the lack of a replica. */
  readonly refused: boolean;
}

/** Writes sent in one go (and before each WAIT), and how long the unguarded master is written to after the fault. */
const BATCH = 50;
const CONFIRMED_BATCH = 5;
const CONFIRMED_BEFORE = 300;
const UNGUARDED_MILLISECONDS = 3_000;
const WAIT_MILLISECONDS = 50;

/**
 * Writes to one shard without a pause from before the fault on; freezes its replica, drops its link or not, waits until
 * the guard refuses (without one: a while), kills the master with SIGKILL, lets the replica go on and take over, and looks for
 * every write that was acknowledged. A plain SIGKILL of the master would lose nothing, since the kernel still delivers what was sent.
 */
export async function loseMaster(cluster: DeclaredCluster, fault: Fault): Promise<Acknowledged> {
  const { leader, replicas } = (await cluster.layout())[0] ?? {};
  const [replica] = replicas ?? [];
  if (!leader || !replica) throw new Error("the first shard has no master with a replica");
  const frozen = cluster.server(replica.name).process;
  const guard = await guardOf(cluster, leader.name);
  const tag = keyTag(cluster);
  const stream = new Writer(cluster, leader.name, `{${tag}}:stream`, false);
  const careful = new Writer(cluster, leader.name, `{${tag}}:careful`, true);
  try {
    await until(() => stream.written.length >= 20 * BATCH && careful.written.length >= CONFIRMED_BEFORE);
    frozen.kill("SIGSTOP");
    // In force when it was taken up: a signal that was sent is not one that has arrived.
    await stopped(frozen.pid);
    if (fault === "link") await cluster.call(leader.name, "CLIENT", "KILL", "TYPE", "replica");
    const at = performance.now();
    if (guard.replicas > 0) await until(() => stream.refused);
    else await setTimeout(UNGUARDED_MILLISECONDS);
    // What is under way in the master's socket must not reach the replica, as it would not from a machine that is gone.
    await cluster.call(leader.name, "CLIENT", "KILL", "TYPE", "replica");
    await cluster.killNode(leader.name);
    await Promise.all([stream.end(), careful.end()]);
    frozen.kill("SIGCONT");
    await untilMaster(cluster, replica.name);
    const late = stream.written.filter((w) => w.at > at);
    const lost = await missing(cluster, replica.name, stream);
    const confirmedLost = await missing(cluster, replica.name, careful);
    return {
      fault,
      guard,
      afterFault: late.length,
      windowMilliseconds: Math.round((late.at(-1)?.at ?? at) - at),
      lost,
      confirmed: careful.written.length,
      confirmedLost,
      refused: stream.refused,
    };
  } finally {
    frozen.kill("SIGCONT");
    await Promise.all([stream.end(), careful.end()]);
  }
}

/** The killed master back, and everything as declared. */
export async function restore(cluster: DeclaredCluster): Promise<void> {
  for (const { name } of cluster.nodes) if (!cluster.running.includes(name)) await cluster.startNode(name);
  await cluster.reconcile();
}

async function guardOf(cluster: DeclaredCluster, name: string): Promise<Acknowledged["guard"]> {
  const answer = await cluster.call(name, "CONFIG", "GET", "min-replicas-*");
  const pairs = answer as string[];
  const of = (directive: string) => Number(pairs[pairs.indexOf(directive) + 1]);
  return { replicas: of("min-replicas-to-write"), lagSeconds: of("min-replicas-max-lag") };
}

/** Hash tag of keys that the first shard owned at first; what moves is leadership, not slots. */
function keyTag(cluster: DeclaredCluster): string {
  const slots = cluster.goal.plan.shards[0]?.slots ?? [];
  // Every run has keys of its own.
  for (let i = 0; ; i++) {
    const tag = `${process.hrtime.bigint()}-${i}`;
    if (slots.some(({ start, end }) => keySlot(tag) >= start && keySlot(tag) <= end)) return tag;
  }
}

/** Writes keys one after the other and keeps what was acknowledged; a careful one only what WAIT confirmed. */
class Writer {
  readonly written: { readonly n: number; readonly at: number }[] = [];
  refused = false;
  readonly prefix: string;
  readonly #client: Redis;
  readonly #careful: boolean;
  readonly #work: Promise<void>;
  #ended = false;

  constructor(cluster: DeclaredCluster, name: string, prefix: string, careful: boolean) {
    this.prefix = prefix;
    this.#careful = careful;
    this.#client = cluster.connect(name);
    this.#work = this.#write();
  }

  async end(): Promise<void> {
    this.#ended = true;
    this.#client.disconnect();
    await this.#work;
  }

  async #write(): Promise<void> {
    for (let n = 0; !this.#ended; ) {
      const numbers = Array.from({ length: this.#careful ? CONFIRMED_BATCH : BATCH }, () => n++);
      const pipeline = this.#client.pipeline();
      for (const i of numbers) pipeline.set(`${this.prefix}:${i}`, i);
      if (this.#careful) pipeline.wait(1, WAIT_MILLISECONDS);
      const answers = (await pipeline.exec()) ?? [];
      const at = performance.now();
      const confirmed = !this.#careful || Number(answers.at(-1)?.[1]) >= 1;
      numbers.forEach((i, k) => {
        const [error, value] = answers[k] ?? [];
        if (value === "OK" && confirmed) this.written.push({ n: i, at });
        if (error && /^NOREPLICAS/.test(error.message)) this.refused = true;
      });
      // The connection ended, with the server or by us: what was not answered was not acknowledged.
      if (answers.some(([error]) => error && error.name !== "ReplyError")) return;
    }
  }
}

async function missing(cluster: DeclaredCluster, name: string, { prefix, written }: Writer): Promise<number> {
  const client = cluster.connect(name);
  let gone = 0;
  try {
    for (let from = 0; from < written.length; from += 1_000) {
      const part = written.slice(from, from + 1_000);
      const values = await client.mget(part.map(({ n }) => `${prefix}:${n}`));
      gone += values.filter((value, i) => value !== String(part[i]?.n)).length;
    }
  } finally {
    client.disconnect();
  }
  return gone;
}

async function untilMaster(cluster: DeclaredCluster, name: string): Promise<void> {
  const client = cluster.connect(name);
  try {
    await until(async () => ((await client.role()) as unknown[])[0] === "master");
  } finally {
    client.disconnect();
  }
}

async function stopped(pid: number | undefined): Promise<void> {
  await until(() => /^State:\s*T/m.test(readFileSync(`/proc/${pid}/status`, "utf8")));
}

const LIMIT_MILLISECONDS = 90_000;

/** The limit only ends what would hang. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + LIMIT_MILLISECONDS; !(await condition()); await setTimeout(2)) {
    if (Date.now() > end) throw new Error(`waited ${LIMIT_MILLISECONDS} ms in vain`);
  }
}
