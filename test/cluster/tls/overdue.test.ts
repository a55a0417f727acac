import { setTimeout } from "node:timers/promises";
import { describe, expect, type TestContext, test } from "vitest";
import { Project } from "../../support/project";
import { testServers } from "../../support/servers";

const DAY_SECONDS = 86_400;
const COMMON = { nodeTimeoutMilliseconds: 2_000 };
/** From here on they live long enough for the rest of a test. */
const LONG = { certificateDays: 30, renewBeforeDays: 1 };

/** A cluster with data, whose certificates or authority were let to end. */
async function overdue(
  { skip, onTestFinished }: TestContext,
  seconds: { readonly certificate: number; readonly authority?: number },
): Promise<Project> {
  const servers = (await testServers()) ?? skip("no servers here");
  const days = {
    certificateDays: seconds.certificate / DAY_SECONDS,
    renewBeforeDays: 1 / DAY_SECONDS,
    ...(seconds.authority ? { authorityDays: seconds.authority / DAY_SECONDS } : {}),
  };
  const project = await Project.create({ ...COMMON, tls: days }, servers["redis-7.0"]);
  onTestFinished(() => project.dispose());
  await project.mustUp();
  const client = await project.cluster();
  for (let n = 0; n < 100; n++) await client.set(`c${n}`, String(n));
  client.disconnect();
  const { certificatesExpire = "", authorityExpires = "" } = (await project.inventory()).tls ?? {};
  const end = Date.parse(seconds.authority ? authorityExpires : certificatesExpire);
  while (Date.now() <= end) await setTimeout(end - Date.now() + 1_000);
  return project;
}

async function expectData(project: Project): Promise<void> {
  const client = await project.cluster();
  for (let n = 0; n < 100; n++) expect(await client.get(`c${n}`)).toBe(String(n));
  client.disconnect();
}

// They take as long as certificates live.
describe.skipIf(!process.env.FULL)("what is over", () => {
  test("certificates, with a setting declared that restarts nodes: no node restarts, and once it is taken back they are renewed", {
    timeout: 600_000,
  }, async (context) => {
    const project = await overdue(context, { certificate: 45 });
    const pids = await project.pids();
    project.declare({ ...COMMON, tls: LONG, redisConfig: { "tcp-backlog": "129" } });
    const stopped = await project.up();
    expect(stopped.ok).toBe(false);
    expect(stopped.stdout + stopped.stderr).toMatch(
      /certificates of 6 nodes are over \(since .*\): a node that restarts now would not find them again\. .* stays\. Take back what restarts nodes and run `up`/,
    );
    expect(await project.pids()).toEqual(pids);
    project.declare({ ...COMMON, tls: LONG });
    await project.mustUp();
    expect(await project.pids()).toEqual(pids);
    project.declare({ ...COMMON, tls: LONG, redisConfig: { "tcp-backlog": "129" } });
    await project.mustUp();
    await expectData(project);
  });

  test("the authority too: nobody gets in any more, which up says, and servers that are ended come back with another one", {
    timeout: 600_000,
  }, async (context) => {
    const project = await overdue(context, { certificate: 30, authority: 62 });
    project.declare({ ...COMMON, tls: LONG });
    const refused = await project.up();
    console.log(
      `${refused.stdout}\n${refused.stderr}`
        .split("\n")
        .filter((l) => /error|certif|cannot|→/i.test(l))
        .join("\n")
        .slice(0, 4000),
    );
    expect(refused.ok).toBe(false);
    for (const { pid } of project.servers()) process.kill(pid, "SIGTERM");
    for (const until = Date.now() + 10_000; project.servers().length > 0 && Date.now() < until; ) await setTimeout(50);
    const r = await project.up();
    if (!r.ok)
      console.log(
        `${r.stdout}\n${r.stderr}`
          .split("\n")
          .filter((l) => /error|certif|cannot|→/i.test(l))
          .join("\n")
          .slice(0, 4000),
      );
    expect(r.ok).toBe(true);
    await expectData(project);
    expect((await project.mustUp()).stdout).toMatch(/22 unchanged/);
  });
});
