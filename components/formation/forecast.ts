import { reportedAs } from "../config/aclList";
import { certificatesAsDeclared, type ObservedCertificates } from "./certificates";
import type { NodeEntry } from "./clusterNodes";
import { type FormationGoal, type History, settingsOf } from "./goal";
import { type AnsweringNode, answering, type ClusterObservation, self } from "./observation";
import { type Plan, plan } from "./plan";
import { countSlots, expandSlots, SLOT_COUNT, toRanges } from "./slots";
import { knows } from "./standing";
import type { Step } from "./steps";
import { type ObservedUsers, OPEN_NODE, usersAsDeclared } from "./users";

/** More rounds than any plan needs; reached only if planning did not converge. */
const ROUND_LIMIT = 200;

/** All batches that lead from here to the goal if every step succeeds, for a reader. Pure. */
export function forecast(
  goal: FormationGoal,
  history: History,
  observation: ClusterObservation,
): { steps: Step[]; end: Plan } {
  const steps: Step[] = [];
  let now = observation;
  for (let round = 0; round < ROUND_LIMIT; round++) {
    const next = plan(goal, history, now, { slotsARound: SLOT_COUNT });
    if (next.kind !== "act") return { steps, end: next };
    steps.push(...next.steps);
    now = settle(next.steps.reduce(apply, now));
  }
  return { steps, end: plan(goal, history, now) };
}

/** The cluster as formation will find it: nodes that come are there, blank; nodes that go are marked as leaving; machines were rolled. */
export function asDeclared(
  before: FormationGoal,
  goal: FormationGoal,
  observation: ClusterObservation,
): ClusterObservation {
  const planned = new Map(goal.plan.shards.flatMap((s) => s.nodes.map((n) => [n.name, n] as const)));
  const former = new Map(before.plan.shards.flatMap((s) => s.nodes.map((n) => [n.name, n] as const)));
  const seen = new Set(observation.nodes.map((n) => n.name));
  const old = observation.nodes.find((n) => n.answering);
  const coming = [...planned.keys()].flatMap((name) => {
    const endpoint = goal.endpoints[name];
    if (seen.has(name) || !endpoint || !old?.answering) return [];
    const id = `new:${name}`;
    const own: NodeEntry = {
      id,
      ...endpoint,
      role: "master",
      myself: true,
      health: "ok",
      handshake: false,
      noaddr: false,
      configEpoch: 0,
      linked: true,
      slots: [],
      openSlots: [],
    };
    return [
      {
        ...old,
        name,
        endpoint,
        id,
        view: [own],
        state: "fail" as const,
        currentEpoch: 0,
        keys: 0,
        memory: { usedBytes: 0, maxBytes: old.memory.maxBytes },
        settings: { ...settingsOf(goal, name) },
        ...(goal.logins ? { users: usersAsDeclared(goal.logins) } : {}),
        ...withCertificates(goal.certificates && certificatesAsDeclared(goal.certificates, name)),
      },
    ];
  });
  const staying = observation.nodes.map((seen) => {
    const n = seen.answering
      ? {
          ...seen,
          server: { ...seen.server, ...rolled(before, goal, seen) },
          // Of an open cluster nobody asked.
          ...(goal.logins ? { users: seen.users ?? OPEN_NODE } : {}),
        }
      : seen;
    const was = former.get(n.name);
    return planned.has(n.name) || n.leaving || !was ? n : { ...n, leaving: { shard: was.shard, zone: was.zone } };
  });
  return { nodes: [...staying, ...coming] };
}

function withCertificates(certificates: ObservedCertificates | undefined): Pick<AnsweringNode, "certificates"> {
  return certificates ? { certificates } : {};
}

/** Machines roll before formation looks: what ran the engine of before runs the declared one then. */
function rolled(
  before: FormationGoal,
  goal: FormationGoal,
  { server }: AnsweringNode,
): Partial<AnsweringNode["server"]> {
  if (goal.given) return {};
  const asBefore = server.name === before.engine.name && `${server.version}.`.startsWith(`${before.engine.version}.`);
  return asBefore ? goal.engine : {};
}

type Change = (node: AnsweringNode) => AnsweringNode;

function onNode(observation: ClusterObservation, name: string, change: Change): ClusterObservation {
  return { nodes: observation.nodes.map((n) => (n.answering && n.name === name ? change(n) : n)) };
}

function onUsers(
  observation: ClusterObservation,
  name: string,
  change: (users: ObservedUsers) => ObservedUsers,
): ClusterObservation {
  return onNode(observation, name, (n) => ({ ...n, users: change(n.users ?? OPEN_NODE) }));
}

function withSelf(node: AnsweringNode, change: Partial<NodeEntry>): AnsweringNode {
  return { ...node, view: node.view.map((e) => (e.myself ? { ...e, ...change } : e)) };
}

/** @param hostname what it announces from now on, empty for none; undefined for as before */
function withName(node: AnsweringNode, hostname: string | undefined): AnsweringNode {
  if (hostname === undefined) return node;
  const { hostname: _former, ...own } = self(node);
  const entry = hostname === "" ? own : { ...own, hostname };
  return { ...node, view: node.view.map((e) => (e.myself ? entry : e)) };
}

/** The cluster after one step that succeeded; views of other nodes follow in `settle`. */
export function apply(observation: ClusterObservation, step: Step): ClusterObservation {
  switch (step.do) {
    case "setTemporary":
    case "setConfig":
      return onNode(observation, step.node, (n) =>
        withName({ ...n, settings: { ...n.settings, ...step.settings } }, step.settings["cluster-announce-hostname"]),
      );
    case "setUser":
      return onUsers(observation, step.node, (users) => ({
        ...users,
        reported: [...users.reported.filter((u) => u.name !== step.user.name), reportedAs(step.user)],
      }));
    case "deleteUser":
      return onUsers(observation, step.node, (users) => ({
        ...users,
        reported: users.reported.filter((u) => u.name !== step.user),
      }));
    case "setReplicationLogin": {
      const { username, passwordHash } = step;
      return onUsers(observation, step.node, (users) => ({ ...users, replication: { username, passwordHash } }));
    }
    case "saveUsers":
      return observation;
    case "trustAuthorities":
      return onNode(observation, step.node, (n) =>
        n.certificates ? { ...n, certificates: { ...n.certificates, trustFile: step.path } } : n,
      );
    case "loadCertificate":
      return onNode(observation, step.node, (n) =>
        // What it shows then is known by its file.
        n.certificates
          ? { ...n, certificates: { ...n.certificates, certificateFile: step.certificatePath, shown: undefined } }
          : n,
      );
    case "setConfigEpoch":
      return onNode(observation, step.node, (n) =>
        withSelf({ ...n, currentEpoch: step.epoch }, { configEpoch: step.epoch }),
      );
    case "bumpEpoch": {
      const latest = Math.max(...answering(observation).map((n) => n.currentEpoch));
      return onNode(observation, step.node, (n) =>
        withSelf({ ...n, currentEpoch: latest + 1 }, { configEpoch: latest + 1 }),
      );
    }
    case "addSlotsRange":
      return onNode(observation, step.node, (n) =>
        withSelf(n, { slots: toRanges([...expandSlots(self(n).slots), ...expandSlots(step.slots)]) }),
      );
    case "releaseSlots": {
      const over = new Set(expandSlots(step.slots));
      return onNode(observation, step.node, (n) =>
        withSelf(n, { slots: toRanges(expandSlots(self(n).slots).filter((slot) => !over.has(slot))) }),
      );
    }
    case "meet": {
      const peer = observation.nodes.find((n) => n.answering && n.name === step.peer);
      if (!peer?.answering) return observation;
      const entry: NodeEntry = { ...self(peer), myself: false };
      return onNode(observation, step.node, (n) => ({
        ...n,
        view: [...n.view.filter((e) => e.id !== peer.id), entry],
      }));
    }
    case "replicate":
      return onNode(observation, step.node, (n) =>
        withSelf(n, { role: "replica", masterId: step.masterId, slots: [] }),
      );
    case "failover": {
      const heir = observation.nodes.find((n) => n.answering && n.name === step.node);
      const formerId = heir?.answering ? self(heir).masterId : undefined;
      if (!heir?.answering || formerId === undefined) return observation;
      const former = observation.nodes.find((n) => n.answering && n.id === formerId);
      const slots = former?.answering ? self(former).slots : (heir.view.find((e) => e.id === formerId)?.slots ?? []);
      return {
        nodes: observation.nodes.map((n) => {
          if (!n.answering) return n;
          const view = n.view.map((e) => (e.id === formerId && !e.myself ? { ...e, slots: [] } : e));
          if (n === heir) return { ...n, view: view.map((e) => (e.myself ? asMaster(e, slots) : e)) };
          return n === former || self(n).masterId === formerId
            ? withSelf({ ...n, view }, { role: "replica", masterId: heir.id, slots: [] })
            : { ...n, view };
        }),
      };
    }
    case "migrateSlots": {
      const moving = new Set(expandSlots(step.slots));
      const given = onNode(observation, step.node, (n) => {
        const slots = toRanges(expandSlots(self(n).slots).filter((s) => !moving.has(s)));
        return withSelf({ ...n, keys: slots.length === 0 ? 0 : n.keys }, { slots });
      });
      return onNode(given, step.to, (n) =>
        withSelf(n, { slots: toRanges([...expandSlots(self(n).slots), ...moving]) }),
      );
    }
    case "stabilizeSlots": {
      const closed = new Set(expandSlots(step.slots));
      return onNode(observation, step.node, (n) =>
        withSelf(n, { openSlots: self(n).openSlots.filter((o) => !closed.has(o.slot)) }),
      );
    }
    case "nameOwner":
      if (step.node !== step.owner) return observation;
      return onNode(observation, step.node, (n) =>
        withSelf(n, { slots: toRanges([...expandSlots(self(n).slots), ...expandSlots(step.slots)]) }),
      );
    case "reset":
      return onNode(observation, step.node, (n) => {
        const { masterId: _former, ...own } = self(n);
        const id = `reset-${n.id}`.slice(0, 40);
        return {
          ...n,
          id,
          keys: 0,
          state: "fail",
          view: [{ ...own, id, role: "master", slots: [], openSlots: [], configEpoch: 0 }],
        };
      });
    case "forget":
      return onNode(observation, step.node, (n) => ({ ...n, view: n.view.filter((e) => e.id !== step.id) }));
  }
}

function asMaster(entry: NodeEntry, slots: NodeEntry["slots"]): NodeEntry {
  const { masterId: _former, ...rest } = entry;
  return { ...rest, role: "master", slots };
}

/** Gossip and copying at their end: everybody in touch knows everybody, by their own word, nobody is in doubt, and replicas hold what their masters do. */
export function settle(observation: ClusterObservation): ClusterObservation {
  const alive = observation.nodes.filter((n) => n.answering);
  const groups = new Map<AnsweringNode, Set<AnsweringNode>>(alive.map((n) => [n, new Set([n])]));
  for (const a of alive) {
    for (const b of alive) {
      if (a === b || !(knows(a, b) || knows(b, a))) continue;
      const merged = new Set([...(groups.get(a) ?? []), ...(groups.get(b) ?? [])]);
      for (const n of merged) groups.set(n, merged);
    }
  }
  return {
    nodes: observation.nodes.map((node) => {
      if (!node.answering) return node;
      const group = groups.get(node) ?? new Set([node]);
      const present = new Set([...group].map((n) => n.id));
      const others = node.view.filter((e) => !present.has(e.id) && !e.handshake);
      const view = [...group].map(
        (n): NodeEntry => ({
          ...self(n),
          address: n.endpoint.address,
          port: n.endpoint.port,
          busPort: n.endpoint.busPort,
          myself: n === node,
          health: "ok",
          linked: true,
          noaddr: false,
          openSlots: n === node ? self(n).openSlots : [],
        }),
      );
      const master = [...group].find((n) => n.id === self(node).masterId);
      const covered = [...group].reduce((sum, n) => sum + countSlots(self(n).slots), 0) === SLOT_COUNT;
      return {
        ...node,
        view: [...view, ...others],
        state: covered ? "ok" : "fail",
        keys: master?.keys ?? node.keys,
        replication: { ...node.replication, linkUp: true },
      };
    }),
  };
}
