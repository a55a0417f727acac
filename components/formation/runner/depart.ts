import { setTimeout } from "node:timers/promises";
import { type AnsweringNode, type SilentNode, self } from "../observation";
import { observeNode } from "../observe";
import { countSlots } from "../slots";
import { leaveIfOrphaned } from "./engineWatch";
import type { GuardInputs, GuardWork } from "./guard";
import { handOverTo, heirOf, isOnDisk, leads, mastersHaveMajority, mayGoSilently } from "./letGo";

/** How long a replica that is there may take to be in sync, and a node to answer. Nothing is waited for where the loss was agreed to. */
const HOLD_MILLISECONDS = 10_000;

/** Why a machine should not go yet. */
interface Obstacle {
  readonly why: string;
  /** Its keys may be nowhere else. */
  readonly loses: boolean;
}

/**
 * Ends when the machine may go with its whole cluster: by `destroy`, or since no program declares it any more. What Pulumi's flags leave out of that goes
 * on serving, so a leader hands over to whoever is there to take its slots; that nobody is does not hold it, unless its keys are nowhere else and
 * nobody agreed to lose them.
 * @throws Error with why it stays
 */
export async function depart(work: GuardWork): Promise<void> {
  const { inputs } = work;
  const agreed = inputs.dataOnDestroy === "delete";
  for (const until = Date.now() + (agreed ? 0 : HOLD_MILLISECONDS); ; await setTimeout(100)) {
    const obstacle = await obstacleTo(work, agreed);
    leaveIfOrphaned(work.watch);
    if (obstacle === undefined) return;
    if (Date.now() < until) continue;
    if (obstacle.loses) throw stays(obstacle.why, inputs);
    console.log(`${inputs.cluster}: ${obstacle.why}; it goes all the same${agreed ? "" : ", and its data stay"}`);
    return;
  }
}

const stays = (why: string, { dataOnDestroy }: GuardInputs) =>
  new Error(
    `${why}. It stays. \`dataOnDestroy\` is "${dataOnDestroy}": declare "delete" to agree to the loss, or persistence and wait until it is on disk; either way run \`up\` before the cluster is removed again, since this run has taken its formation out of the state`,
  );

async function obstacleTo(work: GuardWork, agreed: boolean): Promise<Obstacle | undefined> {
  const { inputs, connections } = work;
  const node = await observeNode(inputs.node, inputs.endpoint, ["appendonly", "save"], connections);
  if (!node.answering) return agreed ? undefined : ofSilent(work, node);
  // All of the cluster is to go: that is said at its first node, before a copy of anything is gone.
  if (!agreed && !isOnDisk(node)) throw stays(`${inputs.node} ${notSaved(node)}`, inputs);
  const own = self(node);
  if (own.role === "replica") {
    const master = node.view.find((e) => e.id === own.masterId);
    if (agreed || notSaved(node) === undefined || (await leads(master, connections))) return undefined;
    return { why: `${inputs.node} ${notSaved(node)}, and its master does not answer as one`, loses: true };
  }
  const trouble = own.slots.length > 0 ? await handOverIfPossible(work, node) : NOBODY;
  if (trouble === undefined) return undefined;
  const lost = agreed ? undefined : notSaved(node);
  if (lost) return { why: `${inputs.node} ${lost}`, loses: true };
  return trouble === NOBODY ? undefined : { why: trouble, loses: false };
}

/** Nobody is there to take its slots. */
const NOBODY = "";

/** @returns why nobody leads in its place yet; undefined once somebody does */
async function handOverIfPossible(work: GuardWork, node: AnsweringNode): Promise<string | undefined> {
  const { inputs, connections } = work;
  const isThere = node.view.some(
    (e) => e.role === "replica" && e.masterId === node.id && e.health === "ok" && e.linked,
  );
  if (!isThere || !(await mastersHaveMajority(node, connections))) return NOBODY;
  try {
    const { heir } = await heirOf(node, connections);
    // Those that have gone before are not waited for.
    const actors = node.view.filter((e) => e.health !== "fail");
    if (heir) return await handOverTo(work, node, heir, actors);
    return `${inputs.node} owns ${countSlots(self(node).slots)} slots, and its replica is not in sync`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Why ending its process would lose keys, to go on from its name; undefined where it would not. */
function notSaved(node: AnsweringNode): string | undefined {
  if (node.keys === 0) return undefined;
  if (!isOnDisk(node)) return `holds ${node.keys} keys in memory only (no persistence)`;
  return node.unsaved && `holds ${node.keys} keys, and ${node.unsaved}`;
}

/**
 * Dead, hanging, or not to be logged in at: what does not answer may hold keys all the same. That others call it failed says that it does not serve, and not that
 * its process is gone.
 */
async function ofSilent(work: GuardWork, { reason, notListening }: SilentNode): Promise<Obstacle | undefined> {
  const { node, onDisk } = work.inputs;
  if (notListening) return undefined;
  const why = `${node} does not answer (${reason})`;
  if (!onDisk) return { why: `${why}, and may hold keys in memory`, loses: true };
  return (await mayGoSilently(work)) ? undefined : { why, loses: false };
}
