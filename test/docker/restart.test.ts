import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { IMAGE_NAMES } from "../../infra/toolchain/dockerImages.mjs";
import { CheckedLoad } from "../load/load";
import { dockerHost, dockerPlatform } from "../support/docker";
import { OPEN } from "../support/modes";
import { OwnDaemon } from "../support/ownDaemon";
import { Project } from "../support/project";
import { testServers } from "../support/servers";

// Proves that a cluster outlives its daemon. One that ends in order, as for an upgrade, brings its containers back by itself; one that
// was killed finds them running, ends them and (20.10) leaves them down, and then `up` starts them. Addresses stay in both.

const SERVER = "redis-8.0";
const SLACK_MILLISECONDS = 500;
const servers = await testServers();
const able = dockerHost !== undefined && process.platform === "linux" && process.getuid?.() === 0;

/** In `npm run test:full` only: it takes a daemon of its own. */
describe.skipIf(!process.env.FULL || !able || !servers)("a Docker daemon that is started again", () => {
  let daemon: OwnDaemon;
  let project: Project;
  let load: CheckedLoad;

  beforeAll(async () => {
    if (!servers) throw new Error("no servers");
    daemon = await OwnDaemon.start(SERVER);
    const platform = dockerPlatform(`restart-${process.pid}`, daemon.host);
    const args = {
      image: IMAGE_NAMES[SERVER],
      subnet: daemon.subnet,
      nodeTimeoutMilliseconds: 2_000,
      dataOnDestroy: "delete",
    };
    project = await Project.create(args, servers[SERVER], { mode: OPEN, platform });
    await project.mustUp();
    load = await CheckedLoad.start(await project.nodes());
  });
  afterAll(async () => {
    try {
      load?.close();
      project?.dispose();
    } finally {
      await daemon?.dispose();
    }
  });

  const places = async () =>
    (await project.nodes()).map(({ name, address, port, id }) => ({ name, address, port, id }));

  test.each([
    ["in order: nodes come back by themselves", "SIGTERM"],
    ["after it was killed: `up` starts nodes again", "SIGKILL"],
  ] as const)("%s, where they were, and nothing is lost", async (_, signal) => {
    const before = await places();
    const window = { from: Date.now() - SLACK_MILLISECONDS, to: Number.POSITIVE_INFINITY };
    load.allowLoss(window);
    try {
      await daemon.restart(signal);
      if (signal === "SIGTERM") await project.served();
      await project.mustUp();
    } finally {
      window.to = Date.now() + SLACK_MILLISECONDS;
    }
    expect(await load.audit()).toEqual([]);
    expect(await places()).toEqual(before);
    expect((await project.mustUp()).stdout).toMatch(/Resources:\n +\d+ unchanged\n/);
  });
});
