import { expect, test } from "vitest";
import { handOverApart, startApart } from "../../../components/formation/runner/apart";

/** Work that goes on until it is told to end, and notes when it does what. */
function log() {
  const noted: string[] = [];
  const ends = new Map<string, () => void>();
  const work = (name: string) => async () => {
    noted.push(`+${name}`);
    await new Promise<void>((end) => ends.set(name, end));
    noted.push(`-${name}`);
  };
  const settle = async () => {
    for (let n = 0; n < 20; n++) await Promise.resolve();
  };
  const end = async (name: string) => {
    ends.get(name)?.();
    await settle();
  };
  return { noted, work, end, settle };
}

test("servers start side by side, and a handover waits for them; a start waits for the handover", async () => {
  const { noted, work, end, settle } = log();
  const all = [startApart("c", work("s1")), startApart("c", work("s2")), handOverApart("c", work("h"))];
  all.push(startApart("c", work("s3")));
  await settle();
  expect(noted).toEqual(["+s1", "+s2"]);
  await end("s1");
  expect(noted).toEqual(["+s1", "+s2", "-s1"]);
  await end("s2");
  // It had waited for longer than the third start.
  expect(noted.slice(3)).toEqual(["-s2", "+h"]);
  await end("h");
  expect(noted.slice(5)).toEqual(["-h", "+s3"]);
  await end("s3");
  await Promise.all(all);
});

test("one that fails says so, and holds up nobody; another cluster is none of its business", async () => {
  const { noted, work, end, settle } = log();
  const failed = handOverApart("c", async () => {
    throw new Error("no majority");
  });
  await expect(failed).rejects.toThrow("no majority");
  const all = [startApart("c", work("s")), handOverApart("other", work("h"))];
  await settle();
  expect(noted).toEqual(["+s", "+h"]);
  await end("s");
  await end("h");
  await Promise.all(all);
});
