import { describe, expect, it } from "vitest";
import { drawStatus } from "../../../components/operations/draw";
import { coloured, formatBytes, formatCount, plain } from "../../../components/operations/paint";
import { reportStatus } from "../../../components/operations/status";
import { healthy, inventoryOf, OBSERVED_AT, silence } from "./support";

const inventory = inventoryOf();
const well = reportStatus(inventory, healthy(inventory), OBSERVED_AT);
const master = inventory.shards[1]?.nodes[0]?.name ?? "";
const ill = reportStatus(inventory, silence(healthy(inventory), master, "fail"), OBSERVED_AT);

const draw = (report: typeof well, width: number) => drawStatus(report, { paint: plain, width }).join("\n");

// These texts are what operators look at: update them only when the new ones are better to look at.
describe("drawStatus", () => {
  it("draws a healthy cluster", () => {
    expect(draw(well, 140)).toMatchInlineSnapshot(`
      "sessions  valkey 9.1.0 · 3 shards · 6 nodes · 3 zones  ✔ healthy
      ██████████████████████▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓█████████████████████  16384 of 16384 slots served

      shard    slots               node               zone    role       address          keys            memory  lag  link
      shard-0  0-5460 (5461)       sessions-0-zone-a  zone-a  ◆ master   127.0.1.1:7001  1,000  1.9 MB / 64.0 MB       up
                                   sessions-0-zone-b  zone-b  ◇ replica  127.0.2.1:7002  2,000  2.0 MB / 64.0 MB  0 B  up
      shard-1  5461-10922 (5462)   sessions-1-zone-b  zone-b  ◆ master   127.0.2.1:7003  3,000  2.1 MB / 64.0 MB       up
                                   sessions-1-zone-c  zone-c  ◇ replica  127.0.3.1:7004  4,000  2.2 MB / 64.0 MB  0 B  up
      shard-2  10923-16383 (5461)  sessions-2-zone-c  zone-c  ◆ master   127.0.3.1:7005  5,000  2.3 MB / 64.0 MB       up
                                   sessions-2-zone-a  zone-a  ◇ replica  127.0.1.1:7006  6,000  2.4 MB / 64.0 MB  0 B  up"
    `);
  });

  it("draws a master that is down", () => {
    expect(draw(ill, 140)).toMatchInlineSnapshot(`
      "sessions  valkey 9.1.0 · 3 shards · 5 of 6 nodes answering · 3 zones  ✗ degraded, 4 issues
      █████████████████████░░░░░░░░░░░░░░░░░░░░░░█████████████████████  10922 of 16384 slots served (16384 assigned)

      shard    slots               node               zone    role       address          keys            memory  lag  link
      shard-0  0-5460 (5461)       sessions-0-zone-a  zone-a  ◆ master   127.0.1.1:7001  1,000  1.9 MB / 64.0 MB       up
                                   sessions-0-zone-b  zone-b  ◇ replica  127.0.2.1:7002  2,000  2.0 MB / 64.0 MB  0 B  up
      shard-1  5461-10922 (5462)   sessions-1-zone-b  zone-b  ✗ master   127.0.2.1:7003                                no answer
                                   sessions-1-zone-c  zone-c  ◇ replica  127.0.3.1:7004  4,000  2.2 MB / 64.0 MB  0 B  up
      shard-2  10923-16383 (5461)  sessions-2-zone-c  zone-c  ◆ master   127.0.3.1:7005  5,000  2.3 MB / 64.0 MB       up
                                   sessions-2-zone-a  zone-a  ◇ replica  127.0.1.1:7006  6,000  2.4 MB / 64.0 MB  0 B  up

      ✗ sessions-1-zone-b at 127.0.2.1:7003 does not answer: connection refused (no server listens there)
        → start the server (one that hangs, on its own host too, has to be ended first; where it keeps no append-only file, once a replica leads
          in its place) or let this machine reach it; where it is declared, \`up\` starts it and joins it again
      ✗ 5 of 5 answering nodes mark sessions-1-zone-b as fail
        → if it stays so for longer than the node timeout, look at that server and at the network between the nodes
      ✗ 5462 slots have no owner among the nodes that answer: 5461-10922
        → bring back the node that owned them (a silent one may still hold their keys); a backup is needed only where its data are gone
      ✗ shard-1 has no master with slots
        → wait for the failover (about two node timeouts); if none comes, bring back one of the shard's nodes"
    `);
  });

  it("leaves out columns where the terminal is narrow", () => {
    expect(draw(well, 72)).toMatchInlineSnapshot(`
      "sessions  valkey 9.1.0 · 3 shards · 6 nodes · 3 zones  ✔ healthy
      ███████████████▓▓▓▓▓▓▓▓▓▓▓▓▓▓██████████████  16384 of 16384 slots served

      shard    node               zone    role       lag  link
      shard-0  sessions-0-zone-a  zone-a  ◆ master        up
               sessions-0-zone-b  zone-b  ◇ replica  0 B  up
      shard-1  sessions-1-zone-b  zone-b  ◆ master        up
               sessions-1-zone-c  zone-c  ◇ replica  0 B  up
      shard-2  sessions-2-zone-c  zone-c  ◆ master        up
               sessions-2-zone-a  zone-a  ◇ replica  0 B  up"
    `);
  });

  it.each([40, 60, 72, 80, 100, 120, 200])("stays within %i columns", (width) => {
    for (const report of [well, ill]) {
      // The heading may wrap by itself; every line of bar, table and issues fits, long words aside.
      for (const line of draw(report, width).split("\n").slice(2)) expect(line.length).toBeLessThanOrEqual(width);
    }
  });

  it("colours without changing a character", () => {
    const text = drawStatus(ill, { paint: coloured, width: 140 }).join("\n");
    expect(text).toContain("\u001b[31m");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the escapes are what is taken out
    expect(text.replace(/\u001b\[\d+m/g, "")).toBe(draw(ill, 140));
  });
});

describe("numbers", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1_500_000, "1.4 MB"],
    [64 * 1024 ** 2, "64.0 MB"],
    [250 * 1024 ** 3, "250 GB"],
  ])("%i bytes are %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  it("groups thousands", () =>
    expect([0, 999, 1000, 1234567].map(formatCount)).toEqual(["0", "999", "1,000", "1,234,567"]));
});
