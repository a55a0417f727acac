import { expect, test } from "vitest";
import { type Listener, unheard } from "../../../components/formation/heard";

const listener = (id: string, upSeconds: number, heard: Readonly<Record<string, number>>): Listener => ({
  id,
  upSeconds,
  heard: new Map(Object.entries(heard)),
});

test("members that have all read something of each other: nobody is waited for", () => {
  expect(unheard([listener("a", 100, { b: 99_000 }), listener("b", 100, { a: 100_500 })])).toEqual([]);
});

test("one that has just started, and nobody has read anything of it, nor it of them", () => {
  const members = [listener("a", 100, { b: 99_000 }), listener("b", 100, { a: 99_000 }), listener("new", 0, {})];
  expect(unheard(members)).toEqual([
    ["a", "new"],
    ["b", "new"],
    ["new", "a"],
    ["new", "b"],
  ]);
});

test("a link that is older than the server at its other end is none to it", () => {
  const again = listener("again", 3, { a: 2_900 });
  expect(unheard([listener("a", 100, { again: 50_000 }), again])).toEqual([["a", "again"]]);
  // It runs for up to a second longer than it says.
  expect(unheard([listener("a", 100, { again: 3_900 }), again])).toEqual([]);
});

test("two that have run for long are not waited for, whatever keeps them apart", () => {
  const [apart, other] = [listener("a", 3600, { young: 100 }), listener("b", 60, { young: 100 })];
  expect(unheard([apart, other])).toEqual([]);
  expect(unheard([apart, listener("young", 59, {})])).toEqual([["young", "a"]]);
});

test("links to those that did not tell are nobody's business", () => {
  expect(unheard([listener("a", 100, { silent: 5_000 })])).toEqual([]);
});
