import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import type * as tls from "node:tls";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TlsIdentity } from "../../../components/access/types";
import type {
  ClusterCredentials,
  ClusterInventory,
  ClusterTlsCredentials,
  InventoryNode,
} from "../../../components/cluster/inventory";
import { Connections } from "../../../components/formation/wire";
import { makeAuthority } from "../../../components/security/x509";
import { keySlot } from "../../../components/spec/keySlot";
import { ask, type ClientLogin, clientTls } from "../../support/clients";
import { Project } from "../../support/project";
import { type RunningServer, type TestServerName, testServers } from "../../support/servers";
import { fileOf } from "../users/support";
import {
  certificate,
  ELSEWHERE,
  foreignNode,
  forgedPublish,
  type Impostor,
  impostor,
  knock,
  listening,
  tell,
} from "./attackers";
import { authorityOf, clientOf, tlsOf } from "./support";

/** A key in a slot of a master. */
function keyOf({ shards }: ClusterInventory, master: string): string {
  const slots = shards.find((shard) => shard.nodes.some((each) => each.name === master))?.slots ?? [];
  const isOurs = (slot: number) =>
    slots.some((range) => {
      const [first = 0, last = first] = range.split("-").map(Number);
      return slot >= first && slot <= last;
    });
  for (let n = 0; ; n++) if (isOurs(keySlot(`k${n}`))) return `k${n}`;
}

const servers = await testServers();
const NAMES: readonly TestServerName[] = process.env.FULL
  ? ["redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1"]
  : ["redis-7.0"];
const APP = { keys: ["app:*"], channels: ["app:*"], commands: ["+@read", "+@write", "+@pubsub", "+@transaction"] };
/** Long enough that servers say what they do, short enough to wait for the end of a handshake of nodes. */
const NODE_TIMEOUT_MILLISECONDS = 2_000;

describe.skipIf(!servers).each(NAMES)("attacks on a strict cluster of %s", (name) => {
  const server = servers?.[name];
  let project: Project;
  let nodes: InventoryNode[];
  let credentials: Required<ClusterCredentials>;
  let own: ClusterTlsCredentials;
  /** Of the attacker, with the names that ours have. */
  let otherAuthority: TlsIdentity;
  let ownAuthority: TlsIdentity;
  let strict: NonNullable<ClientLogin["tls"]>;
  let node: InventoryNode;
  let pids: Map<string, number>;
  /** In a slot of `node`. */
  let key: string;

  beforeAll(async () => {
    if (!server) throw new Error("no server");
    const args = { tls: {}, users: { app: APP }, nodeTimeoutMilliseconds: NODE_TIMEOUT_MILLISECONDS };
    project = await Project.create(args, server);
    await project.mustUp();
    nodes = await project.nodes();
    credentials = (await project.credentials()) as Required<ClusterCredentials>;
    own = await tlsOf(project);
    strict = clientTls(own);
    pids = await project.pids();
    node = nodes.find(({ role }) => role === "master") ?? expect.fail("no master");
    key = keyOf(await project.inventory(), node.name);
    otherAuthority = await makeAuthority({ commonName: "sessions authority 1", days: 30, now: new Date() });
    ownAuthority = await authorityOf(project);
    const client = await clientOf(project);
    await Promise.all(Array.from({ length: 30 }, (_, n) => client.set(`app:${n}`, n)));
    client.disconnect();
  });
  afterAll(() => project?.dispose());

  const trusting = ({ certificatePem, keyPem }: Partial<TlsIdentity>): NonNullable<ClientLogin["tls"]> =>
    clientTls({
      caCertificatePem: own.caCertificatePem,
      ...(certificatePem === undefined ? {} : { certificatePem }),
      ...(keyPem === undefined ? {} : { keyPem }),
    });
  const admin = () => ({ ...credentials.admin, tls: strict });
  const app = () => ({ username: "app", password: credentials.users["app"]?.password ?? "", tls: strict });
  const members = async () => String(await ask(node, admin(), "CLUSTER", "NODES"));
  const busOf = ({ address, busPort }: InventoryNode) => ({ address, port: busPort });

  describe("at the door", () => {
    test("the right certificate comes in, as a measure for all that follows", async () => {
      for (const each of nodes)
        expect(await knock(each, strict)).toMatchObject({ code: "", answer: expect.stringMatching(/NOAUTH/) });
    });

    test("no node takes a connection without TLS, nor has another port for it", async () => {
      for (const each of nodes) {
        const { answer } = await knock(each, undefined);
        expect(answer).not.toMatch(/PONG|NOAUTH/);
        const settings = (await ask(each, admin(), "CONFIG", "GET", "*port")) as string[];
        const open = Object.fromEntries(settings.flatMap((word, i) => (i % 2 === 0 ? [[word, settings[i + 1]]] : [])));
        expect(open).toMatchObject({ port: "0", "tls-port": String(each.port) });
        expect(listening(pids.get(each.name) ?? 0)).toEqual([each.port, each.busPort].sort((a, b) => a - b));
      }
    });

    test.each(["client port", "bus port"])(
      "%s: who shows no certificate, or a wrong one, is told why",
      async (which) => {
        const at = which === "bus port" ? busOf(node) : node;
        const client = { commonName: "client", usage: "client" } as const;
        const attempts: [Partial<TlsIdentity>, RegExp][] = [
          [{}, /CERTIFICATE_REQUIRED$/],
          [await certificate(otherAuthority, client), /UNKNOWN_CA$/],
          [await certificate(ownAuthority, { ...client, days: 10, startedDaysAgo: 11 }), /CERTIFICATE_EXPIRED$/],
          [await certificate(ownAuthority, { ...client, startedDaysAgo: -2 }), /BAD_CERTIFICATE$/],
        ];
        for (const [identity, reason] of attempts)
          expect(await knock(at, trusting(identity))).toMatchObject({
            code: expect.stringMatching(reason),
            answer: "",
          });
        // Nothing is wrong with these ways to ask: only with who asks.
        const right = await knock(at, trusting(await certificate(ownAuthority, client)), "PING\r\n".repeat(400));
        expect(right).toMatchObject({ code: "", cipher: expect.any(String) });
      },
    );

    test("old versions of TLS, and ciphers without encryption or without a certificate, are refused", async () => {
      const old = (version: tls.SecureVersion) => ({
        ...strict,
        minVersion: version,
        maxVersion: version,
        ciphers: "ALL:@SECLEVEL=0",
      });
      for (const version of ["TLSv1", "TLSv1.1"] as const)
        expect(await knock(node, old(version))).toMatchObject({
          code: expect.stringMatching(/PROTOCOL_VERSION$/),
          answer: "",
        });
      for (const version of ["TLSv1.2", "TLSv1.3"] as const)
        expect(await knock(node, old(version))).toMatchObject({ code: "", answer: expect.stringMatching(/NOAUTH/) });
      for (const ciphers of ["eNULL:@SECLEVEL=0", "aNULL:@SECLEVEL=0", "ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"])
        expect(await knock(node, { ...strict, maxVersion: "TLSv1.2", ciphers })).toMatchObject({
          code: expect.stringMatching(/HANDSHAKE_FAILURE$/),
          answer: "",
        });
    });
  });

  describe("somebody who says that he is a node", () => {
    const impostors: Impostor[] = [];
    const start = async (identity: TlsIdentity) => {
      const made = await impostor(identity);
      impostors.push(made);
      return made;
    };
    afterAll(async () => {
      await Promise.all(impostors.map((each) => each.close()));
    });

    test("is seen through by the component itself and by an ordinary client, before either has said anything", async () => {
      const at = { addresses: [ELSEWHERE] };
      const cases: [string, TlsIdentity, RegExp, RegExp][] = [
        [
          "of another authority, of the same name",
          await certificate(otherAuthority, at),
          /not trusted: it is of another authority/,
          /UNABLE_TO_VERIFY|SIGNATURE|UNABLE_TO_GET_ISSUER/,
        ],
        [
          "for another name",
          await certificate(ownAuthority, { addresses: [node.address], dnsNames: ["elsewhere"] }),
          new RegExp(`is for .*, not for ${ELSEWHERE}`),
          /ERR_TLS_CERT_ALTNAME_INVALID/,
        ],
        [
          "that has ended, and that was not made for this cluster's nodes",
          await certificate(ownAuthority, { ...at, days: 10, startedDaysAgo: 11 }),
          /not trusted: its time ended at/,
          /CERT_HAS_EXPIRED/,
        ],
        [
          "of a client, for the right name",
          await certificate(ownAuthority, { ...at, usage: "client" }),
          /not trusted: .*PURPOSE/,
          /INVALID_PURPOSE/,
        ],
      ];
      for (const [what, identity, ours, theirs] of cases) {
        const false_ = await start(identity);
        const connections = new Connections("test", { ...credentials.admin, tls: { ...own, identities: [admin_()] } });
        const [answer] = await connections.send({ ...false_, busPort: 0 }, [["PING"]]);
        connections.close();
        expect([what, answer]).toMatchObject([
          what,
          { ok: false, error: { name: "NodeNotTrusted", message: expect.stringMatching(ours) } },
        ]);
        const refused = await ask(false_, app(), "PING").then(
          () => "no error",
          (error: NodeJS.ErrnoException) => error.code,
        );
        expect([what, refused]).toEqual([what, expect.stringMatching(theirs)]);
        expect([what, false_.heard()]).toEqual([what, ""]);
      }
      // The same with the right certificate: it would be believed, so the refusals are the certificates'.
      const right = await start(await certificate(ownAuthority, at));
      expect(await ask(right, { tls: strict }, "PING")).toBe("OK");
    });
    const admin_ = () => own.admin ?? expect.fail("no certificate of the component's own");
  });

  describe("a foreign server that wants to be a member", () => {
    const foreign: RunningServer[] = [];
    afterAll(async () => {
      await Promise.all(foreign.map((each) => each.stop("SIGKILL")));
    });

    /** Tells it to MEET a node. @returns who it is, and how to ask it */
    async function meet(stranger: RunningServer) {
      foreign.push(stranger);
      const control = stranger.connect();
      const id = String(await control.call("CLUSTER", "MYID"));
      const view = async () =>
        String(await control.call("CLUSTER", "NODES"))
          .trim()
          .split("\n");
      const busPort = /@\d+/.exec((await view()).join())?.[0] ?? expect.fail("no bus port");
      expect(await control.call("CLUSTER", "MEET", node.address, String(node.port), String(node.busPort))).toBe("OK");
      return { id, busPort, view };
    }

    /** Flags under which nodes have the stranger, by whatever address; empty where none has. */
    async function seen({ id, busPort }: Pick<Awaited<ReturnType<typeof meet>>, "id" | "busPort">): Promise<string[]> {
      const views = await Promise.all(nodes.map(async (each) => String(await ask(each, admin(), "CLUSTER", "NODES"))));
      const lines = views.join("").split("\n");
      expect(lines.filter((line) => line.startsWith(id))).toEqual([]);
      return lines.filter((line) => line.includes(`${busPort} `)).map((line) => line.split(" ")[2] ?? "");
    }

    /** Until the stranger has given up. */
    async function givesUp(stranger: Awaited<ReturnType<typeof meet>>): Promise<void> {
      for (; (await stranger.view()).length > 1; await setTimeout(50)) {
        expect((await stranger.view()).filter((line) => !/myself|handshake/.test(line))).toEqual([]);
        expect(await seen(stranger)).toEqual([]);
      }
    }

    test("without TLS: its MEET is not even understood", async () => {
      if (!server) throw new Error("no server");
      await givesUp(await meet(await foreignNode(server)));
    });

    test("with TLS of another authority: its certificate is refused", async () => {
      if (!server) throw new Error("no server");
      const identity = await certificate(otherAuthority, { addresses: [ELSEWHERE], dnsNames: [node.name] });
      const caCertificatePem = otherAuthority.certificatePem;
      await givesUp(await meet(await foreignNode(server, { ...identity, caCertificatePem })));
      const trusts = `${caCertificatePem}${own.caCertificatePem}`;
      await givesUp(await meet(await foreignNode(server, { ...identity, caCertificatePem: trusts })));
    });

    test("with a stolen certificate of a client: the bus listens and tells it who is there, and no node ever takes it for one", async () => {
      if (!server) throw new Error("no server");
      const { certificatePem = "", keyPem = "", caCertificatePem } = own;
      const stranger = await meet(await foreignNode(server, { certificatePem, keyPem, caCertificatePem }));
      // Nodes were told of a new one, and look for it where it says it is: what they are shown there is not for nodes.
      const within = (begin: number, milliseconds: number) => Date.now() - begin < milliseconds;
      const begin = Date.now();
      while ((await seen(stranger)).length === 0 && within(begin, 60_000)) await setTimeout(20);
      // It has learned the map of the cluster: node IDs, addresses, slots.
      const learned = async () => (await stranger.view()).map((line) => line.slice(0, 40));
      while ((await learned()).length <= nodes.length && within(begin, 60_000)) await setTimeout(20);
      expect(await learned()).toEqual(expect.arrayContaining(nodes.map(({ id }) => id)));
      // Some servers knock again and again; it comes to nothing each time.
      for (const then = Date.now(); within(then, 2 * NODE_TIMEOUT_MILLISECONDS); await setTimeout(50))
        for (const flags of await seen(stranger)) expect(flags).toBe("handshake");
      await foreign.at(-1)?.stop("SIGKILL");
      while ((await seen(stranger)).length > 0) await setTimeout(50);
    });

    test("with a certificate for nodes of the same authority it is one: `up` sees it and stops, and says who it is", async () => {
      if (!server) throw new Error("no server");
      const identity = await certificate(ownAuthority, { addresses: [ELSEWHERE] });
      const stranger = await meet(await foreignNode(server, { ...identity, caCertificatePem: own.caCertificatePem }));
      const known = async (each: InventoryNode) =>
        String(await ask(each, admin(), "CLUSTER", "NODES")).includes(stranger.id);
      for (const each of nodes) while (!(await known(each))) await setTimeout(50);
      const { ok, stdout, stderr } = await project.up();
      expect([ok, stdout + stderr]).toEqual([false, expect.stringContaining(stranger.id.slice(0, 8))]);
      await Promise.all(foreign.map((each) => each.stop("SIGKILL")));
      for (const each of nodes) await ask(each, admin(), "CLUSTER", "FORGET", stranger.id);
      for (const each of nodes) expect(await known(each)).toBe(false);
    });

    // What README says is not protected: the bus asks for a certificate, and for nothing else.
    test("whoever has a certificate of a client may speak on the bus in any node's name", async () => {
      const subscriber = new Redis({
        host: node.address,
        port: node.port,
        ...app(),
        disableClientInfo: true,
        retryStrategy: () => null,
      });
      const heard: string[] = [];
      subscriber.on("message", (_channel, text) => heard.push(text));
      const sender = nodes.find((each) => each.role === "master" && each.name !== node.name);
      try {
        await subscriber.subscribe("app:news");
        const without = await knock(busOf(node), trusting({}), forgedPublish(sender?.id ?? "", "app:news", "nobody"));
        expect(without.code).toMatch(/CERTIFICATE_REQUIRED$/);
        await tell(busOf(node), strict, forgedPublish(sender?.id ?? "", "app:news", "forged"));
        for (const until = Date.now() + 10_000; heard.length === 0 && Date.now() < until; ) await setTimeout(10);
        expect(heard).toEqual(["forged"]);
      } finally {
        subscriber.disconnect();
      }
    });
  });

  describe("a client with a certificate", () => {
    const tryAs = async (login: Parameters<typeof ask>[1], command: string) => {
      const [verb = "", ...args] = command.split(" ");
      return ask(node, login, verb, ...args).then(
        (answer) => `answered ${JSON.stringify(answer)}`,
        (error: Error) => error.message,
      );
    };
    const each = async (login: Parameters<typeof ask>[1], commands: readonly string[]) =>
      Promise.all(commands.map(async (command) => `${command}: ${await tryAs(login, command)}`));

    test("and no password is nobody, under whatever name", async () => {
      for (const command of ["PING", "GET app:1", "INFO", "CLUSTER NODES", "CONFIG GET *"])
        expect(await tryAs({ tls: strict }, command)).toMatch(/^NOAUTH /);
      for (const username of ["default", "admin", "app", "monitor", "replication", "client"])
        expect(await tryAs({ username, password: "guess", tls: strict }, "PING")).toMatch(/^WRONGPASS /);
    });

    test("the application's user has its keys, channels and commands, and nothing of the server's", async () => {
      expect(await tryAs(app(), `SET app:{${key}} 1`)).toBe('answered "OK"');
      const refused = [
        ...[`GET {${key}}`, `SET {${key}} x`, `RENAME app:{${key}} {${key}}`, `COPY {${key}} app:{${key}}`],
        ...["SUBSCRIBE other", "PUBLISH other x", "PSUBSCRIBE *"],
        ...["CONFIG GET *", "CONFIG SET masterauth x", "CONFIG REWRITE", "CONFIG RESETSTAT"],
        ...["ACL LIST", "ACL GETUSER admin", "ACL SETUSER app +@all", "ACL LOAD", "ACL SAVE", "ACL LOG"],
        ...["CLUSTER RESET HARD", `CLUSTER MEET ${ELSEWHERE} 1`, "CLUSTER FAILOVER TAKEOVER", "CLUSTER BUMPEPOCH"],
        ...["CLUSTER FORGET x", "CLUSTER DELSLOTS 0", "CLUSTER SETSLOT 0 STABLE", "CLUSTER FLUSHSLOTS"],
        ...["MODULE LIST", "SHUTDOWN NOSAVE", "SAVE", "BGREWRITEAOF"],
        ...["FLUSHALL", "FLUSHDB", "KEYS *", "MONITOR", "CLIENT LIST", "CLIENT KILL ID 1", "CLIENT PAUSE 1000"],
        ...["EVAL return(1) 0", "FCALL f 0", "SCRIPT FLUSH", "SLOWLOG GET", "LATENCY LATEST", "MEMORY STATS"],
        ...["PSYNC ? -1", "SYNC", "REPLCONF listening-port 1", `REPLICAOF ${ELSEWHERE} 1`, "SLAVEOF NO ONE"],
        ...[`MIGRATE ${ELSEWHERE} 1 app:1 0 10`, "RESTORE app:1 0 x", "SWAPDB 0 1"],
      ];
      for (const said of await each(app(), refused)) expect(said).toMatch(/: NOPERM /);
      // Some servers say first that they have it off for everybody.
      for (const said of await each(app(), ["DEBUG SLEEP 1", "MODULE LOAD /x.so"]))
        expect(said).toMatch(/: (NOPERM |.*not allowed)/);
    });

    test("what its rules cannot keep from the application's user", async () => {
      // Names of keys are no one's: these walk over all of them.
      await ask(node, admin(), "SET", `other:{${key}}`, "secret");
      const scan = await tryAs(app(), "SCAN 0 COUNT 10000");
      expect(scan).toContain("other:");
      await ask(node, admin(), "DEL", `other:{${key}}`);
    });

    test("the monitor reads figures, and no key", async () => {
      const login = { username: "monitor", password: credentials.users["monitor"]?.password ?? "", tls: strict };
      expect(await tryAs(login, "DBSIZE")).toMatch(/^answered \d+/);
      const refused = [
        ...["GET app:1", "SCAN 0", "RANDOMKEY", "KEYS *", "DUMP app:1", "TYPE app:1", "OBJECT ENCODING app:1"],
        ...["MEMORY USAGE app:1", "CLUSTER GETKEYSINSLOT 0 10", "SET app:1 x", "DEL app:1", "SUBSCRIBE app:1"],
        ...["CONFIG GET masterauth", "ACL LIST", "CLIENT LIST", "MONITOR", "PSYNC ? -1", "SLOWLOG RESET"],
      ];
      for (const said of await each(login, refused)) expect(said).toMatch(/: NOPERM /);
    });

    test("no one switches on what the server has off: DEBUG and modules", async () => {
      for (const command of ["DEBUG SLEEP 0", "MODULE LOAD /x.so"])
        expect(await tryAs(admin(), command)).toMatch(/not allowed|not enabled/i);
      expect(await tryAs(admin(), `REPLICAOF ${ELSEWHERE} 1`)).toMatch(/not allowed in cluster mode/i);
    });

    test("passwords that were tried are nowhere to be read", async () => {
      const tried = Array.from({ length: 20 }, (_, n) => `tried-and-not-to-be-seen-${n}`);
      const watcher = new Redis({
        host: node.address,
        port: node.port,
        ...admin(),
        disableClientInfo: true,
        retryStrategy: () => null,
      });
      const monitor = await watcher.monitor();
      const monitored: string[] = [];
      monitor.on("monitor", (_time: string, words: string[]) => monitored.push(words.join(" ")));
      await ask(node, admin(), "CONFIG", "SET", "slowlog-log-slower-than", "0");
      try {
        for (const password of tried)
          for (const username of ["admin", "app", "nobody"])
            expect(await tryAs({ username, password, tls: strict }, "PING")).toMatch(/^WRONGPASS /);
        await ask(node, admin(), "PING");
        const log = JSON.stringify(await ask(node, admin(), "ACL", "LOG"));
        const slow = JSON.stringify(await ask(node, admin(), "SLOWLOG", "GET", "-1"));
        const written = nodes.map((n) => readFileSync(fileOf(project, n.name, "server.log"), "latin1")).join();
        const clients = String(await ask(node, admin(), "CLIENT", "LIST"));
        // The attempts themselves are to be seen.
        expect(log).toContain('"reason","auth"');
        for (const text of [log, slow, written, clients, monitored.join("\n")])
          expect(text).not.toContain("tried-and-not-to-be-seen");
      } finally {
        monitor.disconnect();
        watcher.disconnect();
        await ask(node, admin(), "CONFIG", "SET", "slowlog-log-slower-than", "10000");
      }
    });
  });

  test("after all of it the cluster is whole: the same servers, users, keys, and nothing to mend", async () => {
    const { stdout, operations } = await project.mustUp();
    // The run that stopped for a stranger is finished: verified, without a step.
    expect(operations.filter((each) => /^pre (?!same|refresh)/.test(each) && !/ClusterFormation/.test(each))).toEqual(
      [],
    );
    expect(stdout).toMatch(/6 nodes agree, a key written and read in each shard/);
    expect(stdout).not.toMatch(/not declared|all 6 nodes:|sessions-\d-zone-[abc]: /);
    expect(await project.pids()).toEqual(pids);
    expect((await members()).trim().split("\n")).toHaveLength(nodes.length);
    const client = await clientOf(project);
    expect(await Promise.all(Array.from({ length: 30 }, (_, n) => client.get(`app:${n}`)))).toEqual(
      Array.from({ length: 30 }, (_, n) => String(n)),
    );
    client.disconnect();
  });
});
