import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { reportLine } from "../../load/load";
import { ask, clientTls, loginOf } from "../../support/clients";
import { onlyInFull } from "../../support/full";
import { Project } from "../../support/project";
import { testServers } from "../../support/servers";
import { LoadedProject } from "../changes/support";
import { tlsOf } from "./support";

const servers = await testServers();

function isOpen(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

const ADDRESSES = ["127.0.1.1", "127.0.2.1", "127.0.3.1"];
/** Three shards of two nodes, as `local` numbers them. */
const BLOCK = 24;

/** First ports of blocks that nobody listens on, nor on their bus ports. */
async function freeBlocks(count: number): Promise<number[]> {
  const found: number[] = [];
  for (let first = 10_000 + 100 * Math.floor(Math.random() * 60); found.length < count; first += 100) {
    if (first > 22_000) throw new Error("no free block of ports");
    const ports = Array.from({ length: BLOCK }, (_, n) => first + n).flatMap((p) => [p, p + 10_000]);
    const open = await Promise.all(ADDRESSES.flatMap((address) => ports.map((p) => isOpen(address, p))));
    if (!open.some(Boolean)) found.push(first);
  }
  return found;
}

describe("how nodes of a running cluster may speak", () => {
  onlyInFull(
    "clients move from a port without TLS to the one with it, then it closes: under load, live",
    {
      timeout: 1_800_000,
    },
    async (context) => {
      const [port = 0, plainPort = 0] = await freeBlocks(2);
      const loaded = await LoadedProject.start(context, "valkey-9.1", { port, tls: { plainPort } }, { plain: true });
      const { project, load } = loaded;
      const [pids, nodes] = [await project.pids(), await project.nodes()];
      for (const node of nodes) expect(node.plainPort).toBe(node.port - port + plainPort);

      await load.changeLogin(loginOf(await project.credentials()), nodes);
      const stdout = await loaded.change("the port without TLS closes", { tls: {} });
      expect(stdout).toContain("the port without TLS closes");
      for (const { address, plainPort: former = 0 } of nodes) expect(await isOpen(address, former)).toBe(false);
      expect((await project.nodes()).some((node) => node.plainPort !== undefined)).toBe(false);
      await loaded.change("it opens again", { tls: { plainPort } });
      for (const { address, plainPort: former = 0 } of nodes) expect(await isOpen(address, former)).toBe(true);
      expect(await project.pids()).toEqual(pids);
      console.log(reportLine("a port without TLS", await loaded.expectUnharmed()));
    },
  );

  test("TLS neither comes nor goes on a running cluster: refused with what to do, and nothing changes", async ({
    skip,
    onTestFinished,
  }) => {
    if (!servers) return skip("no servers here");
    const project = await Project.create({}, servers["redis-7.0"]);
    onTestFinished(() => project.dispose());
    await project.mustUp();
    const pids = await project.pids();
    project.declare({ tls: {} });
    for (const run of [await project.engine.preview(), await project.up()]) {
      expect(run.ok).toBe(false);
      expect(run.stdout + run.stderr).toContain("sessions was made without TLS, and is declared with TLS");
      expect(run.stdout + run.stderr).toContain("declare a second cluster with `tls` under another name");
    }
    expect(await project.pids()).toEqual(pids);
    project.declare({});
    // But for certificates that were made and never used.
    const { operations } = await project.mustUp();
    expect(
      operations.filter((o) => /^(?!pre)\w+ (?!same|refresh)/.test(o) && !o.includes("ClusterCertificates")),
    ).toEqual([]);
  });

  onlyInFull(
    "host names are announced, are in the certificates, and are taken back, live",
    async ({ skip, onTestFinished }) => {
      if (!servers) return skip("no servers here");
      const domain = "redis.internal";
      const project = await Project.create({ tls: {}, domain }, servers["valkey-9.1"]);
      onTestFinished(() => project.dispose());
      await project.mustUp();
      const [pids, nodes] = [await project.pids(), await project.nodes()];
      expect(nodes.map(({ hostname }) => hostname)).toEqual(nodes.map(({ name }) => `${name}.${domain}`));
      const tls = clientTls(await tlsOf(project));
      const [node] = nodes;
      if (!node) throw new Error("no node");
      const told = JSON.stringify(await ask(node, { tls }, "CLUSTER", "SLOTS"));
      for (const { hostname = "" } of nodes) expect(told).toContain(hostname);
      const client = await project.cluster();
      onTestFinished(() => client.disconnect());
      await Promise.all(Array.from({ length: 20 }, (_, n) => client.set(`key:${n}`, n)));

      project.declare({ tls: {} });
      const { stdout } = await project.mustUp();
      expect(stdout).toContain("nodes announce their addresses instead of host names");
      // Others hear of it by the next ping of each.
      const now = clientTls(await tlsOf(project));
      const slots = async () => JSON.stringify(await ask(node, { tls: now }, "CLUSTER", "SLOTS"));
      await expect.poll(slots, { timeout: 30_000, interval: 200 }).not.toContain(domain);
      expect(await project.pids()).toEqual(pids);
    },
  );
});
