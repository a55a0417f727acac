import { spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { Member } from "../../components/formation/goal";
import { answering, openSlotsOf, self } from "../../components/formation/observation";
import { FormationFailed, reconcile } from "../../components/formation/reconcile";
import type { Refusal } from "../../components/formation/refusals";
import { guardRunner } from "../../components/formation/runner/guard";
import { countSlots, expandSlots, SLOT_COUNT } from "../../components/formation/slots";
import { keySlot } from "../../components/spec/keySlot";
import type { ServerProgram } from "../support/servers";
import { ChaosCluster } from "./cluster";
import { Data } from "./data";
import { type Injected, inject } from "./faults";
import type { Plant } from "./plant";
import { Random } from "./random";
import type { Declaration, Fault, Round, Sequence } from "./sequence";

/** Refusals that a run may end in. Everything else that is not "verified" is a failure. */
export const ACCEPTED_REFUSALS = ["data-lost", "two-clusters", "conflicting-keys", "no-memory", "big-key"];

export interface RunReport {
  readonly index: number;
  readonly seed: number;
  readonly server: string;
  readonly outcome: "verified" | "refused" | "failed";
  /** The refusal, or what went wrong. */
  readonly why: string;
  readonly injected: Readonly<Partial<Record<Fault, number>>>;
  /** Refusals that were to be expected, and whose remedy worked. */
  readonly remedied: readonly string[];
  /** Servers that ended by themselves, with their last words; started again as a platform does. */
  readonly crashes: readonly string[];
  /** Servers that went round in a loop of their own; ended and started again as an operator does. */
  readonly hung: readonly string[];
  readonly changes: number;
  readonly writes: { readonly asked: number; readonly acknowledged: number; readonly confirmed: number };
  readonly seconds: number;
  readonly log: readonly string[];
}

export interface RunOptions {
  readonly seed: number;
  readonly plant?: Plant;
  readonly onLine?: (line: string) => void;
}

/** What ends a run early: a refusal that may be its end, or a fault. */
class Ended extends Error {
  readonly outcome: "refused" | "failed";
  constructor(outcome: "refused" | "failed", message: string) {
    super(message);
    this.outcome = outcome;
  }
}

/** Forms a cluster, lets everything of the sequence happen to it, and checks after each round that it is whole and its data are there. */
export async function runSequence(sequence: Sequence, program: ServerProgram, options: RunOptions): Promise<RunReport> {
  const run = new Run(sequence, program, options);
  const began = Date.now();
  let outcome: RunReport["outcome"] = "verified";
  let why = "";
  try {
    await run.go();
  } catch (error) {
    outcome = error instanceof Ended ? error.outcome : "failed";
    why =
      error instanceof Ended ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);
    run.note(`${outcome}: ${why}`);
    await run.describeNodes();
  } finally {
    await run.end();
  }
  return {
    index: sequence.index,
    seed: options.seed,
    server: `${program.engine} ${program.version}`,
    outcome,
    why,
    injected: run.injected,
    remedied: run.remedied,
    crashes: run.crashes,
    hung: run.hung,
    changes: run.changes,
    writes: run.data.ledger.counts,
    seconds: Math.round((Date.now() - began) / 100) / 10,
    log: run.log,
  };
}

class Run {
  readonly injected: Partial<Record<Fault, number>> = {};
  readonly remedied: string[] = [];
  readonly crashes: string[] = [];
  readonly hung: string[] = [];
  readonly log: string[] = [];
  readonly data = new Data();
  changes = 0;
  readonly #sequence: Sequence;
  readonly #cluster: ChaosCluster;
  readonly #options: RunOptions;
  readonly #began = Date.now();
  #roundBegan = Date.now();

  constructor(sequence: Sequence, program: ServerProgram, options: RunOptions) {
    this.#sequence = sequence;
    this.#options = options;
    this.#cluster = new ChaosCluster(program, sequence.start);
  }

  note(line: string): void {
    const timed = `${((Date.now() - this.#began) / 1000).toFixed(1).padStart(6)} s  ${line}`;
    this.log.push(timed);
    this.#options.onLine?.(timed);
  }

  async go(): Promise<void> {
    const { start, rounds } = this.#sequence;
    await this.#cluster.declare(start);
    await this.#up();
    this.#useData(start.replicas);
    await this.data.fill();
    this.data.start();
    for (const [i, round] of rounds.entries())
      await this.#round(round, new Random(this.#options.seed, this.#sequence.index, i));
  }

  /** Every node by its own word: for whoever looks into a run that failed. */
  async describeNodes(): Promise<void> {
    for (const node of (await this.#cluster.observe()).nodes) {
      if (!node.answering) {
        this.note(`    ${node.name} does not answer: ${node.reason}`);
        for (const line of this.#cluster.lastWords(node.name)) this.note(`        ${line}`);
      } else {
        const { id, role, masterId = "-", configEpoch, slots } = self(node);
        this.note(
          `    ${node.name} ${id.slice(0, 8)} ${role} of ${masterId.slice(0, 8)}, epoch ${configEpoch}, ${countSlots(slots)} slots, ${node.keys} keys`,
        );
      }
    }
  }

  async end(): Promise<void> {
    await this.data.end();
    await this.#cluster.stop();
  }

  #useData(replicas: number): void {
    const seeds = this.#cluster.names.map((name) => this.#cluster.endpoint(name));
    this.data.use(
      seeds.map(({ address, port }) => `${address}:${port}`),
      replicas,
    );
  }

  async #round(round: Round, random: Random): Promise<void> {
    const cluster = this.#cluster;
    this.#roundBegan = Date.now();
    const before = cluster.declared;
    const changed = JSON.stringify(before) !== JSON.stringify(round.declared);
    if (changed) this.changes++;
    // Writes count as confirmed when as many replicas have them as either shape is to have.
    this.#useData(Math.max(before.replicas, round.declared.replicas));
    const context = { cluster, random, losesWrites: () => this.data.ledger.open() };
    let refusal: Injected["refusal"];
    if (round.fault !== "kill-executor" && round.moment === "before") {
      const done = await inject(round.fault, context);
      this.note(`${round.fault}: ${done.what}`);
      await done.over;
      this.#count(round.fault);
      refusal = done.refusal;
      this.#useData(Math.max(before.replicas, round.declared.replicas));
    } else if (round.roll !== undefined) await this.#roll(round.roll, before);
    await cluster.declare(round.declared);
    if (changed) this.note(`declared: ${cluster.names.length} nodes`);
    if (round.fault === "kill-executor") await this.#killed(round, before);
    else if (round.moment === "during") await this.#during(round.fault, round.delay, context);
    else if (refusal) await this.#refused(refusal);
    else await this.#up();
    this.data.ledger.close();
    await cluster.deleteUndeclared();
    this.#useData(round.declared.replicas);
    await this.#check();
  }

  #count(fault: Fault): void {
    this.injected[fault] = (this.injected[fault] ?? 0) + 1;
  }

  /** A refusal that has to come; then its remedy, and on. */
  async #refused({ kind, remedy }: NonNullable<Injected["refusal"]>): Promise<void> {
    try {
      await this.#reconcile();
    } catch (error) {
      if (!(error instanceof FormationFailed) || error.refusals.every((r) => r.kind !== kind)) throw asEnd(error);
      this.note(`refused as it should: ${error.refusals.map((r) => r.kind).join(", ")}`);
      this.remedied.push(kind);
      await remedy();
      return this.#up();
    }
    throw new Ended("failed", `went on where ${kind} has to be refused`);
  }

  async #during(
    fault: Exclude<Fault, "kill-executor">,
    delay: number,
    context: Parameters<typeof inject>[1],
  ): Promise<void> {
    const after = new AbortController();
    const happening = setTimeout(delay, undefined, { signal: after.signal })
      .then(() => inject(fault, context))
      .then(async (done) => {
        this.note(`${fault}: ${done.what}`);
        await done.over;
        return true;
      })
      // Where the executor changes roles or takes nodes out at the same moment, some of it cannot be done any more.
      .catch((error: unknown) => {
        this.note(`${fault}: not done (${error instanceof Error ? error.message : error})`);
        return false;
      });
    let failure: unknown;
    try {
      await this.#reconcile();
    } catch (error) {
      failure = error;
    }
    if (await happening) this.#count(fault);
    if (failure) {
      // Stopped by what was going on, as a person would see it: then `up` again goes on.
      if (!(failure instanceof FormationFailed) || failure.refusals.some((r) => r.kind !== "silent-node"))
        throw asEnd(failure);
      this.note(`up ended: ${failure.message.split("\n").join(" ")}`);
    }
    // It may have been over before it happened.
    await this.#up();
  }

  async #killed({ killAfter, next }: Round, before: Declaration): Promise<void> {
    const cluster = this.#cluster;
    const work = JSON.stringify({ goal: cluster.goal, history: cluster.remembered() });
    const killed = await executor(killAfter, work, this.#options.plant);
    if (killed === "killed") {
      this.note(`kill-executor: killed after command ${killAfter}, then ${next}`);
      this.#count("kill-executor");
      if (next === "taken-back") await cluster.declare(before);
    } else {
      this.note("kill-executor: it had ended before");
      if ("failed" in killed) throw asEnd(new FormationFailed(killed.failed, killed.members, killed.refusals));
      cluster.history = { members: killed.members, verified: true };
    }
    await this.#up();
  }

  /** The part of `up` that formation has. */
  async #up(): Promise<void> {
    for (const crashed of await this.#cluster.reviveCrashed()) {
      this.note(`CRASHED: ${crashed}`);
      this.crashes.push(crashed);
      this.data.ledger.open();
    }
    try {
      await this.#reconcile();
    } catch (error) {
      if (!(await this.#unhung(error))) throw asEnd(error);
      await this.#up();
    }
  }

  /** A server in an endless loop is refused with what to do; that is done, once a run. @returns whether that was it */
  async #unhung(error: unknown): Promise<boolean> {
    if (!(error instanceof FormationFailed) || error.refusals.some((r) => r.kind !== "silent-node")) return false;
    if (this.hung.length > 0) return false;
    const looping = await this.#cluster.looping(error.refusals.map((r) => r.subject));
    for (const name of looping) {
      this.note(`LOOPING: ${name} answers nobody and burns its processor; ended and started again`);
      for (const line of this.#cluster.lastWords(name)) this.note(`    ${line}`);
      this.hung.push(name);
      this.data.ledger.open(this.#roundBegan);
      await this.#cluster.stopNode(name);
      await this.#cluster.startNode(name);
    }
    return looping.length > 0;
  }

  async #reconcile(): Promise<void> {
    const cluster = this.#cluster;
    const began = Date.now();
    const lines: string[] = [];
    try {
      const { members } = await reconcile(cluster.goal, cluster.remembered(), {
        access: {},
        onProgress: (line) => lines.push(`${Date.now() - began} ms: ${line}`),
      });
      cluster.history = { members, verified: true };
      this.note(`verified in ${((Date.now() - began) / 1000).toFixed(1)} s`);
    } catch (error) {
      for (const line of lines) this.note(`    ${line}`);
      // Members are recorded whatever a run ends in, if it ends by itself.
      if (error instanceof FormationFailed) cluster.history = { ...cluster.history, members: error.members };
      throw error;
    }
  }

  /** One machine restarts between the deletion and the creation of its guard. */
  async #roll(which: number, declared: Declaration): Promise<void> {
    const cluster = this.#cluster;
    const node = cluster.names[Math.floor(which * cluster.names.length)] ?? "";
    const inputs = {
      cluster: cluster.goal.cluster,
      node,
      endpoint: cluster.endpoint(node),
      peers: cluster.names.filter((n) => n !== node).map((n) => cluster.endpoint(n)),
      instance: "1",
      dataOnDestroy: "keep",
      replicasPerMaster: declared.replicas,
      access: {},
    };
    // What it acknowledged last, it hands over or has on disk.
    await guardRunner.delete(node, inputs);
    await cluster.stopNode(node, "SIGTERM");
    await cluster.startNode(node);
    await guardRunner.create({ ...inputs, instance: "2" });
    this.note(`rolled ${node}`);
  }

  /** Independent of what formation calls verified: slots, views, keys that no client is sent to; then every key. */
  async #check(): Promise<void> {
    const faults = [...(await this.#clusterFaults()), ...(await this.data.audit())];
    if (faults.length > 0)
      throw new Ended("failed", [...faults.slice(0, 10), ...(faults.length > 10 ? ["…"] : [])].join("\n"));
  }

  async #clusterFaults(): Promise<string[]> {
    const cluster = this.#cluster;
    const nodes = answering(await cluster.observe());
    const owners = nodes.filter((n) => self(n).role === "master" && self(n).slots.length > 0);
    const counts = owners.map((n) => countSlots(self(n).slots));
    const faults: string[] = [];
    if (nodes.length !== cluster.names.length) faults.push(`${nodes.length} of ${cluster.names.length} nodes answer`);
    if (owners.length !== cluster.declared.masters) faults.push(`${owners.length} masters own slots`);
    if (counts.reduce((a, b) => a + b, 0) !== SLOT_COUNT) faults.push(`${counts.join("+")} slots are owned`);
    if (Math.max(...counts) - Math.min(...counts) > 1) faults.push(`uneven: ${counts.join(", ")}`);
    for (const node of nodes) {
      if (node.view.length !== cluster.names.length) faults.push(`${node.name} knows ${node.view.length} nodes`);
      if (openSlotsOf(node).length > 0) faults.push(`${node.name} has open slots`);
      if (node.settings["maxmemory-policy"] !== cluster.declared.maxmemoryPolicy)
        faults.push(`${node.name} has maxmemory-policy ${node.settings["maxmemory-policy"]}`);
      const followers = nodes.filter((n) => self(n).masterId === node.id).length;
      if (owners.includes(node) && followers !== cluster.declared.replicas)
        faults.push(`${node.name} has ${followers} replicas`);
    }
    // Keys that lie where no client is sent to would be lost without anybody seeing it.
    await Promise.all(
      owners.map(async (node) => {
        const owned = new Set(expandSlots(self(node).slots));
        const strays = await strayKeys(cluster, node.name, owned);
        if (strays.length > 0)
          faults.push(`${node.name} holds keys of slots that are not its own: ${strays.join(", ")}`);
      }),
    );
    return faults;
  }
}

async function strayKeys(cluster: ChaosCluster, name: string, owned: ReadonlySet<number>): Promise<string[]> {
  const keys = (await cluster.call(name, "KEYS", "*")) as string[];
  return keys.filter((key) => !owned.has(keySlot(key))).slice(0, 3);
}

function asEnd(error: unknown): Ended {
  if (!(error instanceof FormationFailed))
    return new Ended("failed", error instanceof Error ? (error.stack ?? error.message) : String(error));
  const kinds = [...new Set(error.refusals.map((r) => r.kind))];
  const named = kinds.length > 0 && kinds.every((kind) => ACCEPTED_REFUSALS.includes(kind));
  return new Ended(named ? "refused" : "failed", `${kinds.length > 0 ? `${kinds.join(", ")}: ` : ""}${error.message}`);
}

export type Executed =
  | "killed"
  | { readonly members: readonly Member[] }
  | { readonly failed: string; readonly refusals: readonly Refusal[]; readonly members: readonly Member[] };

/** Runs `reconcile` in a process that ends itself after its k-th changing command. */
export function executor(k: number, work: string, planted: Plant | undefined, folder = __dirname): Promise<Executed> {
  const child = spawn(process.execPath, [join(folder, "executor.js"), String(k), work, ...(planted ? [planted] : [])], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [out, problems] = ["", ""];
  child.stdout.on("data", (data: Buffer) => (out += data.toString()));
  child.stderr.on("data", (data: Buffer) => (problems += data.toString()));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      if (signal === "SIGKILL") resolve("killed");
      else if (code === 0) resolve(JSON.parse(out) as Executed);
      else reject(new Error(problems));
    });
  });
}
