import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join, resolve } from "node:path";
import type { Duplex } from "node:stream";
import { afterAll, beforeAll, describe, expect, type TestContext, test } from "vitest";
import { openSshProxy, type SshSurroundings } from "../../../components/access/ssh";
import type { ProxyAccess } from "../../../components/access/types";
import { Agent, Bastion, openSsh } from "../../support/bastion";
import { until } from "../../support/formation";

const ssh = await openSsh();

describe.skipIf(!ssh)("streams through a real sshd", { timeout: 120_000 }, () => {
  let bastion: Bastion;
  let echo: Echo;

  beforeAll(async () => {
    if (!ssh) return;
    echo = await Echo.start();
    bastion = await Bastion.start({ ssh, hostKeys: ["ed25519", "rsa"] });
  });
  afterAll(async () => {
    await bastion?.dispose();
    echo?.stop();
  });

  const access = (more: Partial<ProxyAccess> = {}, to = bastion): ProxyAccess => ({
    host: to.address,
    port: to.port,
    user: to.user,
    privateKey: to.privateKey,
    hostKey: to.hostKey(),
    dialErrorLimit: 1,
    ...more,
  });

  /** A proxy that is closed with the test. Of this machine nothing is known to it but what is said here. */
  function open({ onTestFinished }: TestContext, how: ProxyAccess, from: SshSurroundings = {}) {
    const proxy = openSshProxy(how, { env: {}, knownHosts: [], ...from });
    onTestFinished(() => proxy.close());
    return proxy;
  }

  async function works(context: TestContext, how: ProxyAccess, from: SshSurroundings = {}): Promise<void> {
    const stream = await open(context, how, from).connect("127.0.0.1", echo.port);
    expect(await roundTrip(stream, "hello")).toBe("hello");
  }

  async function refusal(context: TestContext, how: ProxyAccess, from: SshSurroundings = {}): Promise<string> {
    const error = await open(context, how, from)
      .connect("127.0.0.1", echo.port)
      .then(
        () => undefined,
        (error: unknown) => error,
      );
    if (!(error instanceof Error)) throw new Error("it let us in");
    const { privateKey = "", password, privateKeyPassword } = how;
    for (const secret of [...privateKey.split("\n").slice(1, -2), password, privateKeyPassword])
      if (secret !== undefined && secret.length > 8) expect(error.message).not.toContain(secret);
    return error.message;
  }

  const accepted = (to = bastion) => to.log.match(/Accepted publickey/g)?.length ?? 0;

  test("200 at once, a megabyte each way in some, all through one connection", async (context) => {
    const before = accepted();
    const proxy = open(context, access());
    const big = Buffer.alloc(2 ** 20, "0123456789abcdef");
    const streams = await Promise.all(Array.from({ length: 200 }, () => proxy.connect("127.0.0.1", echo.port)));
    const answers = await Promise.all(
      streams.map((stream, i) => roundTrip(stream, i % 50 === 0 ? big.toString() : `stream ${i}`)),
    );
    expect(answers.map((a, i) => (i % 50 === 0 ? a === big.toString() : a === `stream ${i}`))).toEqual(
      Array(200).fill(true),
    );
    expect(accepted() - before).toBe(1);
    // An end here is an end there, and the other way round.
    const there = echo.open;
    expect(there).toBeGreaterThanOrEqual(200);
    for (const stream of streams.slice(0, 100)) stream.destroy();
    const closed = Promise.all(streams.slice(100).map((s) => new Promise((resolve) => s.once("close", resolve))));
    await until("those that ended here ended there", () => echo.open <= there - 100);
    for (const stream of streams.slice(100)) stream.resume();
    echo.drop();
    await closed;
  });

  test("host keys: given, by fingerprint of any type, or known to this machine", async (context) => {
    await works(context, access());
    await works(context, access({ hostKey: bastion.hostKey("rsa") }));
    await works(context, access({ hostKey: bastion.fingerprint() }));
    await works(context, access({ hostKey: bastion.fingerprint("rsa") }));
    const { hostKey: _, ...without } = access();
    await works(context, without, { knownHosts: ["/nowhere/known_hosts", bastion.knownHosts()] });
    await works(context, without, { knownHosts: [bastion.knownHosts([bastion.hostKey("rsa")])] });
  });

  test("another host key than expected, or none known: what it shows, what was expected, what to do; and no login", async (context) => {
    const before = bastion.log.match(/Connection from/g)?.length ?? 0;
    bastion.makeUserKey("stranger");
    const stranger = readFileSync(join(bastion.folder, "stranger.pub"), "utf8").split(" ").slice(0, 2).join(" ");
    const name = `proxy ${bastion.user}@127.0.0.1:${bastion.port}: `;
    const wrong = await refusal(context, access({ hostKey: stranger }));
    expect(wrong).toContain(
      `${name}its host key is another one than \`hostKey\`: it shows ssh-ed25519 ${bastion.fingerprint()}, expected is ssh-ed25519 SHA256:`,
    );
    expect(wrong).toMatch(/find out which, and only then replace `hostKey`$/);
    const fingerprint = await refusal(context, access({ hostKey: `SHA256:${"A".repeat(43)}` }));
    expect(fingerprint).toContain(
      `it shows ssh-ed25519 ${bastion.fingerprint()} and ssh-rsa ${bastion.fingerprint("rsa")}, expected is SHA256:AAAA`,
    );
    const { hostKey: _, ...without } = access();
    const known = bastion.knownHosts([stranger]);
    expect(await refusal(context, without, { knownHosts: [known] })).toContain(
      `it shows ssh-ed25519 ${bastion.fingerprint()}, known is ssh-ed25519 SHA256:`,
    );
    const unknown = await refusal(context, without, { knownHosts: ["/nowhere/known_hosts"] });
    expect(unknown).toContain(
      `${name}its host key is not known: it shows ssh-ed25519 ${bastion.fingerprint()}, and there is no known_hosts; `,
    );
    // What it says to write is what then holds.
    const line = /add to ~\/\.ssh\/known_hosts: (.+)$/.exec(unknown)?.[1] ?? "";
    const file = join(bastion.folder, "written");
    writeFileSync(file, `${line}\n`);
    await works(context, without, { knownHosts: [file] });
    expect(before).toBeGreaterThan(0);
  });

  test("logins: a key in any format, an encrypted one, an agent's", async (context) => {
    const passphrase = "a passphrase with spaces";
    const encrypted = bastion.makeUserKey("encrypted", { args: ["-N", passphrase], authorized: true });
    await works(context, access({ privateKey: encrypted, privateKeyPassword: passphrase }));
    const rsa = bastion.makeUserKey("pem", { args: ["-t", "rsa", "-b", "2048", "-m", "PEM"], authorized: true });
    expect(rsa).toContain("BEGIN RSA PRIVATE KEY");
    await works(context, access({ privateKey: rsa.replaceAll("\n", "\r\n") }));
    const pkcs8 = bastion.makeUserKey("pkcs8", { args: ["-t", "ecdsa", "-m", "PKCS8"], authorized: true });
    expect(pkcs8).toContain("BEGIN PRIVATE KEY");
    await works(context, access({ privateKey: pkcs8 }));
    const sealed = bastion.makeUserKey("sealed", {
      args: ["-t", "ecdsa", "-m", "PKCS8", "-N", passphrase],
      authorized: true,
    });
    expect(sealed).toContain("BEGIN ENCRYPTED PRIVATE KEY");
    await works(context, access({ privateKey: sealed, privateKeyPassword: passphrase }));

    if (!ssh) return;
    const strangers = [1, 2].map((i) => bastion.makeUserKey(`stranger${i}`));
    const agent = await Agent.start(ssh, [...strangers, bastion.privateKey]);
    context.onTestFinished(() => agent.stop());
    const { privateKey: _, ...without } = access();
    await works(context, without, { env: { SSH_AUTH_SOCK: agent.socket } });
    await works(context, { ...without, agentSocketPath: agent.socket });
    // Where a key is given, nobody asks the agent unless that is said.
    const stranger = strangers[0] ?? "";
    expect(await refusal(context, access({ privateKey: stranger }), { env: { SSH_AUTH_SOCK: agent.socket } })).toMatch(
      /tried the private key \(its public half is ssh-ed25519 SHA256:[^)]+\); it takes publickey; is the public key in/,
    );
    await works(context, access({ privateKey: stranger, agentSocketPath: agent.socket }));
  });

  test("logins that are refused say what was tried and what to do, and show no secret", async (context) => {
    if (!ssh) return;
    const { privateKey: _, ...without } = access();
    const stranger = bastion.makeUserKey("other");
    const encrypted = bastion.makeUserKey("locked", { args: ["-N", "right passphrase"] });
    const name = `proxy ${bastion.user}@127.0.0.1:${bastion.port}: `;
    expect(await refusal(context, access({ privateKey: stranger }))).toContain(
      `${name}login as ${bastion.user} refused; tried the private key (its public half is ssh-ed25519 SHA256:`,
    );
    expect(await refusal(context, { ...without, password: "not the password" })).toContain(
      `${name}the server lets nobody in as ${bastion.user} with the password; it takes publickey; give what it takes`,
    );
    expect(await refusal(context, access({ privateKey: encrypted }))).toMatch(/is encrypted; give privateKeyPassword/);
    expect(await refusal(context, access({ privateKey: encrypted, privateKeyPassword: "wrong passphrase" }))).toMatch(
      /cannot be decrypted; check privateKeyPassword/,
    );
    const broken = stranger
      .split("\n")
      .map((l, i) => (i === 2 ? l.slice(4) : l))
      .join("\n");
    expect(await refusal(context, access({ privateKey: broken }))).toMatch(/cannot be read: it is damaged/);
    expect(await refusal(context, access({ privateKey: "~/.ssh/id_ed25519" }))).toMatch(/a file's name, perhaps/);
    expect(await refusal(context, access({ privateKey: bastion.hostKey() }))).toMatch(
      /is a public key; give its private half/,
    );
    expect(await refusal(context, without)).toMatch(/nothing to log in with.*SSH_AUTH_SOCK names no agent/);
    expect(await refusal(context, without, { env: { SSH_AUTH_SOCK: "/nowhere/agent" } })).toMatch(
      /no SSH agent answers at \/nowhere\/agent/,
    );
    const empty = await Agent.start(ssh, []);
    context.onTestFinished(() => empty.stop());
    expect(await refusal(context, without, { env: { SSH_AUTH_SOCK: empty.socket } })).toMatch(
      /the agent at .* has no keys; add one \(ssh-add\)/,
    );
    const full = await Agent.start(
      ssh,
      Array.from({ length: 8 }, (_, i) => bastion.makeUserKey(`many${i}`)),
    );
    context.onTestFinished(() => full.stop());
    expect(await refusal(context, without, { env: { SSH_AUTH_SOCK: full.socket } })).toMatch(
      /hung up after too many attempts, with the 8 keys of the agent at .*servers take 6/,
    );
  });

  test("who does not reach the node: the far end, which also looks up its name", async (context) => {
    const proxy = open(context, access());
    const stream = await proxy.connect("localhost", echo.port);
    expect(await roundTrip(stream, "by name")).toBe("by name");
    const user = `${bastion.user}@127.0.0.1:${bastion.port}`;
    await expect(proxy.connect("127.0.0.1", 1)).rejects.toMatchObject({
      name: "ProxyError",
      code: "ECONNREFUSED",
      message: `127.0.0.1:1 refuses connections of ${user}; no server listens there`,
    });
    await expect(proxy.connect("no-such-host.invalid", 6379)).rejects.toMatchObject({
      message: expect.stringMatching(/ does not reach no-such-host\.invalid:6379 \(.+\); the far end cannot get there/),
    });
    expect(await roundTrip(stream, "still there")).toBe("still there");
  });

  test("a server that forwards nothing, one that is no SSH server, one that is not there", async (context) => {
    if (!ssh) return;
    const strict = await Bastion.start({ ssh, lines: ["AllowTcpForwarding no"] });
    context.onTestFinished(() => strict.dispose());
    expect(await refusal(context, access({}, strict))).toMatch(
      /it refuses to forward to 127\.0\.0\.1:\d+ \(.+\); allow it: `AllowTcpForwarding yes`/,
    );
    await strict.kill();
    const begin = Date.now();
    expect(await refusal(context, access({ dialErrorLimit: 3 }, strict))).toMatch(
      /connection refused; does an SSH server listen on port \d+ of 127\.0\.0\.1\? \(3 tries in \d+ s\)$/,
    );
    expect(Date.now() - begin).toBeLessThan(20_000);
    const silent = await listen(context, () => {});
    expect(await refusal(context, access({ port: silent, perDialTimeout: 1 }))).toMatch(
      /connected, and no SSH handshake within 1 s \(perDialTimeout\); is it an SSH server/,
    );
    const web = await listen(context, (socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    expect(await refusal(context, access({ port: web }))).toMatch(
      /ended during the handshake \(Connection lost before handshake\); is it an SSH server/,
    );
    expect(await refusal(context, access({ host: "no-such-host.invalid" }))).toMatch(
      /the name no-such-host\.invalid (is not known here|could not be looked up)/,
    );
  });

  test("killed and back: streams end with an error that names it, new ones wait for it", async (context) => {
    if (!ssh) return;
    const fallible = await Bastion.start({ ssh });
    context.onTestFinished(() => fallible.dispose());
    const proxy = open(context, access({ dialErrorLimit: 0 }, fallible));
    const streams = await Promise.all(Array.from({ length: 3 }, () => proxy.connect("127.0.0.1", echo.port)));
    const ends = Promise.all(streams.map((s) => new Promise<Error>((resolve) => s.once("error", resolve))));
    await fallible.kill();
    for (const error of await ends)
      expect(error).toMatchObject({
        code: "ECONNRESET",
        message: expect.stringMatching(/^proxy .*: the connection was lost/),
      });
    const waiting = Array.from({ length: 3 }, () => proxy.connect("127.0.0.1", echo.port));
    await fallible.start();
    const again = await Promise.all(waiting);
    expect(await Promise.all(again.map((s) => roundTrip(s, "again")))).toEqual(["again", "again", "again"]);
    expect(accepted(fallible)).toBe(2);
    // Whoever closes does not wait for it.
    await fallible.kill();
    const late = expect(proxy.connect("127.0.0.1", echo.port)).rejects.toThrow(/it was closed here/);
    proxy.close();
    await late;
    await expect(proxy.connect("127.0.0.1", echo.port)).rejects.toThrow(/it was closed here/);
  });

  test.skipIf(!process.env.FULL)(
    "frozen: new streams say so, and after a while it counts as lost and another connection is made",
    async (context) => {
      if (!ssh) return;
      const sleepy = await Bastion.start({ ssh });
      context.onTestFinished(() => sleepy.dispose());
      const proxy = open(context, access({ dialErrorLimit: 0, perDialTimeout: 2 }, sleepy));
      const stream = await proxy.connect("127.0.0.1", echo.port);
      const end = new Promise<Error>((resolve) => stream.once("error", resolve));
      sleepy.signal("SIGSTOP");
      await expect(proxy.connect("127.0.0.1", echo.port)).rejects.toThrow(/^proxy .*: no word from it for 2\.5 s/);
      expect((await end).message).toMatch(/the connection was lost \(Keepalive timeout\)/);
      const next = proxy.connect("127.0.0.1", echo.port).then((s) => roundTrip(s, "awake"));
      sleepy.signal("SIGCONT");
      expect(await next).toBe("awake");
    },
  );

  test("nothing of it keeps a process alive once it is closed, and who goes directly does not load it", async () => {
    const built = (file: string) => JSON.stringify(resolve(__dirname, "../../../dist/components", file));
    const how = JSON.stringify(access({ dialErrorLimit: 0, perDialTimeout: 0 }));
    const used = await inProcess(`
      const { openSshProxy } = require(${built("access/ssh.js")});
      const proxy = openSshProxy(${how});
      proxy.connect("127.0.0.1", ${echo.port}).then((stream) => {
        stream.once("data", () => proxy.close());
        stream.on("error", () => {});
        stream.write("hello");
      });`);
    expect(used).toEqual({ code: 0, loaded: true });
    const silent = await new Promise<Server>((done) => {
      const server = createServer((socket) => socket.on("error", () => {})).listen(0, "127.0.0.1", () => done(server));
    });
    const { port } = silent.address() as { port: number };
    const dialing = await inProcess(`
      const { openSshProxy } = require(${built("access/ssh.js")});
      const proxy = openSshProxy({ ...${how}, port: ${port} });
      proxy.connect("127.0.0.1", 1).catch(() => {});
      setTimeout(() => proxy.close(), 500);`);
    silent.close();
    expect(dialing).toEqual({ code: 0, loaded: true });
    const direct = await inProcess(`
      const { Connections } = require(${built("formation/wire.js")});
      const connections = new Connections("test");
      connections.send({ address: "127.0.0.1", port: 1, busPort: 2 }, [["PING"]]).then(() => connections.close());`);
    expect(direct).toEqual({ code: 0, loaded: false });
  });
});

/** Runs a program until it ends by itself. @returns its exit code, and whether ssh2 was loaded */
async function inProcess(source: string): Promise<{ code: number | null; loaded: boolean }> {
  const tell = `process.on("exit", () => process.stdout.write(String(Object.keys(require.cache).some((f) => f.includes("/ssh2/")))));`;
  const child = spawn(process.execPath, ["-e", `${tell}\n${source}`], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (data: Buffer) => (said += data.toString()));
  const late = setTimeout(() => child.kill("SIGKILL"), 60_000);
  const code = await new Promise<number | null>((done) => child.once("close", done));
  clearTimeout(late);
  return { code, loaded: said === "true" };
}

/** Sends back what it gets. */
class Echo {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => this.#sockets.delete(socket));
      socket.pipe(socket);
    });
  }

  static async start(): Promise<Echo> {
    const echo = new Echo();
    await new Promise<void>((resolve) => echo.#server.listen(0, "127.0.0.1", resolve));
    return echo;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  get open(): number {
    return this.#sockets.size;
  }

  drop(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  stop(): void {
    this.drop();
    this.#server.close();
  }
}

async function listen({ onTestFinished }: TestContext, answer: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    answer(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as { port: number }).port;
}

async function roundTrip(stream: Duplex, text: string): Promise<string> {
  stream.write(text);
  let read = "";
  return new Promise((resolve, reject) => {
    const take = (data: Buffer) => {
      read += data.toString("latin1");
      if (read.length < text.length) return;
      stream.off("data", take);
      resolve(read);
    };
    stream.on("data", take);
    stream.once("error", reject);
    stream.once("close", () => reject(new Error("closed")));
  });
}
