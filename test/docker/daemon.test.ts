import { execFile, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PROJECT } from "../../infra/toolchain/project.mjs";

// Proves that a daemon of the tests' own comes up where none answers, is shared, and leaves nothing: in a network of its own, since
// two daemons in one network take each other's firewall rules away.

const run = promisify(execFile);
const toolchain = join(PROJECT, "infra", "toolchain", "docker.mjs");
const able = process.getuid?.() === 0 && spawnSync("unshare", ["--net", "true"]).status === 0;

/** One asker: says where its daemon is, stays until both have asked, and stops. */
const asker = `
import(${JSON.stringify(toolchain)}).then(async ({ dockerForTests }) => {
  const { host, stop } = await dockerForTests({ host: "unix:///nowhere" });
  console.log(host);
  const fs = await import("node:fs");
  const [folder, asked] = [process.env.TMPDIR, (name) => name.startsWith("asked-")];
  fs.writeFileSync(folder + "/asked-" + process.pid, "");
  while (fs.readdirSync(folder).filter(asked).length < 2) await new Promise((resolve) => setTimeout(resolve, 20));
  await stop();
});`;

/** Two at once, and the network before and after them. */
const script = `
ip link set lo up
look() { iptables -S; iptables -t nat -S; ip -o link; }
before=$(look)
node -e '${asker}' & first=$!
node -e '${asker}' & second=$!
wait $first && wait $second || exit 1
[ "$before" = "$(look)" ] || { echo "left: $(look)"; exit 2; }`;

describe.skipIf(!able)("a daemon of the tests' own", { timeout: 120_000 }, () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "own-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test("is one for all that ask, and goes with the last of them", async () => {
    const { DOCKER_HOST: _, ...env } = process.env;
    const { stdout } = await run("unshare", ["--net", "sh", "-c", script], { env: { ...env, TMPDIR: folder } });
    const hosts = stdout.trim().split("\n");
    expect(hosts).toHaveLength(2);
    expect(hosts[0]).toMatch(/^unix:\/\/.*\/docker\.sock$/);
    expect(hosts[1]).toBe(hosts[0]);
    expect(existsSync(String(hosts[0]).slice("unix://".length))).toBe(false);
    expect(readdirSync(join(folder, "redis-cluster-docker"))).toEqual([]);
    expect(readdirSync(folder).filter((name) => !name.startsWith("asked-"))).toEqual(["redis-cluster-docker"]);
  });

  test("is not started where DOCKER_HOST names one that does not answer", async () => {
    const env = { ...process.env, TMPDIR: folder, DOCKER_HOST: "unix:///nowhere" };
    const failed = await run(process.execPath, ["-e", asker], { env }).catch((error: { stderr: string }) => error);
    expect(failed.stderr).toMatch(/NoDocker: DOCKER_HOST: .*; unset it, or start the daemon that it names/);
  });
});
