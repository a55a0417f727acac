import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import type { NodeEndpoint } from "../config/types";
import type { MigrationLimits } from "../spec/spec";
import { parseUntil, untilAfter } from "../spec/until";
import { unreachableBusPorts } from "./busPorts";
import { diagnose } from "./diagnose";
import { execute } from "./execute";
import { ForgottenWatch } from "./forgotten";
import type { FormationGoal, History, Machine, Member } from "./goal";
import { layoutOf, type ShardLayout } from "./layout";
import { AnotherActor, EXECUTOR_PREFIX, executorAhead, lockOrder, takeTurn } from "./lock";
import { currentMembers, membersOfThisLook, rememberMembers } from "./members";
import { type MigrationWay, MoveRefused } from "./migrate";
import { leftoversSettled } from "./migrateJobs";
import { KeyRate } from "./migrateRate";
import { handsOverAtomically } from "./migrateWay";
import { MoveProgress } from "./moveProgress";
import { answering, type ClusterObservation, openSlotsOf, self, withoutRetired } from "./observation";
import { observe } from "./observe";
import { defaultPatience } from "./patience";
import { isWhole, type Plan, plan } from "./plan";
import { probe } from "./probe";
import { progressLine } from "./progress";
import { reaffirmGains } from "./reaffirm";
import type { Refusal } from "./refusals";
import { endFormerSessions } from "./sessions";
import { StallWatch } from "./stall";
import { importStrays, strayKeys } from "./strayKeys";
import { closesDefault, saveUsers } from "./users";
import { type Access, Connections } from "./wire";

export interface ReconcileOptions {
  readonly access: Access;
  /** One line for a person; called when there is something new to say. */
  readonly onProgress: (line: string) => void;
  /** A reason to stop between two commands, such as that the engine is gone; undefined to go on. */
  readonly stopReason?: () => string | undefined;
  /** Bounds for moves of slots. Default: none. */
  readonly migration?: MigrationLimits;
  /** When `up` was started, in milliseconds of the epoch: a time of day in `migration` is the first one after it. Default: now. */
  readonly startedAt?: number;
  /** How slots move. Default: what the servers at both ends do best. */
  readonly way?: MigrationWay;
  /** How long nothing may change before the run gives up, in milliseconds. Default: `defaultPatience`. */
  readonly patienceMilliseconds?: number;
}

export interface Reconciled {
  readonly members: readonly Member[];
  readonly observation: ClusterObservation;
  readonly layout: readonly ShardLayout[];
  /** False where nothing was sent that changes anything. */
  readonly acted: boolean;
}

/** The run ended before the goal. Carries the members as last known, so that none is forgotten. */
export class FormationFailed extends Error {
  readonly members: readonly Member[];
  readonly refusals: readonly Refusal[];
  constructor(message: string, members: readonly Member[], refusals: readonly Refusal[] = [], cause?: unknown) {
    super(message, { cause });
    this.name = "FormationFailed";
    this.members = members;
    this.refusals = refusals;
  }
}

/**
 * Brings the cluster to the goal: observe, plan, execute one bounded batch, observe again, until nothing differs; then
 * prove it through an ordinary client. Safe to kill at any point and to run again.
 * @throws FormationFailed with what was seen and what to do
 */
export async function reconcile(goal: FormationGoal, history: History, options: ReconcileOptions): Promise<Reconciled> {
  const connections = new Connections(`${EXECUTOR_PREFIX}${randomUUID()}`, options.access);
  const run: Run = {
    goal,
    connections,
    options,
    members: history.members,
    machines: history.machines ?? [],
    verified: history.verified,
    said: "",
    lowered: false,
    busPortsTried: false,
    acted: false,
    moves: new MoveProgress(options.migration?.maxKeysPerSecond),
    rate: new KeyRate(options.migration?.maxKeysPerSecond),
    stopMovesAt: timeOf(options),
    alone: false,
    gained: new Set(),
    searched: "",
    saved: goal.logins === undefined,
  };
  try {
    const observation = await converge(run);
    const layout = layoutOf(goal, observation);
    // An existing cluster that is as it should be is looked at, and nothing more.
    const how = goal.given && !run.acted ? "read" : "write";
    await probe(goal, layout, options.access, connections.clientName, how);
    return { members: currentMembers(goal, run.members, observation), observation, layout, acted: run.acted };
  } catch (error) {
    if (run.lowered && !(error instanceof AnotherActor)) await putBack(run);
    if (error instanceof FormationFailed) throw error;
    if (error instanceof MoveRefused) throw new FormationFailed(error.message, run.members, [error.refusal], error);
    throw new FormationFailed(error instanceof Error ? error.message : String(error), run.members, [], error);
  } finally {
    connections.close();
  }
}

interface Run {
  readonly goal: FormationGoal;
  readonly connections: Connections;
  readonly options: ReconcileOptions;
  readonly machines: readonly Machine[];
  readonly verified: boolean;
  members: readonly Member[];
  said: string;
  /** Temporary settings were given out and may still hold. */
  lowered: boolean;
  /** Every bus port was found to be open, as far as can be seen. */
  busPortsTried: boolean;
  /** Something was sent that changes the cluster. */
  acted: boolean;
  readonly moves: MoveProgress;
  readonly rate: KeyRate;
  /** When no further slot is to be begun, in milliseconds of the epoch. */
  readonly stopMovesAt: number | undefined;
  /** No server hands slots over by itself, as a killed run may have asked it to. */
  alone: boolean;
  /** Names of nodes that slots have moved to, until their replicas have taken their word for them. */
  readonly gained: Set<string>;
  /** IDs of the masters that were found to hold no keys but those of their slots. */
  searched: string;
  /** Users are where a restart reads them, whatever a run that was killed had come to. */
  saved: boolean;
  /** What ended the last round of moves early. */
  trouble?: string | undefined;
}

function timeOf({ migration, startedAt }: ReconcileOptions): number | undefined {
  if (migration?.until === undefined) return undefined;
  const until = parseUntil(migration.until);
  if (typeof until === "string") throw new Error(`migration.until: ${until}`);
  return untilAfter(until, startedAt ?? Date.now());
}

/** A run that fails leaves no temporary setting behind where it can; after a kill the next run finds it as any difference. */
async function putBack({ goal, connections }: Run): Promise<void> {
  if (goal.given && goal.settings["cluster-node-timeout"] === undefined) return;
  const command = ["CONFIG", "SET", "cluster-node-timeout", goal.nodeTimeoutMilliseconds] as const;
  await Promise.all(Object.values(goal.endpoints).map((endpoint) => connections.send(endpoint, [command])));
}

async function converge(run: Run): Promise<ClusterObservation> {
  const { goal, connections, options } = run;
  const usual = options.patienceMilliseconds ?? defaultPatience(goal);
  const order = lockOrder(goal.plan.shards.flatMap((s) => s.nodes).flatMap((n) => goal.endpoints[n.name] ?? []));
  await takeTurn(order, connections, usual, options.onProgress);
  const watch = new StallWatch(Date.now());
  const known = run.members;
  const forgotten = new ForgottenWatch(run.verified ? known : [], goal.nodeTimeoutMilliseconds);
  for (;;) {
    const stop = options.stopReason?.();
    if (stop) throw new FormationFailed(`stopped between two steps: ${stop}; run \`up\` again to go on`, run.members);
    const began = Date.now();
    const observation = await observe(goal, connections, run.members, run.machines);
    const looked = Date.now() - began;
    const members = rememberMembers(goal, run.members, observation);
    const still = watch.look(observation, Date.now());
    forgotten.look(observation, Date.now());
    const patience = forgotten.patience(usual);
    const counted = membersOfThisLook(goal, members, observation);
    const next = plan(goal, { members: counted, recorded: run.members, verified: run.verified }, observation, {
      insist: still > usual / 4,
    });
    // What is refused is not ours to remember.
    if (next.kind !== "refuse") run.members = members;
    say(run, observation, next, forgotten.text(Date.now()));
    const stopped = next.kind === "act" && next.phase === "move" && timeIsUp(run, observation);
    if (run.gained.size > 0 && (stopped || next.kind !== "act" || next.phase !== "move")) {
      await reaffirmGains(run.gained, observation, connections);
      run.gained.clear();
      if (next.kind === "done") continue;
    }
    if (isWhole(next) && !(await keysLieInTheirSlots(run, observation, order))) {
      if (still >= patience) throw await stalled(run, observation, next, still, watch);
      await setTimeout(restAfter({ kind: "done" }, looked));
      continue;
    }
    if (next.kind === "done" && !run.saved) {
      await save(run, observation);
      continue;
    }
    // What others are about to forget again is not done.
    if (next.kind === "done" && !forgotten.isUnsettled(Date.now())) return observation;
    if (next.kind === "refuse" && !(mayPass(next.refusals) && still < patience))
      throw refused(next.refusals, run.members);
    if (still >= patience) throw await stalled(run, observation, next, still, watch);
    if (next.kind === "act") {
      const ahead = await executorAhead(order, connections);
      if (ahead) throw new AnotherActor(ahead);
      if (!run.alone && (await waitedForJobs(run, observation))) continue;
      run.alone = true;
      if (next.phase === "move" && timeIsUp(run, observation)) throw stoppedInTime(run, observation);
      if (next.phase === "assign") {
        if (!run.busPortsTried) {
          const tried = await unreachableBusPorts(observation, connections, goal.nodeTimeoutMilliseconds);
          if (tried.refusals.length > 0) throw refused(tried.refusals, known);
          run.busPortsTried = true;
          // Nodes that have met make another plan.
          if (tried.met) continue;
        }
        run.lowered = true;
      }
      if (next.steps.some(closesDefault)) await loginAsOwn(run);
      run.acted = true;
      const endpoints = Object.fromEntries(observation.nodes.map((n) => [n.name, n.endpoint]));
      const masters = answering(observation)
        .filter((n) => self(n).role === "master")
        .map((n) => n.name);
      const servers = Object.fromEntries(answering(observation).map((n) => [n.name, n.server]));
      const { way, onProgress: say } = options;
      const { nodeTimeoutMilliseconds } = goal;
      const migration = {
        servers,
        nodeTimeoutMilliseconds,
        rate: run.rate,
        timeIsUp: () => timeIsUp(run, observation),
        say,
        ...(way ? { way } : {}),
      };
      const { moved: round } = await execute(
        next.steps,
        { endpoints, masters, migration, say, stopReason: () => options.stopReason?.() },
        connections,
      );
      for (const step of next.steps) if (step.do === "migrateSlots") run.gained.add(step.to);
      if (next.phase === "move")
        options.onProgress(run.moves.line(goal, observation, { ...round, milliseconds: Date.now() - began }));
      run.trouble = round.trouble;
      // One slot with millions of keys looks the same for many rounds.
      if (round.keys > 0) watch.note(Date.now());
    }
    await setTimeout(restAfter(next, looked));
  }
}

/** Before nobody comes in any more without a password, the run itself comes in with one, everywhere. */
async function loginAsOwn({ connections, members }: Run): Promise<void> {
  const refused = [...(await connections.loginAnew())];
  const [where, error] = refused[0] ?? [];
  if (!error) return;
  throw new FormationFailed(
    `the default user was not closed, because ${refused.length} nodes refuse the login of the component's own user (${where}: ${error.message}); run \`up\` again`,
    members,
  );
}

/** What nobody could tell by looking whether an earlier run had come to it: so each run does it. */
async function save(run: Run, observation: ClusterObservation): Promise<void> {
  const { connections, options } = run;
  const alive = answering(withoutRetired(observation));
  const endpoints = Object.fromEntries(alive.map((n) => [n.name, n.endpoint]));
  const stopReason = () => options.stopReason?.();
  const ended = await endFormerSessions(run.goal.logins?.ended ?? {}, alive, connections);
  const { again } = await execute(alive.map(saveUsers), { endpoints, masters: [], stopReason }, connections);
  run.saved = ended && again.length === 0;
}

/** A server begins to shake hands with whom it was told to meet at its next tick, of which there are ten a second. */
const TICK_MILLISECONDS = 100;

/** How long there is nothing new to be seen, in milliseconds. */
function restAfter(next: Plan, looked: number): number {
  // Looking costs the servers as much as us: never look for longer than not.
  if (next.kind !== "act") return Math.min(200, Math.max(15, looked));
  return next.steps.some((s) => s.do === "meet") ? TICK_MILLISECONDS : 0;
}

async function waitedForJobs({ connections, options }: Run, observation: ClusterObservation): Promise<boolean> {
  const nodes = answering(observation).filter((n) => handsOverAtomically(n.server) && self(n).role === "master");
  return leftoversSettled(nodes, connections, () => options.stopReason?.(), options.onProgress);
}

/** Asked again only where others lead: marks of slots on their way are lost in no other way. */
async function keysLieInTheirSlots(run: Run, observation: ClusterObservation, order: NodeEndpoint[]): Promise<boolean> {
  const masters = answering(observation).filter((n) => self(n).role === "master");
  const leading = masters.map((n) => n.id).join();
  if (leading === run.searched) return true;
  const { connections, options } = run;
  const found = await strayKeys(observation, connections);
  if (found.strays.length > 0) {
    const ahead = await executorAhead(order, connections);
    if (ahead) throw new AnotherActor(ahead);
    run.acted = true;
    await importStrays(found, observation, connections, options.onProgress);
  } else if (found.unknown.length > 0) run.trouble = found.unknown[0];
  else run.searched = leading;
  return run.searched === leading;
}

/** No further slot is to be begun. What is open is finished at any time: nothing is worse than slots that stay open. */
function timeIsUp({ stopMovesAt }: Run, observation: ClusterObservation): boolean {
  const finishing = answering(observation).some((n) => openSlotsOf(n).length > 0);
  return !finishing && stopMovesAt !== undefined && Date.now() >= stopMovesAt;
}

/** The goal is not reached, so nothing that was to follow may follow: machines of nodes that still own slots stay. */
function stoppedInTime(
  { goal, moves, members, options, stopMovesAt = 0 }: Run,
  observation: ClusterObservation,
): FormationFailed {
  const time = `\`migration.until\` ("${options.migration?.until}": ${new Date(stopMovesAt).toISOString()})`;
  return new FormationFailed(
    [
      `slots stopped moving, as ${time} asks, and none is open: ${moves.summary(goal, observation)}`,
      ...moves.pairsLeft(goal, observation).map((line) => `  ${line}`),
      "  → run `up` again to go on, with a later time or none if it is an instant that has passed",
    ].join("\n"),
    members,
  );
}

/** Silence may be a server that is just starting; everything else does not pass by waiting. */
function mayPass(refusals: readonly Refusal[]): boolean {
  return refusals.every((r) => r.kind === "silent-node");
}

function refused(refusals: readonly Refusal[], members: readonly Member[]): FormationFailed {
  const lines = refusals.map((r) => `${r.message}\n    → ${r.remedy}`);
  return new FormationFailed(`nothing was changed, because\n  ${lines.join("\n  ")}`, members, refusals);
}

async function stalled(
  run: Run,
  observation: ClusterObservation,
  next: Plan,
  still: number,
  watch: StallWatch,
): Promise<FormationFailed> {
  const open =
    next.kind === "wait"
      ? next.reasons
      : next.kind === "act"
        ? next.steps.map((s) => `${s.node} does not carry out ${s.do}`)
        : [];
  const shown = open.length > 12 ? [...open.slice(0, 12), `and ${open.length - 12} more`] : open;
  const causes = [...endlessCopies(observation, watch), ...(await diagnose(run.goal, observation, run.connections))];
  return new FormationFailed(
    [
      `nothing has moved for ${Math.round(still / 1000)} s:`,
      ...shown.map((line) => `  ${line}`),
      ...(run.trouble ? [`  ${run.trouble}`] : []),
      ...causes.map((line) => `  → ${line}`),
    ].join("\n"),
    run.members,
  );
}

/** Replicas that begin their full copy over and over. */
function endlessCopies(observation: ClusterObservation, watch: StallWatch): string[] {
  return answering(observation).flatMap((node) => {
    const times = watch.startedOver(node.name);
    if (node.replication.linkUp || times === 0) return [];
    const master = answering(observation).find((n) => n.id === self(node).masterId);
    return [
      `${node.name} has begun its copy from ${master?.name ?? "its master"} ${times + 1} times and never got to its end: see the logs of both for why (on ${master?.name ?? "the master"} client-output-buffer-limit replica and repl-timeout; on ${node.name} memory and disk; the network between them)`,
    ];
  });
}

function say(run: Run, observation: ClusterObservation, next: Plan, more: string): void {
  if (next.kind === "refuse" && !mayPass(next.refusals)) return;
  const line = `${progressLine(run.goal, observation)}${more}`;
  if (line !== run.said) run.options.onProgress(line);
  run.said = line;
}
