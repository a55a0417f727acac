import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { self } from "../../components/formation/observation";
import { expandSlots } from "../../components/formation/slots";
import { type ChaosCluster, until } from "./cluster";
import type { Random } from "./random";
import type { Fault } from "./sequence";

export interface FaultContext {
  readonly cluster: ChaosCluster;
  readonly random: Random;
  /** A node dies or freezes now: what was acknowledged lately may be lost. */
  readonly losesWrites: () => void;
}

/** What a fault came to. */
export interface Injected {
  /** What was done to whom, for a reader. */
  readonly what: string;
  /** Ends when the platform has done its part: the server is started again, or goes on. */
  readonly over: Promise<void>;
  /** The refusal that has to follow, and what a person does about it as its remedy says. */
  readonly refusal?: { readonly kind: string; readonly remedy: () => Promise<void> };
}

const DONE = Promise.resolve();

type Inject = (context: FaultContext) => Promise<Injected>;

/** Injects the fault; the answer says when its cause has ended. */
export function inject(fault: Exclude<Fault, "kill-executor">, context: FaultContext): Promise<Injected> {
  return INJECT[fault](context);
}

const INJECT: Readonly<Record<Exclude<Fault, "kill-executor">, Inject>> = {
  "kill-master": async (context) => kill(context, [(await leaderOf(context)).name]),
  "kill-replica": async (context) => kill(context, [(await replicaOf(context)).name]),
  "kill-shard": async (context) => {
    const { leader, replicas } = context.random.pick(await context.cluster.layout());
    return kill(
      context,
      [leader, ...replicas].map((n) => n.name),
    );
  },

  async freeze(context) {
    const { cluster, random } = context;
    const { name } = await (random.chance(0.7) ? leaderOf(context) : anyNode(context));
    const milliseconds = random.integer(300, 3_500);
    context.losesWrites();
    cluster.signal(name, "SIGSTOP");
    const over = setTimeout(milliseconds).then(() => cluster.signal(name, "SIGCONT"));
    return { what: `${name} frozen for ${milliseconds} ms`, over };
  },

  async "lost-nodes-conf"(context) {
    const { cluster, random } = context;
    const { name } = await anyNode(context);
    const waits = random.chance(0.5) ? random.integer(0, 3_000) : 0;
    context.losesWrites();
    await cluster.stopNode(name);
    rmSync(join(cluster.dir(name), "nodes.conf"));
    await setTimeout(waits);
    await cluster.startNode(name);
    return { what: `${name} lost its nodes.conf, back after ${waits} ms`, over: DONE };
  },

  async "lost-volume"(context) {
    const { cluster } = context;
    const { name } = await replicaOf(context);
    context.losesWrites();
    await cluster.stopNode(name);
    rmSync(cluster.dir(name), { recursive: true });
    await cluster.startNode(name);
    return { what: `${name}, a replica, lost its whole folder`, over: DONE };
  },

  async "other-address"(context) {
    const { cluster, random } = context;
    const { name } = await anyNode(context);
    const waits = random.chance(0.3) ? random.integer(0, 3_000) : 0;
    context.losesWrites();
    await cluster.stopNode(name, "SIGTERM");
    await cluster.moveNode(name);
    await setTimeout(waits);
    await cluster.startNode(name);
    return { what: `${name} is at port ${cluster.endpoint(name).port} now, back after ${waits} ms`, over: DONE };
  },

  async "all-other-addresses"(context) {
    const { cluster } = context;
    const names = cluster.running;
    context.losesWrites();
    await Promise.all(names.map((name) => cluster.stopNode(name, "SIGTERM")));
    for (const name of names) await cluster.moveNode(name);
    await Promise.all(names.map((name) => cluster.startNode(name)));
    return { what: `all ${names.length} nodes are at other ports now`, over: DONE };
  },

  "open-slots": openSlots,

  async "hand-failover"(context) {
    const { cluster, random } = context;
    const zones = new Map(cluster.goal.plan.shards.flatMap((s) => s.nodes.map((n) => [n.name, n.zone] as const)));
    const zone = random.pick(cluster.goal.plan.zones);
    const most = random.integer(1, 4);
    const shards = await cluster.layout();
    const replicas = shards.flatMap(({ replicas: own }) => own.find((r) => r.replication.linkUp) ?? []);
    const into = shards.flatMap(({ replicas: own, leader }) =>
      zones.get(leader.name) === zone
        ? []
        : (own.find((r) => zones.get(r.name) === zone && r.replication.linkUp) ?? []),
    );
    const heirs = (into.length > 0 ? into : replicas).slice(0, most).map((r) => r.name);
    for (const name of heirs) await failoverTo(cluster, name);
    return { what: `${heirs.join(", ")} lead${heirs.length === 1 ? "s" : ""} by hand (zone ${zone})`, over: DONE };
  },

  async "hand-setting"({ cluster, random }) {
    const names = random.shuffle(await cluster.alive()).slice(0, random.integer(1, 3));
    const [setting, value] = random.pick([
      ["maxmemory-policy", "allkeys-random"],
      ["cluster-node-timeout", "3000"],
    ] as const);
    for (const name of names) await cluster.call(name, "CONFIG", "SET", setting, value);
    return { what: `${setting} ${value} set by hand on ${names.join(", ")}`, over: DONE };
  },

  async "hand-forget"({ cluster, random }) {
    const nodes = random.shuffle((await cluster.layout()).flatMap(({ leader, replicas }) => [leader, ...replicas]));
    const [by] = nodes;
    const forgotten = nodes.find((n) => by && n !== by && self(by).masterId !== n.id);
    if (!by || !forgotten) throw new Error("there is nobody to forget");
    await cluster.call(by.name, "CLUSTER", "FORGET", forgotten.id);
    return { what: `${by.name} was told to forget ${forgotten.name}`, over: DONE };
  },

  async "delete-slots"({ cluster, random }) {
    const shards = await cluster.layout();
    const { leader } = random.pick(shards);
    const by = random.pick(random.chance(0.5) ? [leader] : shards.map((s) => s.leader));
    const slots = random.shuffle(expandSlots(self(leader).slots)).slice(0, random.integer(1, 20));
    await cluster.call(by.name, "CLUSTER", "DELSLOTS", ...slots);
    return { what: `${by.name} was told that nobody owns ${slots.length} slots of ${leader.name}`, over: DONE };
  },

  async "foreign-node"({ cluster, random }) {
    const { name, endpoint } = await cluster.stranger();
    const { leader } = random.pick(await cluster.layout());
    await cluster.call(leader.name, "CLUSTER", "MEET", endpoint.address, endpoint.port, endpoint.busPort);
    const id = String(await cluster.call(endpoint, "CLUSTER", "MYID"));
    await until(`${leader.name} knows the foreign node`, async () =>
      new RegExp(`^${id} (?!.*handshake)`, "m").test(String(await cluster.call(leader.name, "CLUSTER", "NODES"))),
    );
    // As the refusal says: out of the cluster it belongs to by now, on every node. Stopped first, or it comes back.
    const remedy = async () => {
      await cluster.stopNode(name);
      const alive = await cluster.alive();
      await Promise.all(alive.map((n) => cluster.call(n, "CLUSTER", "FORGET", id).catch(() => undefined)));
    };
    return { what: `${leader.name} met a foreign node`, over: DONE, refusal: { kind: "foreign-node", remedy } };
  },

  async "hand-replicate"(context) {
    const { cluster, random } = context;
    const shards = await cluster.layout();
    const from = random.pick(shards.filter((s) => s.replicas.length > 0));
    const replica = random.pick(from.replicas);
    const to = random.pick(shards.filter((s) => s !== from));
    await cluster.call(replica.name, "CLUSTER", "REPLICATE", to.leader.id);
    await until(`${replica.name} is in sync`, async () =>
      /master_link_status:up/.test(String(await cluster.call(replica.name, "INFO", "replication"))),
    );
    const leads = random.chance(0.5);
    if (leads) await failoverTo(cluster, replica.name);
    return {
      what: `${replica.name} follows ${to.leader.name} by hand${leads ? ", and leads in its place" : ""}`,
      over: DONE,
    };
  },
};

/** Killed at once; started again after a while, as a supervisor or the platform does. */
async function kill(context: FaultContext, names: readonly string[]): Promise<Injected> {
  const { cluster, random, losesWrites } = context;
  const waits = random.chance(0.4) ? 0 : random.integer(0, 4_000);
  losesWrites();
  await Promise.all(names.map((name) => cluster.stopNode(name)));
  const over = setTimeout(waits).then(() => Promise.all(names.map((name) => cluster.startNode(name))));
  return { what: `${names.join(", ")} killed, back after ${waits} ms`, over: over.then(() => undefined) };
}

async function leaderOf({ cluster, random }: FaultContext) {
  return random.pick(await cluster.layout()).leader;
}

async function replicaOf({ cluster, random }: FaultContext) {
  return random.pick((await cluster.layout()).flatMap((s) => s.replicas));
}

async function anyNode({ cluster, random }: FaultContext) {
  return random.pick((await cluster.layout()).flatMap((s) => [s.leader, ...s.replicas]));
}

async function failoverTo(cluster: ChaosCluster, name: string): Promise<void> {
  await until(`${name} leads`, async () => {
    const [role] = (await cluster.call(name, "ROLE")) as string[];
    if (role === "master") return true;
    // Asked for again only once it had the time to happen.
    await cluster.call(name, "CLUSTER", "FAILOVER").catch(() => undefined);
    for (let look = 0; look < 40; look++) {
      const [now] = (await cluster.call(name, "ROLE")) as string[];
      if (now === "master") return true;
      await setTimeout(25);
    }
    return false;
  });
  // Everybody has heard of it: a second failover right after would be voted for by nobody.
  await setTimeout(200);
}

/** What an aborted move of redis-cli or of ours leaves behind: marks on both ends or one, some keys on the way, the owner told to one end only. */
async function openSlots({ cluster, random }: FaultContext): Promise<Injected> {
  const [from, to] = random.shuffle(await cluster.layout()).map((s) => s.leader);
  if (!from || !to) throw new Error("there are no two shards");
  const left = random.pick(["both", "migrating", "importing", "half moved", "target owns"] as const);
  const owned = expandSlots(self(from).slots);
  const withKeys: number[] = [];
  for (const slot of random.shuffle(owned).slice(0, 400)) {
    if (Number(await cluster.call(from.name, "CLUSTER", "COUNTKEYSINSLOT", slot)) > 0) withKeys.push(slot);
    if (withKeys.length === 2) break;
  }
  const slots = [...new Set([...withKeys, random.pick(owned)])];
  for (const slot of slots) {
    if (left !== "migrating") await cluster.call(to.name, "CLUSTER", "SETSLOT", slot, "IMPORTING", from.id);
    if (left !== "importing") await cluster.call(from.name, "CLUSTER", "SETSLOT", slot, "MIGRATING", to.id);
    if (left !== "half moved" && left !== "target owns") continue;
    const keys = (await cluster.call(from.name, "CLUSTER", "GETKEYSINSLOT", slot, 1_000)) as string[];
    const moving = left === "half moved" ? keys.slice(0, Math.ceil(keys.length / 2)) : keys;
    const { address, port } = cluster.endpoint(to.name);
    if (moving.length > 0) await cluster.call(from.name, "MIGRATE", address, port, "", 0, 5_000, "KEYS", ...moving);
    // The writers may have added one meanwhile: then it is only half moved.
    const rest = Number(await cluster.call(from.name, "CLUSTER", "COUNTKEYSINSLOT", slot));
    if (left === "target owns" && rest === 0) await cluster.call(to.name, "CLUSTER", "SETSLOT", slot, "NODE", to.id);
  }
  return { what: `slots ${slots.join(", ")} left open from ${from.name} to ${to.name} (${left})`, over: DONE };
}
