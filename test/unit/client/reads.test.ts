import { expect, test } from "vitest";
import { readBalancer } from "../../../components/client/reads";

const node = (port: number, status = "ready") => ({ status, options: { host: "10.0.1.5", port } });
/** Who is chosen in a hundred times. */
const chosen = (balance: ReturnType<typeof readBalancer>, nodes: Parameters<typeof balance>[0]) =>
  new Set(Array.from({ length: 100 }, () => balance(nodes)));

test("replicas answer, all of them; the master only where no replica can", () => {
  const [master, one, two] = [node(1), node(2), node(3)];
  const balance = readBalancer(false);
  expect(chosen(balance, [master, one, two])).toEqual(new Set([one, two]));
  expect(chosen(balance, [master, one, undefined])).toEqual(new Set([one]));
  expect(chosen(balance, [master, undefined, node(3, "end")])).toEqual(new Set([master]));
  expect(chosen(balance, [master])).toEqual(new Set([master]));
  expect(balance([undefined, undefined])).toBeUndefined();
});

test("all: the master among them", () => {
  const [master, one] = [node(1), node(2)];
  expect(chosen(readBalancer(true), [master, one])).toEqual(new Set([master, one]));
  expect(chosen(readBalancer(true), [undefined, one])).toEqual(new Set([one]));
});

test("a replica that does not come up is left alone, however often a connection to it is made anew", () => {
  let now = 0;
  const balance = readBalancer(false, () => now);
  const master = node(1);
  const first = node(2, "wait");
  // The first command makes the connection, and others wait in it for a moment.
  expect(balance([master, first])).toBe(first);
  first.status = "connecting";
  now = 100;
  expect(balance([master, first])).toBe(first);
  now = 300;
  expect(balance([master, first])).toBe(master);
  const second = node(2, "wait");
  expect(balance([master, second])).toBe(master);
  now = 2_300;
  expect(balance([master, second])).toBe(second);
  second.status = "ready";
  now = 9_000;
  expect(balance([master, second])).toBe(second);
  // Lost later, it is not tried again at once either.
  const third = node(2, "wait");
  expect(balance([master, third])).toBe(master);
  now = 11_000;
  expect(balance([master, third])).toBe(third);
});
