import { setTimeout } from "node:timers/promises";
import type { NodeEndpoint } from "../config/types";
import type { KeyRate } from "./migrateRate";
import type { AnsweringNode } from "./observation";
import type { MigrateSlots } from "./rebalance";
import type { Refusal } from "./refusals";
import type { Answer, Command, Connections } from "./wire";

/** What one round of a move achieved. */
export interface Moved {
  readonly slots: number;
  readonly keys: number;
  /** What these keys took on their source, about. */
  readonly bytes: number;
  /** Why the round ended before its time; the next observation decides what that means. */
  readonly trouble?: string;
}

/** How slots move; `migrateWay.ts` says which servers can do what. */
export type MigrationWay = "classic" | "atomicFromSource";

export interface MigrationContext {
  readonly connections: Connections;
  readonly endpoints: Readonly<Record<string, NodeEndpoint>>;
  /** Servers by node name, as observed: what they can do depends on engine and version. */
  readonly servers: Readonly<Record<string, AnsweringNode["server"]>>;
  /** Every other master: told of the new owner right away, instead of by gossip. */
  readonly otherMasters: readonly NodeEndpoint[];
  readonly nodeTimeoutMilliseconds: number;
  /** Instead of what is decided from the servers. */
  readonly way?: MigrationWay;
  /** What all moves of a run together keep to. */
  readonly rate: KeyRate;
  /** No further slot is begun; what is open is carried to its end. */
  readonly timeIsUp: () => boolean;
  /** Ends the round between two groups of slots. */
  readonly mayGoOn: () => boolean;
  /** A line for a person. */
  readonly say: (line: string) => void;
  /** Ends it between two commands, with slots left open; the next run finishes them. */
  readonly stopReason: () => string | undefined;
  /** Where slots are handed over from here, how sure it is that nobody was replaced meanwhile. */
  readonly heard?: LastHeard;
}

/** The round ended early: a connection was lost, or a server kept saying "not now". Looking again decides what to do. */
export class RoundInterrupted extends Error {}

/**
 * A server that stands still for a node timeout (a machine that is paused, or swaps) is replaced by its replica, and when it goes on it
 * carries out what waits for it before it hears of that: it moves keys that are no longer its own, or takes slots in an epoch that
 * another has won. What it said before counts no longer either where this process was what stood still. So nobody's slots are handed
 * over on a word older than this. In the time of the wall, as the other one stands still with the machine.
 */
export class LastHeard {
  /** No replica is elected sooner than a node timeout after its master's last sign. */
  readonly withinMilliseconds: number;
  readonly #sentAt = new Map<string, number>();

  constructor(nodeTimeoutMilliseconds: number) {
    this.withinMilliseconds = Math.floor((nodeTimeoutMilliseconds * 3) / 4);
  }

  /** @throws RoundInterrupted where the answer to what was sent then comes too late to be relied on */
  answered(node: string, sentAt: number): void {
    this.#check(node, sentAt);
    this.#sentAt.set(node, sentAt);
  }

  /** @throws RoundInterrupted where this node's last answer is too old to be acted on */
  check(node: string): void {
    this.#check(node, this.#sentAt.get(node));
  }

  /** Longer ago than that, or never: its next answer may be one of before it heard what others know. */
  isOld(node: string): boolean {
    return Date.now() - (this.#sentAt.get(node) ?? 0) >= this.withinMilliseconds;
  }

  #check(node: string, sentAt = 0): void {
    const late = Date.now() - sentAt;
    if (late >= this.withinMilliseconds)
      throw new RoundInterrupted(
        `${node} or this process stood still for ${(late / 1000).toFixed(1)} s: a replica may lead in its place by now`,
      );
  }
}

/** A move that only a person can let go on. What was moved before stays moved. */
export class MoveRefused extends Error {
  readonly refusal: Refusal;
  constructor(refusal: Refusal) {
    super(`${refusal.message}\n    → ${refusal.remedy}`);
    this.name = "MoveRefused";
    this.refusal = refusal;
  }
}

/**
 * Answers that pass by themselves: a target that did not answer MIGRATE in time, replicas that were not there to confirm
 * (Valkey 8 and later), keys of a slot on both sides, a server that loads or has lost its majority for a moment.
 */
const PASSES =
  /^(TRYAGAIN|NOREPLICAS|IOERR|LOADING|CLUSTERDOWN|MASTERDOWN|BUSY )|Target instance replied with error: (TRYAGAIN|NOREPLICAS|LOADING|CLUSTERDOWN|MASTERDOWN|BUSY )/;
/** Answers that say the cluster is no longer as it was seen when the move was planned. */
const LOOK_AGAIN =
  /don't know about node|not the owner of hash slot|^MOVED|only with masters|unknown node|not a (known )?master|use this command only with|^READONLY|^UNBLOCKED|Target instance replied with error: (READONLY|MOVED|ASK)/i;
/** How long one thing is asked for again without success, before the cluster is looked at again. */
const PATIENCE_MILLISECONDS = 5_000;
const FIRST_PAUSE_MILLISECONDS = 20;
const LONGEST_PAUSE_MILLISECONDS = 500;

export interface Insistence {
  readonly binary?: boolean;
  /** Errors that mean it was done before. */
  readonly done?: RegExp;
  /** Called before each sending; ends it by throwing. */
  readonly unless?: () => void;
  /** By command, errors that the caller deals with. Those that pass by themselves are never among them. */
  readonly expected?: Readonly<Record<string, RegExp>>;
}

/**
 * Sends commands to one node of the move until each is answered; those that fail for a passing reason are sent again.
 * @throws RoundInterrupted, or Error with the node and its answer
 */
export async function insist(
  context: MigrationContext,
  endpoint: NodeEndpoint,
  node: string,
  commands: readonly Command[],
  how: Insistence = {},
): Promise<Answer[]> {
  const answers: Answer[] = [];
  let open = commands.map((_, i) => i);
  const until = Date.now() + PATIENCE_MILLISECONDS;
  for (let pause = FIRST_PAUSE_MILLISECONDS; ; pause = Math.min(LONGEST_PAUSE_MILLISECONDS, pause * 2)) {
    const stop = context.stopReason();
    if (stop) throw new RoundInterrupted(stop);
    how.unless?.();
    const wanted = commands.filter((_, i) => open.includes(i));
    // After a pause its first answer says that it reads again; by the second one it has read what was waiting for it.
    if (context.heard?.isOld(node)) await context.connections.send(endpoint, [["PING"]]);
    const sentAt = Date.now();
    const sent = await context.connections.send(endpoint, wanted, { binary: how.binary ?? false });
    let last = "";
    open = open.filter((i, at) => {
      const answer = sent[at];
      if (!answer) return false;
      answers[i] = answer;
      if (answer.ok) return false;
      const { message, name } = answer.error;
      if (name !== "ReplyError") throw new RoundInterrupted(`${node} does not answer: ${message}`);
      if (how.done?.test(message)) return false;
      last = message;
      if (PASSES.test(message)) return true;
      if (how.expected?.[commands[i]?.[0] ?? ""]?.test(message)) return false;
      if (LOOK_AGAIN.test(message)) throw new RoundInterrupted(`${node}: ${message}`);
      throw new Error(`${node} refused ${commands[i]?.slice(0, 2).join(" ")}: ${message}`);
    });
    if (sent.some((answer) => answer.ok)) context.heard?.answered(node, sentAt);
    if (open.length === 0) return answers;
    if (Date.now() >= until) throw new RoundInterrupted(`${node}: ${last}, for ${PATIENCE_MILLISECONDS / 1000} s`);
    await setTimeout(pause);
  }
}

export function sourceOf(step: MigrateSlots, { endpoints }: MigrationContext): NodeEndpoint {
  const source = endpoints[step.node];
  if (!source) throw new Error(`no endpoint is known for node ${step.node}`);
  return source;
}
