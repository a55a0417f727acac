import { describe, expect, test } from "vitest";
import { Ledger } from "../../load/ledger";

/** What is found wrong when `got` is read after these writes. */
function wrongAfter(write: (ledger: Ledger) => void, got: string | null): number {
  const ledger = new Ledger();
  write(ledger);
  ledger.compare("key", got, Date.now());
  return ledger.wrong.length;
}

const now = () => ({ from: Date.now() - 60_000, to: Date.now() + 60_000 });

describe("what clients were told, compared with what is read", () => {
  const twice = (ledger: Ledger) => {
    ledger.wrote("key", "first");
    ledger.wrote("key", "second");
  };

  test("the last acknowledged value and nothing else is right", () => {
    expect(wrongAfter(twice, "second")).toBe(0);
    expect(wrongAfter(twice, "first")).toBe(1);
    expect(wrongAfter(twice, null)).toBe(1);
    expect(wrongAfter(twice, "somebody else's")).toBe(1);
    expect(wrongAfter(() => {}, "never written")).toBe(1);
  });

  test("a removed key that comes back is wrong", () => {
    const removed = (ledger: Ledger) => {
      ledger.wrote("key", "first");
      ledger.wrote("key", null);
    };
    expect(wrongAfter(removed, null)).toBe(0);
    expect(wrongAfter(removed, "first")).toBe(1);
  });

  test("a write that ended in an error may have happened or not", () => {
    const attempted = (ledger: Ledger) => {
      ledger.wrote("key", "first");
      ledger.attempted("key", "second");
    };
    expect(wrongAfter(attempted, "first")).toBe(0);
    expect(wrongAfter(attempted, "second")).toBe(0);
    expect(wrongAfter(attempted, null)).toBe(1);
  });

  test("in a loss window an older value is counted, not wrong; what WAIT confirmed stays", () => {
    const ledger = new Ledger();
    ledger.allowLoss(now());
    ledger.wrote("key", "first");
    ledger.wrote("key", "second");
    ledger.wrote("key", "third");
    ledger.compare("key", "first", Date.now());
    expect([ledger.wrong, ledger.lostInWindow]).toEqual([[], 2]);
    // That is its value from now on.
    ledger.compare("key", "third", Date.now());
    expect(ledger.wrong).toHaveLength(1);

    ledger.wrote("kept", "first");
    ledger.wrote("kept", "second", { confirmed: true });
    ledger.compare("kept", "first", Date.now());
    ledger.compare("kept", null, Date.now());
    expect(ledger.wrong).toHaveLength(3);
  });

  test("outside of the window it is wrong, and so is a value that no write ever had", () => {
    const before = (ledger: Ledger) => {
      twice(ledger);
      ledger.allowLoss({ from: Date.now() + 1_000, to: Date.now() + 2_000 });
    };
    expect(wrongAfter(before, "first")).toBe(1);
    const inside = (ledger: Ledger) => {
      ledger.allowLoss(now());
      twice(ledger);
    };
    expect(wrongAfter(inside, "somebody else's")).toBe(1);
    expect(wrongAfter(inside, null)).toBe(0);
  });

  test("a value that lives for a time is there before and gone after", () => {
    const lives = (until: number) => (ledger: Ledger) =>
      ledger.wrote("key", "short", { lives: { until, goneBy: until } });
    expect(wrongAfter(lives(Date.now() + 60_000), "short")).toBe(0);
    expect(wrongAfter(lives(Date.now() + 60_000), null)).toBe(1);
    expect(wrongAfter(lives(Date.now() - 60_000), null)).toBe(0);
    expect(wrongAfter(lives(Date.now() - 60_000), "short")).toBe(1);
  });
});
