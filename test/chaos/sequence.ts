import { Random } from "./random";

/** What happens to a cluster beside its declaration. Each is injected at least ten times in a hundred runs. */
export const FAULTS = [
  "kill-master",
  "kill-replica",
  "kill-shard",
  "freeze",
  "lost-nodes-conf",
  "lost-volume",
  "other-address",
  "all-other-addresses",
  "kill-executor",
  "open-slots",
  "hand-failover",
  "hand-setting",
  "hand-forget",
  "delete-slots",
  "foreign-node",
  "hand-replicate",
] as const;

export type Fault = (typeof FAULTS)[number];

/** The declaration, as far as it changes here. */
export interface Declaration {
  readonly masters: number;
  readonly replicas: number;
  readonly zones: number;
  readonly nodeTimeoutMilliseconds: number;
  readonly maxmemoryPolicy: string;
}

/** One `up`, with what happens before it or while it runs. */
export interface Round {
  readonly declared: Declaration;
  /** A node that is restarted as a roll does it, before formation runs: its index, as a fraction of the nodes. */
  readonly roll?: number;
  readonly fault: Fault;
  /** `during`: while the executor works, after `delay` milliseconds. */
  readonly moment: "before" | "during";
  readonly delay: number;
  /** After an executor was killed: whether the same declaration goes on, or the former one comes back. */
  readonly next: "again" | "taken-back";
  /** Which of its changing commands is the executor's last. */
  readonly killAfter: number;
}

export interface Sequence {
  readonly index: number;
  /** Which of the servers at hand, as a fraction. */
  readonly server: number;
  readonly start: Declaration;
  readonly rounds: readonly Round[];
}

const ROUNDS = 3;
/** More servers than this on one machine would measure the machine. */
const MOST_NODES = 18;
/** Without a replica these lose data, or cannot be done. */
const NEEDS_REPLICAS: ReadonlySet<Fault> = new Set([
  "kill-replica",
  "lost-nodes-conf",
  "lost-volume",
  "hand-failover",
  "hand-replicate",
]);
/** What happens while formation runs; everything else is somebody's work beforehand, or what a platform finds. */
const MAY_BE_DURING: ReadonlySet<Fault> = new Set([
  "kill-master",
  "kill-replica",
  "kill-shard",
  "freeze",
  "hand-failover",
  "hand-setting",
]);
const MASTERS = [3, 3, 3, 3, 4, 4, 4, 5, 5, 6, 6, 7, 8, 9] as const;

/** The sequence of one run: always the same for a seed and an index. */
export function sequenceOf(seed: number, index: number): Sequence {
  const random = new Random(seed, index);
  const faults = Array.from({ length: ROUNDS }, (_, round) => dealt(seed, index * ROUNDS + round));
  const replicated = (round: number) =>
    [faults[round - 1], faults[round]].some((fault) => fault !== undefined && NEEDS_REPLICAS.has(fault));
  const start = drawn(random, undefined, replicated(0));
  let now = start;
  const rounds = faults.map((fault, i): Round => {
    now = drawn(random, now, replicated(i + 1));
    return {
      declared: now,
      ...(random.chance(0.25) ? { roll: random.next() } : {}),
      fault,
      moment: MAY_BE_DURING.has(fault) && random.chance(0.5) ? "during" : "before",
      delay: random.integer(0, 1_200),
      next: random.chance(0.5) ? "again" : "taken-back",
      killAfter: random.integer(1, 60),
    };
  });
  return { index, server: random.next(), start, rounds };
}

/** Faults are dealt like cards: each kind comes once before any comes twice. */
function dealt(seed: number, position: number): Fault {
  const deck = new Random(seed, -1, Math.floor(position / FAULTS.length)).shuffle(FAULTS);
  return deck[position % FAULTS.length] as Fault;
}

function drawn(random: Random, before: Declaration | undefined, replicated: boolean): Declaration {
  const declared = before ? changed(random, before) : fresh(random);
  const replicas = replicated ? Math.max(1, declared.replicas) : declared.replicas;
  const masters = Math.max(3, Math.min(declared.masters, Math.floor(MOST_NODES / (replicas + 1))));
  return { ...declared, replicas, masters };
}

function fresh(random: Random): Declaration {
  return {
    masters: random.pick(MASTERS),
    replicas: random.pick([0, 1, 1, 1, 1, 1, 2]),
    zones: random.integer(1, 4),
    nodeTimeoutMilliseconds: 1_000,
    maxmemoryPolicy: "noeviction",
  };
}

function changed(random: Random, before: Declaration): Declaration {
  let now = before;
  // Most changes are one; some are several at once, some none: then only the fault is to be mended.
  const count = random.pick([0, 1, 1, 1, 2, 2, 3]);
  for (let i = 0; i < count; i++) {
    switch (random.pick(["masters", "masters", "masters", "replicas", "zones", "setting", "timeout"] as const)) {
      case "masters":
        now = { ...now, masters: Math.min(9, Math.max(3, now.masters + random.pick([-2, -1, -1, 1, 1, 2]))) };
        break;
      case "replicas":
        now = { ...now, replicas: random.pick([0, 1, 1, 2].filter((n) => n !== now.replicas)) };
        break;
      case "zones":
        now = { ...now, zones: random.pick([1, 2, 3, 4].filter((n) => n !== now.zones)) };
        break;
      case "setting":
        now = { ...now, maxmemoryPolicy: now.maxmemoryPolicy === "noeviction" ? "volatile-ttl" : "noeviction" };
        break;
      case "timeout":
        now = { ...now, nodeTimeoutMilliseconds: now.nodeTimeoutMilliseconds === 1_000 ? 1_500 : 1_000 };
    }
  }
  return now;
}

export function describeDeclaration(d: Declaration): string {
  return `${d.masters}+${d.masters * d.replicas} nodes in ${d.zones} zones, timeout ${d.nodeTimeoutMilliseconds}, ${d.maxmemoryPolicy}`;
}

/** One line a round: what a reader needs to see what a run does. */
export function describeSequence({ start, rounds }: Sequence): string[] {
  return [
    `form ${describeDeclaration(start)}`,
    ...rounds.map((round) => {
      const fault =
        round.fault === "kill-executor"
          ? `kill-executor after command ${round.killAfter}, then ${round.next}`
          : `${round.fault} ${round.moment === "during" ? `${round.delay} ms into it` : "before it"}`;
      return `declare ${describeDeclaration(round.declared)}${round.roll === undefined ? "" : ", a node rolls"} · ${fault}`;
    }),
  ];
}
