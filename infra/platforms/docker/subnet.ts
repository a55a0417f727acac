/** Addresses of IPv4, as numbers, both ends included. */
export interface AddressRange {
  readonly first: number;
  readonly last: number;
}

/** How a cluster's own network is divided. */
export interface SubnetPlan {
  /** `10.201.8.0/21`. */
  readonly subnet: string;
  /** The host's own address in it. */
  readonly gateway: string;
  /** What Docker gives to containers that ask for no address: the upper half, so that it never takes one of a node. */
  readonly ipRange: string;
}

/** From the first of its subnet: the network's own, the gateway, and room for what else a person puts there. */
const FIRST_NODE = 16;
const DEFAULT_PREFIX = 21;
const LONGEST_PREFIX = 26;
const SHORTEST_PREFIX = 16;

/** @throws RangeError where it is no IPv4 address */
export function addressNumber(text: string): number {
  const parts = text.split(".").map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : Number.NaN));
  if (parts.length !== 4 || parts.some((part) => !(part <= 255))) throw new RangeError(`${text} is no IPv4 address`);
  return parts.reduce((number, part) => number * 256 + part, 0);
}

export function addressText(number: number): string {
  return [24, 16, 8, 0].map((bits) => Math.floor(number / 2 ** bits) % 256).join(".");
}

/** @returns undefined where it is none, or does not begin where its length says */
export function rangeOf(subnet: string): AddressRange | undefined {
  const match = /^([\d.]+)\/(\d{1,2})$/.exec(subnet);
  if (match?.[1] === undefined || Number(match[2]) > 32) return undefined;
  try {
    const first = addressNumber(match[1]);
    const size = 2 ** (32 - Number(match[2]));
    return first % size === 0 ? { first, last: first + size - 1 } : undefined;
  } catch {
    return undefined;
  }
}

export function overlap(a: AddressRange, b: AddressRange): boolean {
  return a.first <= b.last && b.first <= a.last;
}

/** Why this cannot be the network of a cluster, or undefined where it can: what it got, what is allowed. */
export function subnetProblem(subnet: string): string | undefined {
  const range = rangeOf(subnet);
  const prefix = Number(subnet.split("/")[1]);
  if (range && prefix >= SHORTEST_PREFIX && prefix <= LONGEST_PREFIX) return undefined;
  return `is no network of IPv4 between /${SHORTEST_PREFIX} and /${LONGEST_PREFIX} that begins where its length says; use one such as "10.201.8.0/21"`;
}

/** How many nodes have room in it. */
export function nodesIn(subnet: string): number {
  const range = rangeOf(subnet);
  return range ? (range.last - range.first + 1) / 2 - FIRST_NODE : 0;
}

export function divide(subnet: string): SubnetPlan {
  const range = rangeOf(subnet);
  if (!range) throw new RangeError(`${subnet} is no network`);
  const half = (range.last - range.first + 1) / 2;
  const prefix = Number(subnet.split("/")[1]) + 1;
  return {
    subnet,
    gateway: addressText(range.first + 1),
    ipRange: `${addressText(range.first + half)}/${prefix}`,
  };
}

/**
 * Numbers of nodes in their network, which stay as long as the node does. A new one gets the number that it would like, unless
 * another one has it, or had it until this change: that one is still there while this one comes.
 * @param had numbers so far, also of nodes that go now
 * @param wanted the number that each node would like, by name
 * @param room how many numbers there are
 * @returns undefined where there is no room
 */
export function numberNodes(
  had: Readonly<Record<string, number>>,
  wanted: Readonly<Record<string, number>>,
  room: number,
): Record<string, number> | undefined {
  const taken = new Set(Object.values(had));
  const numbers: [string, number][] = [];
  const names = Object.keys(wanted).sort((a, b) => (wanted[a] ?? 0) - (wanted[b] ?? 0) || (a < b ? -1 : 1));
  for (const name of names) {
    let number = had[name];
    if (number === undefined) {
      number = wanted[name] ?? 0;
      for (let tried = 0; taken.has(number) || number >= room; tried++) {
        if (tried > room) return undefined;
        number = number + 1 >= room ? 0 : number + 1;
      }
      taken.add(number);
    }
    numbers.push([name, number]);
  }
  return Object.fromEntries(numbers.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** @param subnet of a plan */
export function nodeAddress(subnet: string, number: number): string {
  return addressText((rangeOf(subnet)?.first ?? 0) + FIRST_NODE + number);
}

/** Networks of so many addresses in 10.192.0.0/11, where few people and programs choose theirs; the first ones differ from name to name. */
export function candidates(seed: number): string[] {
  const size = 2 ** (32 - DEFAULT_PREFIX);
  const first = addressNumber("10.192.0.0");
  const count = 2 ** 21 / size;
  return Array.from(
    { length: count },
    (_, i) => `${addressText(first + ((seed + i) % count) * size)}/${DEFAULT_PREFIX}`,
  );
}
