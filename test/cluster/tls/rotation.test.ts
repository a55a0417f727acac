import { X509Certificate } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { connect } from "node:tls";
import { describe, expect, test } from "vitest";
import type { ClusterTlsCredentials, InventoryNode } from "../../../components/cluster/inventory";
import { reportLine } from "../../load/load";
import { ask, clientTls, loginOf } from "../../support/clients";
import { onlyInFull } from "../../support/full";
import { Project } from "../../support/project";
import { testServers } from "../../support/servers";
import { LoadedProject } from "../changes/support";
import { tlsOf } from "./support";

const USERS = {
  app: { keys: ["c*", "{c*"], channels: ["events:*"], commands: ["+@read", "+@write", "+@transaction", "+wait"] },
};
const SECONDS_PER_DAY = 86_400;

/** SHA-256 of the certificate that a node shows to whoever comes now. */
function shownBy({ address, port }: InventoryNode, tls: ClusterTlsCredentials): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, ...clientTls(tls), rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.once("error", reject);
  });
}

const shown = async (project: Project) => {
  const tls = await tlsOf(project);
  return Promise.all((await project.nodes()).map((node) => shownBy(node, tls)));
};

const certificatesIn = (pem: string) =>
  pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];

describe("rotation of certificates", () => {
  // Containers show it at every commit.
  onlyInFull(
    "under load: of all nodes, then of the authority, in stages; no restart, no client error",
    {
      timeout: 1_800_000,
    },
    async (context) => {
      const tls = { overlapSeconds: 0 };
      const loaded = await LoadedProject.start(context, process.env.FULL ? "valkey-9.1" : "redis-7.0", {
        users: USERS,
        tls,
      });
      const { project, load } = loaded;
      const [pids, first] = [await project.pids(), await shown(project)];
      expect(new Set(first).size).toBe(6);

      loaded.declare({ tls: { ...tls, rotation: "2" } });
      const preview = await project.engine.preview();
      expect(preview.stdout).toMatch(/change: certificates renewed, until \d{4}-\d\d-\d\d: all 6 nodes/);
      expect(preview.stdout).toMatch(/all 6 nodes: load a certificate that is valid until/);
      expect(preview.stdout).toContain("clients: notice nothing");
      expect(preview.operations.filter((o) => /^pre (replac|delet|creat)/.test(o))).toEqual([]);
      await loaded.change("new certificates by the same authority", { tls: { ...tls, rotation: "2" } });
      const second = await shown(project);
      expect(second.filter((each) => first.includes(each))).toEqual([]);

      const before = await tlsOf(project);
      const next = { tls: { ...tls, rotation: "2", authorityRotation: "2" } };
      const said = await loaded.change("everybody trusts the later authority too", next);
      expect(said).toContain("another authority");
      expect(said).toContain(
        "clients: nothing yet: they have 0 s to take the outputs caCertificatePem and credentials",
      );
      expect(said).toMatch(
        /authority: stage 1 of 3 \(every node trusts the later one too\); the first `up` from \S+ takes the next one/,
      );
      expect((await project.inventory()).tls?.authorityChange?.stage).toBe(1);
      expect(await shown(project)).toEqual(second);
      const both = await tlsOf(project);
      expect(certificatesIn(both.caCertificatePem)).toHaveLength(2);
      expect(both.certificatePem).not.toBe(before.certificatePem);
      const [node] = await project.nodes();
      if (!node) throw new Error("no node");
      const { admin } = await project.credentials();
      // Whoever has not taken what is new is as welcome as who has.
      for (const each of [before, both]) await ask(node, { ...admin, tls: clientTls(each) }, "PING");

      await load.changeLogin(loginOf(await project.credentials()));
      const shows = await loaded.change("nodes show its certificates", next);
      expect(shows).toContain("certificates of the later authority");
      expect(shows).toContain(
        "clients: whoever does not trust the later authority (output caCertificatePem) cannot connect anew",
      );
      const third = await shown(project);
      expect(third.filter((each) => second.includes(each))).toEqual([]);
      expect(certificatesIn((await tlsOf(project)).caCertificatePem)).toHaveLength(2);

      const drops = await loaded.change("the former is trusted no more", next);
      expect(drops).toContain("former authority is trusted no more");
      expect(drops).toContain("clients: whoever shows a certificate of the former authority is shut out");
      expect((await project.inventory()).tls?.authorityChange).toBeUndefined();
      const after = await tlsOf(project);
      expect(certificatesIn(after.caCertificatePem)).toHaveLength(1);
      expect(await shown(project)).toEqual(third);
      await ask(node, { ...admin, tls: clientTls(after) }, "PING");
      await load.changeLogin(loginOf(await project.credentials()));
      await expect(ask(node, { ...admin, tls: clientTls({ ...after, ...pick(before) }) }, "PING")).rejects.toThrow(
        /alert|closed|reset/i,
      );
      await expect(ask(node, { ...admin, tls: clientTls(before) }, "PING")).rejects.toThrow(
        /certificate|signature|issuer/i,
      );

      expect((await project.mustUp()).stdout).toMatch(/23 unchanged/);
      expect(await project.pids()).toEqual(pids);
      // Guards were made when there was the first authority, and let go of machines that show certificates of the second.
      if (process.env.FULL)
        await loaded.change("a roll after all that", { ...next, redisConfig: { "tcp-backlog": "129" } });
      console.log(reportLine("rotation of certificates", await loaded.expectUnharmed()));
    },
  );

  // It takes as long as the certificates live.
  test.skipIf(!process.env.FULL)(
    "over before anybody renewed it: new connections fail, up heals it, without a restart of whoever runs",
    {
      timeout: 1_800_000,
    },
    async ({ skip, onTestFinished }) => {
      const servers = (await testServers()) ?? skip("no servers here");
      const seconds = 75;
      const days = { certificateDays: seconds / SECONDS_PER_DAY, renewBeforeDays: 1 / SECONDS_PER_DAY };
      const project = await Project.create({ tls: days, users: USERS }, servers["redis-7.0"]);
      onTestFinished(() => project.dispose());
      await project.mustUp();
      const client = await project.cluster();
      onTestFinished(() => client.disconnect());
      for (let n = 0; n < 100; n++) await client.set(`c${n}`, String(n));
      const { tls } = await project.inventory();
      const end = new Date(tls?.certificatesExpire ?? 0).getTime();
      const [pids, nodes] = [await project.pids(), await project.nodes()];

      while (Date.now() <= end) await setTimeout(end - Date.now() + 1_000);
      // Whoever is connected stays so; nobody comes anew, and no node finds another one again.
      expect(await client.get("c7")).toBe("7");
      client.disconnect();
      const [replica] = nodes.filter(({ role }) => role === "replica");
      if (!replica) throw new Error("no replica");
      const credentials = await project.credentials();
      await expect(
        ask(replica, { ...credentials.admin, tls: clientTls(credentials.tls ?? {}) }, "PING"),
      ).rejects.toThrow(/expired/);
      process.kill(pids.get(replica.name) ?? 0, "SIGKILL");

      // From here on certificates live long enough for the rest of the test.
      const healed = { tls: { certificateDays: 30, renewBeforeDays: 1 }, users: USERS };
      project.declare(healed);
      const { stdout } = await project.mustUp();
      expect(stdout).toMatch(/certificates renewed/);
      const now = await project.pids();
      for (const [name, pid] of pids) expect([name, now.get(name) === pid]).toEqual([name, name !== replica.name]);
      const again = await project.cluster();
      onTestFinished(() => again.disconnect());
      for (let n = 0; n < 100; n++) expect(await again.get(`c${n}`)).toBe(String(n));
      expect((await project.mustUp()).stdout).toMatch(/23 unchanged/);
      for (const pem of certificatesIn((await tlsOf(project)).certificatePem ?? ""))
        expect(new Date(new X509Certificate(pem).validTo).getTime()).toBeGreaterThan(
          Date.now() + 20 * SECONDS_PER_DAY * 1000,
        );
    },
  );
});

function pick({ certificatePem = "", keyPem = "" }: ClusterTlsCredentials) {
  return { certificatePem, keyPem };
}
