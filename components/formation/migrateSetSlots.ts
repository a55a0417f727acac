import { setTimeout } from "node:timers/promises";
import type { NodeEndpoint } from "../config/types";
import { parseClusterNodes } from "./clusterNodes";
import { type Insistence, insist, type MigrationContext, RoundInterrupted } from "./migrateContext";
import type { AnsweringNode } from "./observation";
import { expandSlots } from "./slots";
import type { Answer, Command, Connections } from "./wire";

/** Where SETSLOT waits for replicas: how many wait at the same time. */
const LANES = 8;

/** What one end of a move does to its slots at once: hands over those that are empty, opens the next. */
export interface Turn {
  readonly closed: readonly number[];
  /** ID of who owns these from now on. */
  readonly owner: string;
  readonly opening: readonly number[];
  readonly state: "IMPORTING" | "MIGRATING";
  /** ID of the other end. */
  readonly peer: string;
}

export interface TurnResult {
  /** COUNTKEYSINSLOT of every slot that was opened. */
  readonly counted: readonly Answer[];
  /** To what was asked after it. */
  readonly answers: readonly Answer[];
  /** Slots that are not closed, since this node has not heard of their owner yet. */
  readonly unheard: readonly number[];
}

/**
 * A turn on the server itself: one command instead of dozens, and one word to all nodes instead of one a slot. A server that
 * takes over a slot which it was importing tells everybody at once, and whoever learns of a slot that way syncs its nodes.conf
 * to the disk, serving nobody meanwhile. So all slots but the last are not being imported any more when they are taken over;
 * nobody sees them in between. The epoch in which these claims hold is raised first, as the end of an import does.
 *
 * On the source, a slot that can still be set MIGRATING is its own as it sees it, so it has not heard of the new owner.
 *
 * It is for its time only, as the server's own clock tells: see `LastHeard`.
 */
const TURN = `local errors, counts, unheard = {}, {}, {}
local owner, state, peer, notAfter, closed = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if notAfter > 0 and now > notAfter then return {{'LATE'}, counts, unheard, now} end
local function cluster(...)
  local answer = redis.pcall('CLUSTER', ...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  errors[#errors + 1] = answer.err
end
if state == 'IMPORTING' and closed > 0 and not cluster('BUMPEPOCH') then return {errors, counts, unheard, now} end
for i = 6, 5 + closed do
  if state == 'MIGRATING' and not redis.pcall('CLUSTER', 'SETSLOT', ARGV[i], state, peer).err then
    unheard[#unheard + 1] = ARGV[i]
  else
    if state == 'IMPORTING' and i < 5 + closed then cluster('SETSLOT', ARGV[i], 'STABLE') end
    cluster('SETSLOT', ARGV[i], 'NODE', owner)
  end
end
for i = 6 + closed, #ARGV do
  cluster('SETSLOT', ARGV[i], state, peer)
  counts[#counts + 1] = cluster('COUNTKEYSINSLOT', ARGV[i])
end
return {errors, counts, unheard, now}`;

/** How long a source may take to hear from the new owner by itself; it has a link to it, so mostly a few milliseconds. */
const HEARD_WITHIN_MILLISECONDS = 2_000;
const HEARD_POLL_MILLISECONDS = 2;

/**
 * Sends CLUSTER SETSLOT. From Valkey 8 on each one blocks its connection until the replicas have it too, so there they are
 * spread over several connections; elsewhere they share one round trip with what is to be asked after them.
 */
export class SlotSetter {
  readonly #context: MigrationContext;
  readonly #lanes: readonly Connections[];
  #scripts: boolean;
  /** By node: what its clock showed, and ours when that arrived, in milliseconds. */
  readonly #clocks = new Map<string, { readonly theirs: number; readonly ours: number }>();

  constructor(context: MigrationContext, nodes: readonly string[]) {
    this.#context = context;
    const blocks = nodes.some((node) => waitsForReplicas(context.servers[node]));
    this.#lanes = blocks ? Array.from({ length: LANES }, () => context.connections.another()) : [];
    this.#scripts = !blocks;
  }

  /** @param after what is asked once that is done */
  async turn(
    endpoint: NodeEndpoint,
    node: string,
    turn: Turn,
    how: Insistence,
    after: readonly Command[] = [],
  ): Promise<TurnResult> {
    const { closed, owner, opening, state, peer } = turn;
    if (closed.length + opening.length + after.length === 0) return { counted: [], answers: [], unheard: [] };
    if (this.#scripts) {
      const notAfter = this.#notAfter(node);
      const command: Command = ["EVAL", TURN, 0, owner, state, peer, notAfter, closed.length, ...closed, ...opening];
      const [first, ...answers] = await insist(this.#context, endpoint, node, [command, ...after], {
        ...how,
        expected: { ...how.expected, EVAL: /^/ },
      });
      const result = resultOf(first, how.done);
      if (result) {
        this.#clocks.set(node, { theirs: result.now, ours: Date.now() });
        return { ...result, answers };
      }
      // Whatever that was, it comes to light where each slot is set by itself.
      this.#scripts = false;
    }
    const commands = [
      ...closed.map((slot): Command => ["CLUSTER", "SETSLOT", slot, "NODE", owner]),
      ...opening.map((slot): Command => ["CLUSTER", "SETSLOT", slot, state, peer]),
    ];
    const counting = opening.map((slot): Command => ["CLUSTER", "COUNTKEYSINSLOT", slot]);
    const answers = await this.set(endpoint, node, commands, how, [...counting, ...after]);
    return { counted: answers.slice(0, opening.length), answers: answers.slice(opening.length), unheard: [] };
  }

  /**
   * Closes slots on their former owner once it has heard of the new one.
   * @throws RoundInterrupted where it does not hear of it: a new owner that has lost a slot since must not be the only one
   */
  async settle(endpoint: NodeEndpoint, node: string, slots: readonly number[], owner: string): Promise<void> {
    let open = slots;
    for (const until = Date.now() + HEARD_WITHIN_MILLISECONDS; open.length > 0; ) {
      const turn = { closed: open, owner, opening: [], state: "MIGRATING" as const, peer: owner };
      open = (await this.turn(endpoint, node, turn, {})).unheard;
      if (open.length === 0) return;
      if (Date.now() >= until) throw new RoundInterrupted(`${node} has not heard who owns slot ${open[0]} now`);
      await setTimeout(HEARD_POLL_MILLISECONDS);
    }
  }

  /** Sends what sets slots, in any order, then what comes after it. @returns what the latter answered */
  async set(
    endpoint: NodeEndpoint,
    node: string,
    commands: readonly Command[],
    how: Insistence,
    after: readonly Command[] = [],
  ): Promise<Answer[]> {
    if (this.#lanes.length === 0) {
      const answers = await insist(this.#context, endpoint, node, [...commands, ...after], how);
      return answers.slice(commands.length);
    }
    const sent = this.#shares(commands).map(({ lane, own }) =>
      insist({ ...this.#context, connections: lane }, endpoint, node, own, how),
    );
    // All of them end before any failure does: none may still be sending when the round is over.
    const failed = (await Promise.allSettled(sent)).find((result) => result.status === "rejected");
    if (failed) throw failed.reason;
    return insist(this.#context, endpoint, node, after, how);
  }

  /**
   * Nodes that have no part in it are told who owns these slots now, each those that it does not know of. The new owner has told
   * everybody of every slot (a PONG to all), so mostly there is none; where one got lost, this is sooner than gossip, to
   * which it is left where this fails too.
   */
  async tell(nodes: readonly NodeEndpoint[], slots: readonly number[], ownerId: string): Promise<void> {
    const { connections } = this.#context;
    if (slots.length === 0) return;
    await Promise.all(
      nodes.map(async (node) => {
        const [answer] = await connections.send(node, [["CLUSTER", "NODES"]]);
        if (!answer?.ok) return;
        const owner = parseClusterNodes(String(answer.value)).find((e) => e.id === ownerId);
        const known = new Set(expandSlots(owner?.slots ?? []));
        const news = slots.filter((slot) => !known.has(slot));
        await connections.send(
          node,
          news.map((slot): Command => ["CLUSTER", "SETSLOT", slot, "NODE", ownerId]),
        );
      }),
    );
  }

  /** By this node's clock, when it will have stood still for too long; 0 where its clock is not known yet. */
  #notAfter(node: string): number {
    const clock = this.#clocks.get(node);
    const { heard } = this.#context;
    return clock && heard ? clock.theirs + (Date.now() - clock.ours) + heard.withinMilliseconds : 0;
  }

  close(): void {
    for (const lane of this.#lanes) lane.close();
  }

  #shares(commands: readonly Command[]): { lane: Connections; own: Command[] }[] {
    return this.#lanes.map((lane, i) => ({ lane, own: commands.filter((_, at) => at % LANES === i) }));
  }
}

/**
 * @returns undefined where the script did not run or something in it failed
 * @throws RoundInterrupted where it ran too late to do anything
 */
function resultOf(answer: Answer | undefined, done: RegExp | undefined) {
  if (!answer?.ok || !Array.isArray(answer.value)) return undefined;
  const [errors, counts, unheard, now] = answer.value as [unknown[], unknown[], unknown[], unknown];
  if (String(errors[0]) === "LATE") throw new RoundInterrupted("a server stood still before it took over slots");
  if (errors.some((error) => !done?.test(String(error)))) return undefined;
  return {
    now: Number(now),
    counted: counts.map((value): Answer => ({ ok: true, value })),
    unheard: unheard.map((slot) => Number(String(slot))),
  };
}

function waitsForReplicas(server: AnsweringNode["server"] | undefined): boolean {
  return server?.name === "valkey" && Number.parseInt(server.version, 10) >= 8;
}
