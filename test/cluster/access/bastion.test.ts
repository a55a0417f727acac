import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, type TestContext, test } from "vitest";
import { main } from "../../../components/operations/cli/main";
import { Agent, openSsh } from "../../support/bastion";
import { onlyInFull } from "../../support/full";
import type { Project } from "../../support/project";
import { testServers } from "../../support/servers";
import { existingProject, LOOKING } from "../existing/support";
import { PrivateHosts } from "./support";

const servers = await testServers();
const ssh = await openSsh();

describe.skipIf(!servers || !ssh)("nodes that only a bastion reaches", { timeout: 280_000 }, () => {
  async function start(context: TestContext, count: number): Promise<PrivateHosts> {
    const program = servers?.["redis-7.0"];
    if (!program || !ssh) return context.skip("no servers");
    return PrivateHosts.start(context, { ssh, program, count });
  }

  const declaration = (hosts: PrivateHosts, count: number, more: object = {}) => ({
    nodes: hosts.nodes(count),
    password: hosts.password,
    connection: { proxy: hosts.proxy() },
    ...more,
  });

  /** Neither what a run says nor what it records shows a secret. */
  async function expectNoSecret(project: Project, hosts: PrivateHosts, said: string): Promise<void> {
    const key = hosts.bastion.privateKey.split("\n")[2] ?? "";
    expect(key.length).toBeGreaterThan(30);
    const state = JSON.stringify(await project.engine.exportStack());
    for (const text of [said, state]) for (const secret of [key, hosts.password]) expect(text).not.toContain(secret);
  }

  async function status(hosts: PrivateHosts, ...args: string[]) {
    const key = join(hosts.bastion.folder, "user");
    const { address, user } = hosts.bastion;
    const out: string[] = [];
    const error: string[] = [];
    const code = await main(
      [
        "status",
        "--proxy",
        `${user}@${address}`,
        "--proxy-key",
        key,
        "--proxy-host-key",
        hosts.bastion.fingerprint(),
        ...args,
      ],
      {
        out: (text) => out.push(text),
        error: (text) => error.push(text),
        isTerminal: false,
        width: 120,
        env: { REDIS_CLUSTER_PASSWORD: hosts.password },
        cwd: hosts.bastion.folder,
      },
    );
    return { code, out: out.join("\n"), error: error.join("\n") };
  }

  test("formed, found in order, looked at, mended, scaled, all through it", async (context) => {
    const hosts = await start(context, 8);
    expect(await Promise.all([0, 1, 2].map((i) => hosts.reachesDirectly(i)))).toEqual([false, false, false]);
    const project = await existingProject(context, declaration(hosts, 6));
    const preview = await project.engine.preview();
    expect(preview.stdout).toMatch(/sessions: redis 7\.0\.15, 3 masters, 1 replica each, 3 zones/);
    const up = await project.mustUp();
    expect(up.stdout).toMatch(/verified: 16384 slots in 3 shards, 6 nodes agree, a key written and read in each shard/);
    await hosts.agree(6);
    await expectNoSecret(project, hosts, up.stdout + up.stderr + preview.stdout);
    expect((await project.mustUp()).stdout).toMatch(/3 unchanged/);
    expect((await project.engine.refresh()).stdout).toMatch(/3 unchanged/);

    const file = join(hosts.bastion.folder, "inventory.json");
    writeFileSync(file, JSON.stringify(await project.inventory()));
    const seen = await status(hosts, "--inventory", file);
    expect(seen, seen.out + seen.error).toMatchObject({ code: 0, out: expect.stringMatching(/3 shards · 6 nodes/) });
    expect((await status(hosts, "--node", `${hosts.address(4)}:6379`)).code).toBe(0);

    // Another way to the same nodes: noted, and nothing is sent to them that changes anything.
    const before = hosts.calls(6);
    project.declare(
      declaration(hosts, 6, { connection: { proxy: hosts.proxy({ hostKey: hosts.bastion.fingerprint() }) } }),
    );
    expect((await project.engine.preview()).stdout).toMatch(
      /sessions: the nodes are reached in another way from now on \(connection\); that changes nothing on them/,
    );
    expect((await project.mustUp()).stdout).toMatch(/nothing was changed/);
    expect(changing(before, hosts.calls(6))).toEqual([]);

    // A leader dies, and its host comes back empty: refresh says who does not answer, and `up` mends it.
    const victim = await hosts.leader(6);
    await hosts.kill(victim);
    await hosts.agree(5, victim);
    const { user, address } = hosts.bastion;
    const silent = await project.engine.preview();
    expect(silent.stdout).toMatch(/does not answer: connection refused \(no server listens there\)/);
    hosts.empty(victim);
    await hosts.startHost(victim);
    expect((await project.mustUp()).stdout).toMatch(/verified: 16384 slots in 3 shards, 6 nodes agree/);
    await hosts.agree(6);

    project.declare(declaration(hosts, 8, { masters: 4 }));
    const scaled = await project.mustUp();
    expect(scaled.stdout).toMatch(/verified: 16384 slots in 4 shards, 8 nodes agree/);
    await hosts.agree(8);
    expect(hosts.bastion.log).toContain(`Accepted publickey for ${user}`);
    expect(address).not.toBe(hosts.address(0));
    await expectNoSecret(project, hosts, silent.stdout + silent.stderr + scaled.stdout);
  });

  test("a way that is barred: nothing is done, and the error says once what is wrong and what to do", async (context) => {
    const hosts = await start(context, 3);
    const { user, address } = hosts.bastion;
    const name = `proxy ${user}@${address}:22: `;
    const stranger = hosts.bastion.makeUserKey("stranger");
    const project = await existingProject(context, {});
    const refusal = async (changes: object, env: Record<string, string> = {}) => {
      project.declare(
        declaration(hosts, 3, { connection: { proxy: { ...hosts.proxy({ dialErrorLimit: 1 }), ...changes } } }),
      );
      const { ok, stdout, stderr } = await project.up({ env: { SSH_AUTH_SOCK: "", ...env } });
      expect(ok).toBe(false);
      const text = stdout + stderr;
      for (const key of [stranger, hosts.bastion.privateKey]) expect(text).not.toContain(key.split("\n")[2]);
      return text;
    };
    const fingerprint = `SHA256:${"A".repeat(43)}`;
    const wrongHost = await refusal({ hostKey: fingerprint });
    expect(wrongHost).toContain(
      `all 3 nodes cannot be reached: ${name}its host key is another one than \`hostKey\`: it shows ssh-ed25519 ${hosts.bastion.fingerprint()}, expected is ${fingerprint}; `,
    );
    expect(hosts.bastion.log).not.toMatch(/Accepted/);
    expect(await refusal({ privateKey: stranger })).toContain(
      `all 3 nodes cannot be reached: ${name}login as ${user} refused; tried the private key`,
    );
    if (process.env.FULL) {
      expect(await refusal({ privateKey: undefined })).toContain(`${name}there is nothing to log in with`);
      await hosts.bastion.kill();
      expect(await refusal({})).toContain(
        `${name}connection refused; does an SSH server listen on port 22 of ${address}?`,
      );
      await hosts.bastion.start();
    }
    expect(hosts.calls(3).every((calls) => !calls.has("cluster|meet"))).toBe(true);

    // An agent that has the key lets it all happen.
    if (!ssh) return;
    const agent = await Agent.start(ssh, [hosts.bastion.privateKey]);
    context.onTestFinished(() => agent.stop());
    const { privateKey: _, ...proxy } = hosts.proxy();
    project.declare(declaration(hosts, 3, { connection: { proxy } }));
    const up = await project.mustUp({ env: { SSH_AUTH_SOCK: agent.socket } });
    expect(up.stdout).toMatch(/verified: 16384 slots in 3 shards, 3 nodes agree/);
  });

  onlyInFull("the bastion dies in the midst of it and comes back: the run goes on", async (context) => {
    const hosts = await start(context, 8);
    const project = await existingProject(context, declaration(hosts, 6));
    await project.mustUp();
    await hosts.fill(20_000);
    project.declare(declaration(hosts, 8, { masters: 4 }));
    const run = await project.start();
    await run.until(/moved? .*slots|slots .* of /);
    const logins = () => hosts.bastion.log.match(/Accepted publickey/g)?.length ?? 0;
    const before = logins();
    await hosts.bastion.kill();
    await setTimeout(1_500);
    await hosts.bastion.start();
    const result = await run.result;
    expect(logins()).toBeGreaterThan(before);
    expect(result, result.stdout + result.stderr).toMatchObject({ ok: true });
    expect(result.stdout).toMatch(/verified: 16384 slots in 4 shards, 8 nodes agree/);
    await hosts.agree(8);
    expect(await hosts.missing(20_000)).toEqual([]);
  });

  onlyInFull("thirty nodes, formed and looked at", async (context) => {
    const hosts = await start(context, 30);
    const project = await existingProject(context, declaration(hosts, 30));
    const begin = Date.now();
    const up = await project.mustUp();
    process.stdout.write(`30 nodes through a bastion: up took ${Math.round((Date.now() - begin) / 100) / 10} s\n`);
    expect(up.stdout).toMatch(/verified: 16384 slots in 15 shards, 30 nodes agree/);
    expect((await project.mustUp()).stdout).toMatch(/3 unchanged/);
    const file = join(hosts.bastion.folder, "inventory.json");
    writeFileSync(file, JSON.stringify(await project.inventory()));
    expect((await status(hosts, "--inventory", file)).code).toBe(0);
  });
});

/** Commands of which there were more, and that change something. */
function changing(before: readonly Map<string, number>[], after: readonly Map<string, number>[]): string[] {
  const more = after.flatMap((calls, i) =>
    [...calls].filter(([name, n]) => n > (before[i]?.get(name) ?? 0) && !LOOKING.test(name)).map(([name]) => name),
  );
  return [...new Set(more)].sort();
}
