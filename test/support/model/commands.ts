import type { ModelCluster } from "./cluster";
import { type ModelNode, ReplyError } from "./node";

type Handler = (cluster: ModelCluster, node: ModelNode, args: readonly string[]) => unknown;

/** What a server answers to a command. @throws ReplyError */
export function answer(cluster: ModelCluster, node: ModelNode, [name = "", ...args]: readonly string[]): unknown {
  const upper = name.toUpperCase();
  const handler = upper === "CLUSTER" ? CLUSTER[(args[0] ?? "").toUpperCase()] : COMMANDS[upper];
  if (!handler) throw new ReplyError(`ERR unknown command '${name} ${args[0] ?? ""}'`);
  return handler(cluster, node, upper === "CLUSTER" ? args.slice(1) : args);
}

function refuse(message: string): never {
  throw new ReplyError(message);
}

/** Replicas have at once what their master has. */
function changed(cluster: ModelCluster): string {
  cluster.replicate();
  return "OK";
}

const COMMANDS: Readonly<Record<string, Handler>> = {
  PING: () => "PONG",
  ASKING: () => "OK",
  ROLE: (_, node) => [node.self.role === "master" ? "master" : "slave"],
  DBSIZE: (_, node) => node.keyCount,
  INFO: (cluster, node) => info(cluster, node),
  FUNCTION: () => [],
  // Which of these slots hold keys; other scripts only look at sizes.
  EVAL_RO: (_, node, [script = "", , ...slots]) =>
    script.includes("in ipairs(ARGV)") ? slots.filter((slot) => (node.keys.get(Number(slot))?.size ?? 0) > 0) : [],
  // The two scripts that change something.
  EVAL: (cluster, node, [, , ...args]) =>
    args[1] === "IMPORTING" || args[1] === "MIGRATING" ? turn(cluster, node, args) : move(cluster, node, args),
  CONFIG: (_, node, [sub = "", ...rest]) => {
    if (sub === "GET") return rest.flatMap((name) => [name, node.settings.get(name) ?? ""]);
    if (sub === "SET") for (let i = 0; i + 1 < rest.length; i += 2) node.settings.set(rest[i] ?? "", rest[i + 1] ?? "");
    return "OK";
  },
  MIGRATE: (cluster, node, args) => {
    const target = cluster.at({ address: args[0] ?? "", port: Number(args[1]) });
    if (!target) return refuse("IOERR error or timeout connecting to the client");
    const keys = args.slice(args.indexOf("KEYS") + 1);
    let moved = 0;
    for (const [slot, held] of node.keys) {
      for (const key of keys) {
        if (!held.delete(key)) continue;
        target.keysIn(slot).add(key);
        moved++;
      }
    }
    changed(cluster);
    return moved === 0 ? "NOKEY" : "OK";
  },
};

const CLUSTER: Readonly<Record<string, Handler>> = {
  MYID: (_, node) => node.id,
  NODES: (_, node) => node.describe(),
  INFO: (_, node) => {
    // With cluster-require-full-coverage no: a master is ok while it sees most masters.
    const masters = node.voters;
    const gone = masters.filter((m) => m.failed || m.noaddr).length;
    const ok = masters.length > 0 && gone * 2 < masters.length;
    return `cluster_state:${ok ? "ok" : "fail"}\r\ncluster_current_epoch:${node.currentEpoch}\r\n`;
  },
  MEET: (cluster, node, [address = "", port]) => {
    const other = cluster.at({ address, port: Number(port) });
    // OK proves nothing: nobody may be there.
    if (other && other !== node) cluster.meet(node, other);
    return "OK";
  },
  FORGET: (_, node, [id = ""]) => {
    if (!node.known.has(id)) refuse(`ERR Unknown node ${id}`);
    if (id === node.id) refuse("ERR I tried hard but I can't forget myself...");
    if (node.self.masterId === id) refuse("ERR Can't forget my master!");
    node.drop(id);
    node.forgotten.add(id);
    return "OK";
  },
  REPLICATE: (cluster, node, [id = ""]) => {
    const master = node.known.get(id);
    if (!master) return refuse(`ERR Unknown node ${id}`);
    if (id === node.id) refuse("ERR Can't replicate myself");
    if (master.role !== "master") refuse("ERR I can only replicate a master, not a replica.");
    if (node.self.role === "master" && (node.owned.length > 0 || node.keyCount > 0))
      refuse("ERR To set a master the node must be empty and without assigned slots.");
    cluster.follow(node, id);
    return changed(cluster);
  },
  FAILOVER: (cluster, node, [how]) => {
    if (node.self.role !== "replica") refuse("ERR You should send CLUSTER FAILOVER to a replica");
    if (how === undefined && !cluster.masterOf(node))
      refuse("ERR Master is down or failed, please use CLUSTER FAILOVER FORCE");
    const former = cluster.masterOf(node);
    if (cluster.promote(node, how === "TAKEOVER") && former) cluster.hear(former, node);
    return changed(cluster);
  },
  RESET: (cluster, node, [how = "SOFT"]) => {
    if (node.self.role === "master" && node.keyCount > 0)
      refuse("ERR CLUSTER RESET can't be called with master nodes containing keys");
    node.reset(how.toUpperCase() === "HARD" ? cluster.newId() : undefined);
    return "OK";
  },
  BUMPEPOCH: (_, node) => {
    node.bumpEpoch();
    return "OK";
  },
  "SET-CONFIG-EPOCH": (_, node, [epoch]) => {
    if (node.known.size > 1)
      refuse("ERR The user can assign a config epoch only when the node does not know any other node.");
    if (node.self.configEpoch !== 0) refuse("ERR Node config epoch is already non-zero");
    node.self.configEpoch = Number(epoch);
    node.currentEpoch = Math.max(node.currentEpoch, Number(epoch));
    return "OK";
  },
  ADDSLOTSRANGE: (_, node, args) => {
    const slots = ranged(args);
    const busy = slots.find((slot) => node.slots[slot] !== undefined);
    if (busy !== undefined) refuse(`ERR Slot ${busy} is already busy`);
    for (const slot of slots) {
      node.slots[slot] = node.id;
      node.importing.delete(slot);
    }
    return "OK";
  },
  DELSLOTS: (_, node, args) => {
    const free = args.find((slot) => node.slots[Number(slot)] === undefined);
    if (free !== undefined) refuse(`ERR Slot ${free} is already unassigned`);
    for (const slot of args) node.slots[Number(slot)] = undefined;
    return "OK";
  },
  DELSLOTSRANGE: (cluster, node, args) => answer(cluster, node, ["CLUSTER", "DELSLOTS", ...ranged(args).map(String)]),
  COUNTKEYSINSLOT: (_, node, [slot]) => node.keys.get(Number(slot))?.size ?? 0,
  GETKEYSINSLOT: (_, node, [slot, count]) => [...(node.keys.get(Number(slot)) ?? [])].slice(0, Number(count)),
  SETSLOT: (cluster, node, [text, verb = "", id = ""]) => setSlot(cluster, node, Number(text), verb.toUpperCase(), id),
};

function setSlot(cluster: ModelCluster, node: ModelNode, slot: number, verb: string, id: string): unknown {
  if (node.self.role !== "master") refuse("ERR You can use SETSLOT only with masters.");
  if (verb === "STABLE") {
    node.importing.delete(slot);
    node.migrating.delete(slot);
    return "OK";
  }
  const other = node.known.get(id);
  if (!other) refuse(`ERR I don't know about node ${id}`);
  if (other.role !== "master") refuse("ERR Target node is not a master");
  if (verb === "MIGRATING") {
    if (node.slots[slot] !== node.id) refuse(`ERR I'm not the owner of hash slot ${slot}`);
    node.migrating.set(slot, id);
  } else if (verb === "IMPORTING") {
    if (node.slots[slot] === node.id) refuse(`ERR I'm already the owner of hash slot ${slot}`);
    node.importing.set(slot, id);
  } else if (verb === "NODE") {
    if (node.slots[slot] === node.id && id !== node.id && (node.keys.get(slot)?.size ?? 0) > 0)
      refuse(`ERR Can't assign hashslot ${slot} to a different node while I still hold keys for this hash slot.`);
    if ((node.keys.get(slot)?.size ?? 0) === 0) node.migrating.delete(slot);
    const imported = id === node.id && node.importing.delete(slot);
    node.slots[slot] = id;
    // Only the end of an import makes a new epoch, and tells everybody.
    if (imported) {
      node.bumpEpoch();
      for (const known of node.known.values()) {
        const there = known.id === node.id ? undefined : cluster.at(known.endpoint);
        if (there?.id === known.id) cluster.hearOfSlot(there, node, slot);
      }
    }
  }
  return "OK";
}

/** Lists keys of slots and moves them. */
function move(cluster: ModelCluster, node: ModelNode, [address = "", port = "", , ...wanted]: readonly string[]) {
  const found: unknown[] = [];
  for (let i = 0; i + 1 < wanted.length; i += 2) {
    const held = node.keysIn(Number(wanted[i]));
    const before = held.size;
    const keys = [...held].slice(0, Number(wanted[i + 1]));
    if (keys.length > 0) COMMANDS["MIGRATE"]?.(cluster, node, [address, port, "", "0", "0", "KEYS", ...keys]);
    found.push([before - held.size, held.size, ""]);
  }
  return found;
}

/** Closes slots and opens others. */
function turn(cluster: ModelCluster, node: ModelNode, args: readonly string[]) {
  const [owner = "", state = "", peer = "", , closed = ""] = args;
  const closing = args.slice(5, 5 + Number(closed));
  const opening = args.slice(5 + Number(closed));
  const errors: string[] = [];
  const tried = (...command: string[]): unknown => {
    try {
      return answer(cluster, node, ["CLUSTER", ...command]);
    } catch (error) {
      if (!(error instanceof ReplyError)) throw error;
      errors.push(error.message);
      return undefined;
    }
  };
  if (state === "IMPORTING" && closing.length > 0) tried("BUMPEPOCH");
  const unheard: string[] = [];
  for (const [i, slot] of closing.entries()) {
    if (state === "MIGRATING" && node.slots[Number(slot)] === node.id) {
      node.migrating.set(Number(slot), peer);
      unheard.push(slot);
      continue;
    }
    if (state === "IMPORTING" && i < closing.length - 1) tried("SETSLOT", slot, "STABLE");
    tried("SETSLOT", slot, "NODE", owner);
  }
  // The word of the last slot's import speaks of all that this node owns.
  if (state === "IMPORTING" && closing.length > 0)
    for (const known of node.known.values()) {
      const there = known.id === node.id ? undefined : cluster.at(known.endpoint);
      if (there?.id !== known.id) continue;
      for (const slot of closing)
        if (node.slots[Number(slot)] === node.id) cluster.hearOfSlot(there, node, Number(slot));
    }
  const counts = opening.map((slot) => {
    tried("SETSLOT", slot, state, peer);
    return tried("COUNTKEYSINSLOT", slot);
  });
  return [errors, counts, unheard, 0];
}

function ranged(args: readonly string[]): number[] {
  const slots: number[] = [];
  for (let i = 0; i + 1 < args.length; i += 2)
    for (let slot = Number(args[i]); slot <= Number(args[i + 1]); slot++) slots.push(slot);
  return slots;
}

function info(cluster: ModelCluster, node: ModelNode): string {
  const replica = node.self.role === "replica";
  return [
    ...cluster.engine.info,
    "cluster_enabled:1",
    `role:${replica ? "slave" : "master"}`,
    ...(replica ? [`master_link_status:${cluster.masterOf(node) ? "up" : "down"}`] : []),
    "master_sync_in_progress:0",
    "loading:0",
    "used_memory:0",
    "maxmemory:0",
    `master_repl_offset:${node.currentEpoch}`,
    "master_last_io_seconds_ago:0",
  ].join("\r\n");
}
