import { type FormationGoal, settingsOf } from "./goal";
import { type AnsweringNode, self } from "./observation";
import type { Step } from "./steps";

/** What a node calls itself, and whether nodes send clients to such names or to addresses. */
const NAME = "cluster-announce-hostname";
const TYPE = "cluster-preferred-endpoint-type";

/*
 * A server that is to send clients to a name that it has not heard sends them to "?". Names are told with pings, so others hear of one half a node
 * timeout later. Hence names come in this order: every node announces its own, all hear of all, then clients are sent there. They go the other way round.
 */

/** Clients are sent to addresses again, before any name goes: by every node, also by one that leaves. */
export function stopUsingNames(goal: FormationGoal, alive: readonly AnsweringNode[], persist: boolean): Step[] {
  if (!goal.nodeSettings || wantsNames(goal)) return [];
  return alive
    .filter((node) => node.settings[TYPE] === "hostname")
    .map(({ name }) => ({ do: "setConfig", node: name, settings: { [TYPE]: "ip" }, persist }));
}

/** Names are announced, which no client notices yet. A new node that meets others without names sends clients to addresses as long as they do. */
export function announceNames(goal: FormationGoal, alive: readonly AnsweringNode[], persist: boolean): Step[] {
  if (!goal.nodeSettings || !wantsNames(goal)) return [];
  const nameless = alive.some((node) => node.view.length > 1 && !self(node).hostname);
  return alive.flatMap((node): Step[] => {
    const name = settingsOf(goal, node.name)[NAME];
    if (name && !node.leaving && node.settings[NAME] !== name)
      return [{ do: "setConfig", node: node.name, settings: { [NAME]: name }, persist }];
    return nameless && node.view.length === 1 && node.settings[TYPE] === "hostname"
      ? [{ do: "setTemporary", node: node.name, settings: { [TYPE]: "ip" } }]
      : [];
  });
}

/** Settings that have to wait, since a node may not send clients to names yet. */
export function waitingForNames(alive: readonly AnsweringNode[]): readonly string[] {
  const named = alive.every((node) => node.view.every((entry) => entry.handshake || entry.hostname));
  return named && alive.every((node) => unheardNames(node, alive).length === 0) ? [] : [TYPE];
}

/** Nodes that announce another name than this one has heard, or none any more; by name. */
export function unheardNames(node: AnsweringNode, alive: readonly AnsweringNode[]): string[] {
  const announced = new Map(alive.map((other) => [other.id, { name: other.name, hostname: self(other).hostname }]));
  return node.view
    .flatMap((entry) => {
      const other = announced.get(entry.id);
      return !other || entry.handshake || entry.hostname === other.hostname ? [] : [other.name];
    })
    .sort();
}

function wantsNames({ nodeSettings = {} }: FormationGoal): boolean {
  return Object.values(nodeSettings).some((settings) => settings[NAME]);
}
