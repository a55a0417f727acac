import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { expect, test } from "vitest";
import type { TlsIdentity } from "../../../components/access/types";
import { allDirectives, clusterDirectives, mergeDirectives } from "../../../components/config/clusterDirectives";
import { endpointDirectives, storageDirectives } from "../../../components/config/nodeDirectives";
import { renderRedisConf } from "../../../components/config/redisConf";
import type { CertificatesInputs, CertificateTable } from "../../../components/security/certificates";
import { nextTable } from "../../../components/security/nextTable";
import type { Engine } from "../../../components/spec/spec";
import { freePort, type ServerProgram, startServer, TEST_SERVER_NAMES, testServers } from "../../support/servers";
import { aSpec, engineOf } from "../../unit/config/specs";
import { AUTHORITY_EXTENSIONS, hasOpenssl, opensslAuthority, opensslSigned } from "../../unit/security/openssl";

const names = ["db-0", "db-1"] as const;
const declared: CertificatesInputs = {
  cluster: "db",
  nodes: Object.fromEntries(
    names.map((name) => [name, { addresses: ["127.0.0.1"], dnsNames: [`${name}.example.com`] }]),
  ),
  clients: ["app"],
  rotation: "",
  authorityRotation: "",
  days: { certificate: 90, authority: 3650, renewBefore: 30, renewAuthorityBefore: 365 },
  given: {},
  table: {},
};

/** By an authority of our own, and by an RSA intermediate of somebody's, for whose part nodes send the chain. */
const authorities: Record<"made" | "given", () => CertificatesInputs["given"]> = {
  made: () => ({}),
  given: () => {
    const root = opensslAuthority("/CN=root");
    const between = opensslSigned(root, "/CN=between", AUTHORITY_EXTENSIONS, { key: ["rsa:2048"] });
    return { authority: between, caCertificatePem: root.certificatePem };
  },
};

const cases = TEST_SERVER_NAMES.flatMap((name) => (["made", "given"] as const).map((by) => ({ name, by })));

test.for(cases)(
  "$name serves, connects and refuses by certificates of a $by authority",
  async ({ name, by }, { skip }) => {
    const servers = (await testServers()) ?? skip("no test servers");
    if (by === "given" && !hasOpenssl) skip("no openssl");
    const given = authorities[by]();
    // What OpenSSL makes begins when it does so.
    const now = new Date(Date.now() + 2000);
    const { table, problems } = await nextTable({}, { ...declared, given }, now);
    expect(problems).toEqual([]);
    const {
      authorities: [authority],
      nodes,
      clients,
    } = table as CertificateTable;
    // Roots are what is believed; whoever is between them comes with the certificates.
    const ca = given.caCertificatePem ?? authority?.certificatePem ?? "";
    const app = clients["app"]?.[0];
    const started: Awaited<ReturnType<typeof startNode>>[] = [];
    try {
      for (const node of names)
        started.push(
          await startNode(servers[name], { ca, identity: nodes[node]?.[0] as TlsIdentity, engine: engineOf(name) }),
        );
      const [first, second] = started as [(typeof started)[0], (typeof started)[0]];
      const options = { port: first.port, ca, ...shown(app) };

      // By address and by name, both looked at by Node itself.
      expect(await ask({ ...options, host: "127.0.0.1" }, "PING")).toBe("+PONG");
      const lookup: ConnectionOptions["lookup"] = (_host, _options, done) =>
        done(null, [{ address: "127.0.0.1", family: 4 }]);
      expect(await ask({ ...options, host: "db-0.example.com", lookup }, "PING")).toBe("+PONG");
      await expect(ask({ ...options, host: "db-1.example.com", lookup }, "PING")).rejects.toThrow(/does not match/);

      // Another authority's, even one that calls itself the same, is believed by neither side; and none is not enough.
      const other = await nextTable({}, declared, now);
      const { authorities: others, clients: strangers } = other.table as CertificateTable;
      const stranger = shown(strangers["app"]?.[0]);
      await expect(ask({ ...options, ...stranger, host: "127.0.0.1" }, "PING")).rejects.toThrow(
        /unknown ca|closed|reset/i,
      );
      await expect(ask({ port: first.port, ca, host: "127.0.0.1" }, "PING")).rejects.toThrow(
        /certificate required|closed|reset/i,
      );
      const wrongCa = { ...options, ca: others[0]?.certificatePem ?? "", host: "127.0.0.1" };
      await expect(ask(wrongCa, "PING")).rejects.toThrow(/certificate|self.signed/i);

      // Among each other nodes serve and connect: over the bus, and as a replica.
      const of = (node: typeof first, ...words: string[]) =>
        ask({ ...options, port: node.port, host: "127.0.0.1" }, ...words);
      expect(await of(first, "CLUSTER", "MEET", "127.0.0.1", String(second.port), String(second.port + 10_000))).toBe(
        "+OK",
      );
      await expect.poll(() => of(second, "CLUSTER", "INFO"), { timeout: 20_000 }).toMatch(/cluster_known_nodes:2\r/);
      const id = (await of(first, "CLUSTER", "MYID")).split("\r\n")[1] ?? "";
      await expect.poll(() => of(second, "CLUSTER", "REPLICATE", id), { timeout: 20_000 }).toBe("+OK");
      await expect.poll(() => of(second, "INFO", "replication"), { timeout: 20_000 }).toMatch(/master_link_status:up/);
    } finally {
      for (const node of started) await node.stop();
    }
  },
);

test("a node takes a renewed certificate while it runs, and one of the next authority", async ({ skip }) => {
  const servers = (await testServers()) ?? skip("no test servers");
  const now = new Date();
  let inputs = declared;
  let { table } = (await nextTable({}, inputs, now)) as { table: CertificateTable };
  const nodes = () => table.nodes["db-0"] ?? [];
  const trusted = () => table.authorities.map(({ certificatePem }) => certificatePem).join("");
  const node = await startNode(servers["redis-7.0"], {
    ca: trusted(),
    identity: nodes()[0] as TlsIdentity,
    engine: engineOf("redis-7.0"),
  });
  const app = () => ({ port: node.port, host: "127.0.0.1", ca: trusted(), ...shown(table.clients["app"]?.[0]) });
  const fingerprint = async () =>
    (await open(app())).getPeerX509Certificate()?.fingerprint256.replaceAll(":", "").toLowerCase();
  try {
    expect(await fingerprint()).toBe(nodes()[0]?.fingerprint);
    for (const change of [{ rotation: "2" }, { authorityRotation: "2" }]) {
      const login = app();
      const old = { ...inputs, table };
      inputs = { ...inputs, ...change };
      table = (await nextTable(old, inputs, now)).table as CertificateTable;
      const [cert, key, ca] = ["new.pem", "new.key", "new-ca.pem"].map((file) => join(node.dir, file)) as [
        string,
        string,
        string,
      ];
      write({ [cert]: nodes()[0]?.certificatePem, [key]: nodes()[0]?.keyPem, [ca]: trusted() });
      const set = ["CONFIG", "SET", "tls-cert-file", cert, "tls-key-file", key, "tls-ca-cert-file", ca];
      expect(await ask({ ...login, ca: trusted() }, ...set)).toBe("+OK");
      expect(await fingerprint()).toBe(nodes()[0]?.fingerprint);
      // Former clients are believed as long as their authority is.
      expect(await ask({ ...login, ca: trusted() }, "PING")).toBe("+PONG");
    }
    expect(nodes()[0]?.authority).toBe(2);
  } finally {
    await node.stop();
  }
});

/** A node of a cluster that speaks TLS only, and wants a certificate of everybody. */
async function startNode(
  server: ServerProgram,
  { ca, identity, engine }: { readonly ca: string; readonly identity: TlsIdentity; readonly engine: Engine },
) {
  const dir = mkdtempSync(join(tmpdir(), "prc-tls-"));
  const [caFile, certFile, keyFile, logfile] = ["ca.pem", "node.pem", "node.key", "node.log"].map((file) =>
    join(dir, file),
  ) as [string, string, string, string];
  write({ [caFile]: ca, [certFile]: identity.certificatePem, [keyFile]: identity.keyPem });
  const port = await freePort();
  const endpoint = { address: "127.0.0.1", port, busPort: port + 10_000 };
  const directives = mergeDirectives(
    clusterDirectives(aSpec({ engine })),
    endpointDirectives(endpoint, { certFile, keyFile, caFile }),
    { boot: storageDirectives({ dir, logfile }), live: [] },
  );
  const conf = renderRedisConf(allDirectives(directives));
  const ready = () => existsSync(logfile) && /Ready to accept connections/.test(readFileSync(logfile, "utf8"));
  const running = await startServer({ server, conf, dir, port, ready });
  const stop = async () => {
    await running.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  return { port, dir, stop };
}

function write(files: Readonly<Record<string, string | undefined>>): void {
  for (const [file, text] of Object.entries(files)) writeFileSync(file, text ?? "", { mode: 0o600 });
}

function shown(identity: TlsIdentity | undefined): ConnectionOptions {
  return { cert: identity?.certificatePem, key: identity?.keyPem };
}

/** A connection whose other end Node has checked, name and all. */
function open(options: ConnectionOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect(options, () => resolve(socket));
    socket.once("error", reject);
  });
}

/** One command on a connection of its own, and its answer. With TLS 1.3 a server refuses after it was connected to. */
async function ask(options: ConnectionOptions, ...words: string[]): Promise<string> {
  const socket = await open(options);
  try {
    return await new Promise((resolve, reject) => {
      socket.once("error", reject);
      socket.once("close", () => reject(new Error("closed without an answer")));
      socket.once("data", (data) => resolve(data.toString().trimEnd()));
      socket.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`);
    });
  } finally {
    socket.destroy();
  }
}
