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
}

/** The round ended early: a connection was lost, or a server kept saying "not now". Looking again decides what to do. */
export class RoundInterrupted extends Error {}

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
  /don't know about node|^MOVED|only with masters|unknown node|not a (known )?master|use this command only with|^READONLY|Target instance replied with error: (READONLY|MOVED|ASK)/i;
/** How long one thing is asked for again without success, before the cluster is looked at again. */
const PATIENCE_MILLISECONDS = 5_000;
const FIRST_PAUSE_MILLISECONDS = 20;
const LONGEST_PAUSE_MILLISECONDS = 500;

export interface Insistence {
  readonly binary?: boolean;
  /** Errors that mean it was done before. */
  readonly done?: RegExp;
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
    const wanted = commands.filter((_, i) => open.includes(i));
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
