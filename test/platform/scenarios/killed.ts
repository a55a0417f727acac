import { expect, test } from "vitest";
import type { Victim } from "../../support/project";
import type { TestServerName } from "../../support/servers";
import { type Subject, UNCHANGED } from "../subject";

type Point = readonly [when: string, line: (nodeType: string) => RegExp, times: number, victim: Victim];

/** Of a first `up`, in the order in which it comes to them; each kill but the first hits a run that resumes. */
const FORMING: readonly Point[] = [
  ["before anything exists", () => /RedisCluster sessions creating/, 1, "both"],
  ["while the second server starts", (node) => new RegExp(`${node} \\S+ creating`), 2, "both"],
  ["with another server running", (node) => new RegExp(`${node} \\S+ created`), 1, "provider"],
  ["with all servers running", () => /ClusterFormation sessions creating/, 1, "engine"],
  ["with slots assigned", () => /slots 16384\/16384/, 1, "both"],
  ["once verified, not yet written down", () => /sessions: verified/, 1, "engine"],
];
const FORMING_SAMPLE = [1, 3];

/** Of a roll: the machine is gone, is back, or its guard has let go of it. */
const ROLLING: readonly Point[] = [
  ["with a guard gone", () => /NodeGuard \S+ deleted/, 1, "both"],
  ["with a server ended", (node) => new RegExp(`${node} \\S+ deleted`), 1, "both"],
  ["with a server made again", (node) => new RegExp(`${node} \\S+ created`), 1, "provider"],
  ["with the third server ended", (node) => new RegExp(`${node} \\S+ deleted`), 3, "engine"],
  ["with another server made again", (node) => new RegExp(`${node} \\S+ created`), 1, "both"],
];
const ROLLING_SAMPLE = [1, 2];

const FORMER: Partial<Record<TestServerName, TestServerName>> = {
  "redis-8.0": "redis-7.0",
  "valkey-9.1": "valkey-8.1",
};

/** The version before the one that is tested, where there is one here. */
export const formerOf = (server: TestServerName): TestServerName => FORMER[server] ?? server;

/** Not yet up, on the former version. */
export function killed(subject: () => Subject, server: TestServerName): void {
  const at = (points: readonly Point[], sample: readonly number[]) =>
    points.filter((_, i) => process.env.FULL || sample.includes(i));

  test("a first up that is killed, again and again: the last one forms the cluster, and nothing is left over", async () => {
    for (const [, line, times, victim] of at(FORMING, FORMING_SAMPLE))
      await subject().killed(line(subject().platform.nodeType), times, victim);
    await subject().mustUp();
    expect(await subject().cluster.left()).toMatchObject({ machines: 6, data: 6 });
    expect((await subject().up()).stdout).toMatch(UNCHANGED);
    await subject().startLoad();
  });

  test(`from ${formerOf(server)} to ${server}, killed on the way: no client is told of an error, no key is lost`, async () => {
    const places = await subject().places();
    const { argsFor, nodeType } = subject().platform;
    const next = formerOf(server) === server ? { redisConfig: { "tcp-backlog": "256" } } : argsFor(server);
    subject().declare(next);
    for (const [when, line, times, victim] of at(ROLLING, ROLLING_SAMPLE))
      await subject().unharmed(`killed ${when}`, () => subject().killed(line(nodeType), times, victim));
    await subject().change("the rest of the roll", {});
    expect(await subject().places()).toEqual(places);
    const [engine, version] = server.split("-");
    expect((await subject().project.inventory()).engine).toMatchObject({ name: engine });
    const versionOf = engine === "valkey" ? /valkey_version:(\d+\.\d+)/ : /redis_version:(\d+\.\d+)/;
    for (const node of await subject().project.nodes())
      expect(versionOf.exec(String(await subject().project.ask(node, "INFO", "server")))?.[1]).toBe(version);
    expect((await subject().up()).stdout).toMatch(UNCHANGED);
    expect(await subject().cluster.left()).toMatchObject({ machines: 6, data: 6 });
  });

  test("a destroy that is killed: the next one ends everything", async () => {
    subject().load.close();
    await subject().killed(new RegExp(`${subject().platform.nodeType} \\S+ deleted`), 2, "both", "destroy");
    await subject().mustDestroy();
    expect(await subject().cluster.left()).toEqual({ machines: 0, data: 0, other: 0 });
  });
}
