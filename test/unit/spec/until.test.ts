import { describe, expect, test } from "vitest";
import { parseUntil, untilAfter } from "../../../components/spec/until";
import { errors, validate } from "./support";

/** The instant that `text` means for a run that began at `from`, as ISO text. */
function next(text: string, from: string): string {
  const until = parseUntil(text);
  if (typeof until === "string") throw new Error(until);
  return new Date(untilAfter(until, Date.parse(from))).toISOString();
}

describe("a time of day is the first one after the start", () => {
  test.each([
    ["05:30 UTC", "2026-11-21T04:00:00Z", "2026-11-21T05:30:00.000Z"],
    ["05:30Z", "2026-11-21T22:00:00Z", "2026-11-22T05:30:00.000Z"],
    ["05:30 Europe/Berlin", "2026-11-21T04:00:00Z", "2026-11-21T04:30:00.000Z"],
    ["05:30 Europe/Berlin", "2026-06-21T02:00:00Z", "2026-06-21T03:30:00.000Z"],
    ["05:30+05:45", "2026-11-21T00:00:00Z", "2026-11-22T23:45:00.000Z".replace("22T", "21T")],
    ["00:00 America/New_York", "2026-11-21T04:59:59Z", "2026-11-21T05:00:00.000Z"],
    // A run that begins on the minute has missed it.
    ["05:30 UTC", "2026-11-21T05:30:00Z", "2026-11-22T05:30:00.000Z"],
    ["05:30 UTC", "2026-11-21T05:29:59.999Z", "2026-11-21T05:30:00.000Z"],
  ])("%s after %s", (text, from, expected) => expect(next(text, from)).toBe(expected));

  test("a time that the change to summer time leaves out is the moment of the change", () => {
    expect(next("02:30 Europe/Berlin", "2027-03-28T00:00:00Z")).toBe("2027-03-28T01:00:00.000Z");
  });

  test("a time that comes twice when summer time ends is the first of them, then the second", () => {
    expect(next("02:30 Europe/Berlin", "2026-10-25T00:00:00Z")).toBe("2026-10-25T00:30:00.000Z");
    expect(next("02:30 Europe/Berlin", "2026-10-25T00:45:00Z")).toBe("2026-10-25T01:30:00.000Z");
  });
});

test("an instant is itself, however late it is", () => {
  expect(next("2027-01-31T05:30:00Z", "2026-11-21T04:00:00Z")).toBe("2027-01-31T05:30:00.000Z");
  expect(next("2027-01-31T05:30+01:00", "2030-11-21T04:00:00Z")).toBe("2027-01-31T04:30:00.000Z");
});

describe("bounds of migration", () => {
  test("are taken over as they are written; none is none", () => {
    const given = { maxKeysPerSecond: 5000, until: "05:30 Europe/Berlin" };
    expect(validate({ migration: given }).spec?.migration).toEqual(given);
    expect(validate({ migration: {} }).spec?.migration).toEqual({});
    expect(validate({}).spec?.migration).toEqual({});
  });

  const use =
    'use a time of day with its time zone, such as "05:30 Europe/Berlin", "05:30 UTC" or "05:30+02:00", or an instant, such as "2027-01-31T05:30:00Z"';
  test.each([
    [
      { maxKeysPerSecond: 0 },
      ["migration.maxKeysPerSecond: 0 is too low; use 1 or more, or leave it out for no limit"],
    ],
    [
      { maxKeysPerSecond: 2.5 },
      ["migration.maxKeysPerSecond: 2.5 is not a whole number; use 1 or more, or leave it out for no limit"],
    ],
    [
      { maxKeysPerSecond: "5000" },
      ['migration.maxKeysPerSecond: got "5000" (string); must be a whole number: write 5000 without quotes'],
    ],
    [{ until: "05:30" }, [`migration.until: "05:30" does not say in which time zone; ${use}`]],
    [
      { until: "2027-01-31T05:30:00" },
      [`migration.until: "2027-01-31T05:30:00" does not say in which time zone; ${use}`],
    ],
    [{ until: "25:00 UTC" }, [`migration.until: "25:00 UTC" is no time; ${use}`]],
    [{ until: "tomorrow" }, [`migration.until: "tomorrow" is no time; ${use}`]],
    [{ until: "05:30 Europe/Bärlin" }, [`migration.until: "05:30 Europe/Bärlin" is no time; ${use}`]],
    [{ until: "05:30 Europe/Berln" }, [`migration.until: "Europe/Berln" is no time zone that is known here; ${use}`]],
    [{ until: "2027-02-30T05:30:00Z" }, [`migration.until: "2027-02-30T05:30:00Z" is no date of the calendar; ${use}`]],
    [{ until: 530 }, ['migration.until: got 530 (number); must be a string: write "530"']],
    [{ maxKeys: 1 }, [expect.stringMatching(/^migration\.maxKeys: is not an argument/)]],
    ["fast", [expect.stringMatching(/^migration: got "fast" \(string\); must be an object/)]],
  ])("%j is refused", (migration, expected) => expect(errors({ migration })).toEqual(expected));
});
