import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, type TestContext, test } from "vitest";
import type { TlsIdentity } from "../../../components/access/types";
import { Connections } from "../../../components/formation/wire";
import { issueCertificate, makeAuthority } from "../../../components/security/x509";
import { Bastion, openSsh } from "../../support/bastion";
import { Forwarder } from "../../support/forwarder";
import { freePort, startServer, testServers } from "../../support/servers";

const servers = await testServers();
const ssh = await openSsh();

/** A server that speaks TLS only, with a certificate for these addresses. */
async function tlsServer(
  { onTestFinished, skip }: TestContext,
  authority: TlsIdentity,
  addresses: readonly string[],
  authClients = "no",
) {
  const program = servers?.["redis-7.0"];
  if (!program) return skip("no servers");
  const folder = mkdtempSync(join(tmpdir(), "prc-tls-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const now = new Date();
  const own = await issueCertificate(authority, {
    commonName: "node",
    addresses,
    dnsNames: ["node.internal"],
    usage: "node",
    days: 1,
    now,
  });
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const ca = file("ca.pem", authority.certificatePem);
  const port = await freePort();
  const shown = ["--cert", join(folder, "own.pem"), "--key", join(folder, "own.key")];
  const conf = [
    "port 0",
    `tls-port ${port}`,
    `tls-cert-file ${file("own.pem", own.certificatePem)}`,
    `tls-key-file ${file("own.key", own.keyPem)}`,
    `tls-ca-cert-file ${ca}`,
    `tls-auth-clients ${authClients}`,
  ];
  const ready = () => {
    try {
      const args = ["--tls", "--insecure", ...shown, "-h", "127.0.0.1", "-p", String(port), "PING"];
      return execFileSync(program.cliPath ?? "redis-cli", args, { encoding: "utf8", stdio: "pipe" }).trim() === "PONG";
    } catch {
      return false;
    }
  };
  const server = await startServer({ server: program, port, conf: `${conf.join("\n")}\n`, ready });
  onTestFinished(() => server.stop());
  return { address: "127.0.0.1", port, busPort: port + 10_000 };
}

describe.skipIf(!servers || !ssh)("TLS through a bastion", () => {
  test("the node's names are checked from here, as they are directly", async (context) => {
    if (!ssh) return;
    const bastion = await Bastion.start({ ssh });
    context.onTestFinished(() => bastion.dispose());
    const authority = await makeAuthority({ commonName: "authority", days: 1, now: new Date() });
    const right = await tlsServer(context, authority, ["127.0.0.1"]);
    const wrong = await tlsServer(context, authority, ["127.0.0.9"]);
    const { address: host, port, user, privateKey } = bastion;
    const connections = new Connections("test", {
      tls: { caCertificatePem: authority.certificatePem },
      proxy: { host, port, user, privateKey, hostKey: bastion.hostKey() },
    });
    context.onTestFinished(() => connections.close());
    expect(await connections.send(right, [["PING"]])).toEqual([{ ok: true, value: "PONG" }]);
    expect(connections.certificateOf(right)?.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    const text = "x".repeat(3_000_000);
    expect(
      await connections.send(right, [
        ["SET", "k", text],
        ["GET", "k"],
      ]),
    ).toEqual([
      { ok: true, value: "OK" },
      { ok: true, value: text },
    ]);
    expect(await connections.send(wrong, [["PING"]])).toMatchObject([
      {
        ok: false,
        error: {
          name: "NodeNotTrusted",
          message: expect.stringMatching(/^its certificate is for .*IP Address:127\.0\.0\.9.*, not for 127\.0\.0\.1$/),
        },
      },
    ]);
    // By the name that it announces, it is the one.
    expect(await connections.send({ ...wrong, hostname: "node.internal" }, [["PING"]])).toEqual([
      { ok: true, value: "PONG" },
    ]);
  });
});

describe.skipIf(!servers)("certificates of our own", () => {
  test("one that a node does not know is followed by the one that it does, also where the way is long", async (context) => {
    const now = new Date();
    const [former, later] = await Promise.all(
      ["former", "later"].map((commonName) => makeAuthority({ commonName, days: 1, now })),
    );
    if (!former || !later) throw new Error("no authorities");
    const node = await tlsServer(context, former, ["127.0.0.1"], "yes");
    // Further than servers without tickets are waited for.
    const way = await Forwarder.start(node, "127.0.0.1", 200);
    context.onTestFinished(() => way.stop());
    const client = { commonName: "admin", addresses: [], dnsNames: [], usage: "client" as const, days: 1, now };
    const identities = [await issueCertificate(later, client), await issueCertificate(former, client)];
    const connections = new Connections("test", {
      tls: { caCertificatePem: former.certificatePem + later.certificatePem, identities },
    });
    context.onTestFinished(() => connections.close());
    expect(await connections.send({ ...node, port: way.port }, [["PING"]])).toEqual([{ ok: true, value: "PONG" }]);
    expect(way.accepted).toBe(2);
  });
});
