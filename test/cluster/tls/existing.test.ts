import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { makeAuthority } from "../../../components/security/x509";
import { clientTls, tlsFiles } from "../../support/clients";
import { onlyInFull } from "../../support/full";
import { testServers } from "../../support/servers";
import { changingCalls, existingProject, Hosts } from "../existing/support";

const servers = await testServers();
const MAIN = join(__dirname, "../../../dist/components/operations/cli/main.js");

describe.skipIf(!servers)("given hosts that speak TLS only", () => {
  onlyInFull(
    "are trusted by their authority alone, taken over, scaled and looked at",
    {
      timeout: 280_000,
    },
    async (context) => {
      const program = servers?.["valkey-9.1"];
      if (!program) return context.skip("no servers");
      const [authority, another] = await Promise.all(
        ["ours", "another"].map((commonName) => makeAuthority({ commonName, days: 60, now: new Date() })),
      );
      if (!authority || !another) throw new Error("no authority");
      const hosts = await Hosts.start(program, { count: 6, authority, password: "hosts-password-1234" });
      context.onTestFinished(() => hosts.stop());
      await hosts.create(6, 1);
      await hosts.fill(100);
      const { cert: certificatePem = "", key: keyPem = "" } = hosts.tls ?? {};
      const tls = { caCertificatePem: authority.certificatePem, certificatePem, keyPem };
      const args = { nodes: hosts.addresses, password: "hosts-password-1234", tls };
      const project = await existingProject(context, args);

      project.declare({ ...args, tls: { ...tls, caCertificatePem: another.certificatePem } });
      const refused = await project.up();
      expect(refused.ok).toBe(false);
      expect(refused.stdout + refused.stderr).toMatch(/its certificate is not trusted: it is of another authority/);
      project.declare({ ...args, tls: { caCertificatePem: authority.certificatePem } });
      const unknown = await project.up();
      expect(unknown.ok).toBe(false);
      expect(unknown.stdout + unknown.stderr).toMatch(/it takes no certificate that is known here/);

      project.declare(args);
      expect(await changingCalls(hosts, () => project.mustUp())).toEqual([]);
      expect((await project.mustUp()).stdout).toMatch(/3 unchanged/);
      await hosts.add(1);
      project.declare({ ...args, nodes: hosts.addresses });
      await project.mustUp();
      expect(await hosts.missing(100)).toEqual([]);

      const { tls: given } = await project.credentials();
      if (!given) throw new Error("no credentials for TLS");
      const files = tlsFiles(clientTls(given));
      context.onTestFinished(() => rmSync(files.folder, { recursive: true, force: true }));
      const inventory = join(files.folder, "inventory.json");
      writeFileSync(inventory, JSON.stringify(await project.inventory()));
      const report = execFileSync(
        process.execPath,
        [MAIN, "status", "--json", "-i", inventory, "--cacert", files.ca, "--cert", files.cert, "--key", files.key],
        { encoding: "utf8", env: { ...process.env, REDIS_CLUSTER_PASSWORD: "hosts-password-1234" }, stdio: "pipe" },
      ).trim();
      expect(JSON.parse(report)).toMatchObject({ nodes: { answering: 7 }, slots: { ok: 16384 } });
      expect(new Date(JSON.parse(report).certificatesExpire).getTime()).toBeGreaterThan(Date.now());
    },
  );
});
