import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { Redis } from "ioredis";
import { renderRedisConf } from "../../components/config/redisConf";
import type { Directive } from "../../components/config/types";
import type { Server, TestServerName } from "../../infra/toolchain/servers.mjs";
import { ask, type ClientLogin } from "./clients";

export type { TestServerName };
/** A real server's program, and the tools that came with it. */
export type ServerProgram = Server;

export const TEST_SERVER_NAMES: readonly TestServerName[] = ["redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1"];

let programs: Promise<Record<TestServerName, ServerProgram> | undefined> | undefined;

/**
 * The four servers of the tests. Where they cannot be had, the answer is undefined and a line on stderr says why, so
 * that a developer's other tests still run; in CI (`CI` set) it is an error, because a skipped test proves nothing there.
 */
export function testServers(): Promise<Record<TestServerName, ServerProgram> | undefined> {
  programs ??= load();
  return programs;
}

async function load(): Promise<Record<TestServerName, ServerProgram> | undefined> {
  const toolchain = await import("../../infra/toolchain/servers.mjs");
  try {
    return await toolchain.ensureTestServers({ log: (line) => process.stderr.write(`${line}\n`) });
  } catch (error) {
    if (!(error instanceof toolchain.ServerUnavailable) || inCi()) throw error;
    process.stderr.write(`SKIPPED, tests with real servers: ${error.message}\n`);
    return undefined;
  }
}

export function inCi(): boolean {
  return !["", "0", "false", undefined].includes(process.env.CI);
}

/** What makes a server speak TLS, or ask for a login, and how somebody comes in who may do everything. */
export interface ServerSecurity {
  /** Lines of redis.conf; where they name a certificate, `port` becomes `tls-port`. */
  readonly conf: string;
  /** Files that they name, beside redis.conf. */
  readonly files: Readonly<Record<string, string>>;
  readonly login: ClientLogin;
}

export interface StartOptions {
  readonly server: ServerProgram;
  /** Text of redis.conf; or directives, which are rendered. `port`, `bind` and `dir` are added where they do not name them. */
  readonly conf?: string;
  readonly directives?: readonly Directive[];
  /** Further files for the server's folder, by name: `users.acl`. */
  readonly files?: Readonly<Record<string, string>>;
  /** The server's folder; kept when given, else a temporary one that goes with the server. */
  readonly dir?: string;
  /** Client port; by default a free one is found. */
  readonly port?: number;
  /** Address to listen on. Default: 127.0.0.1. */
  readonly address?: string;
  /** Program arguments after the file, as on the command line. */
  readonly args?: readonly string[];
  /** Tells whether the server answers, where a PING cannot. */
  readonly ready?: () => boolean;
  /** Default: an open server without TLS. */
  readonly security?: ServerSecurity;
  /** How long it may take until it answers. Default: 10 s. */
  readonly timeoutMilliseconds?: number;
}

export interface RunningServer {
  readonly port: number;
  readonly address: string;
  readonly dir: string;
  readonly process: ChildProcess;
  /** What it has logged so far. */
  readonly log: () => string;
  /** One command, by somebody who may do everything. @throws Error what the server answers */
  readonly ask: (command: string, ...args: (string | number | Buffer)[]) => Promise<unknown>;
  /** A new connection, closed by `stop`. */
  readonly connect: (options?: { readonly username?: string; readonly password?: string }) => Redis;
  /** Ends the process (by default with SIGTERM), waits for its exit, removes a temporary folder. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<void>;
}

const running = new Set<ChildProcess>();
const temporary = new Set<string>();

// Nothing started here may outlive the test process, also when a test throws or vitest ends its worker.
let guarded = false;
function guardExit(): void {
  if (guarded) return;
  guarded = true;
  const end = () => {
    for (const child of running) child.kill("SIGKILL");
    for (const dir of temporary) rmSync(dir, { recursive: true, force: true });
  };
  process.on("exit", end);
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    process.once(signal, () => {
      end();
      process.kill(process.pid, signal);
    });
  }
}

/** Starts a real server on loopback and answers once it answers PING. */
export async function startServer(options: StartOptions): Promise<RunningServer> {
  guardExit();
  const { server, address = "127.0.0.1", security } = options;
  for (let attempt = 1; ; attempt += 1) {
    const port = options.port ?? portIn(options) ?? (await freePort(address));
    const dir = options.dir ?? mkdtempSync(join(tmpdir(), "prc-server-"));
    if (options.dir === undefined) temporary.add(dir);
    for (const [name, text] of Object.entries({ ...security?.files, ...options.files }))
      writeFileSync(join(dir, name), text, { mode: 0o600 });
    const file = join(dir, "redis.conf");
    writeFileSync(file, confFor(options, { address, port, dir }));
    const child = spawn(server.path, [file, ...(options.args ?? [])], { cwd: dir, stdio: ["ignore", "pipe", "pipe"] });
    running.add(child);
    let text = "";
    child.stdout.on("data", (data: Buffer) => {
      text += data.toString();
    });
    child.stderr.on("data", (data: Buffer) => {
      text += data.toString();
    });
    const exited = new Promise<void>((resolve) => {
      child.once("close", () => {
        running.delete(child);
        resolve();
      });
      child.once("error", (error) => {
        text += `${error.message}\n`;
        running.delete(child);
        resolve();
      });
    });
    const cleanUp = () => {
      if (options.dir !== undefined) return;
      rmSync(dir, { recursive: true, force: true });
      temporary.delete(dir);
    };
    const clients: Redis[] = [];
    const stop = async (signal: NodeJS.Signals = "SIGTERM") => {
      for (const client of clients) client.disconnect();
      if (running.has(child)) child.kill(signal);
      // A server that hangs while it shuts down must not hang the tests.
      const late = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await exited;
      clearTimeout(late);
      cleanUp();
    };
    const failure = await untilAnswering(address, port, child, options);
    if (failure === undefined) {
      const open: RunningServer["connect"] = (credentials = {}) => {
        const client = new Redis({
          host: address,
          port,
          lazyConnect: false,
          enableReadyCheck: false,
          maxRetriesPerRequest: 1,
          ...security?.login,
          ...credentials,
        });
        client.on("error", () => {});
        clients.push(client);
        return client;
      };
      const asked: RunningServer["ask"] = (command, ...args) =>
        ask({ address, port }, security?.login ?? {}, command, ...args);
      return { port, address, dir, process: child, log: () => text, ask: asked, connect: open, stop };
    }
    await stop("SIGKILL");
    const taken = /Address already in use|Could not create server TCP listening socket|Failed listening on port/.test(
      `${failure}\n${text}`,
    );
    // A port that is asked for may be held for a moment still, by a server that was just killed.
    if (taken && attempt < 5 && (options.port === undefined || (await comesFree(address, port)))) continue;
    throw new Error(`${server.engine} ${server.version} did not start (${failure}):\n${text.trim()}`);
  }
}

function confFor(options: StartOptions, at: { address: string; port: number; dir: string }): string {
  const text = `${options.conf ?? renderRedisConf(options.directives ?? [])}${options.security?.conf ?? ""}`;
  const has = (name: string) => new RegExp(`^${name}\\s`, "im").test(text);
  const added: Directive[] = [];
  if (!has("bind")) added.push({ name: "bind", value: at.address });
  if (options.security && has("tls-cert-file") && !has("tls-port")) {
    added.push({ name: "port", value: "0" }, { name: "tls-port", value: String(at.port) });
  } else if (!has("port")) added.push({ name: "port", value: String(at.port) });
  if (!has("dir")) added.push({ name: "dir", value: at.dir });
  return `${renderRedisConf(added)}${text}`;
}

function portIn(options: StartOptions): number | undefined {
  const text = options.conf ?? renderRedisConf(options.directives ?? []);
  const port = Number(/^port\s+(\d+)/im.exec(text)?.[1] ?? 0);
  return port === 0 ? undefined : port;
}

/** Polls until PING is answered; that a password is wanted is an answer too. */
async function untilAnswering(
  address: string,
  port: number,
  child: ChildProcess,
  { timeoutMilliseconds: timeout = 10_000, ready, security }: StartOptions,
): Promise<string | undefined> {
  const deadline = Date.now() + timeout;
  while (running.has(child)) {
    const answer = ready === undefined ? await ping(address, port, security?.login.tls) : ready() ? "+PONG" : "";
    // The answer must come from this process, not from one that already had the port.
    const pid = /process_id:(\d+)/.exec(answer)?.[1];
    if (pid !== undefined && pid !== String(child.pid))
      return `Address already in use: another server answers on port ${port}`;
    if (/^(\+PONG|-NOAUTH|-NOPERM)/.test(answer)) return undefined;
    if (Date.now() > deadline) return `no answer within ${timeout} ms`;
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
  return `exit code ${child.exitCode ?? child.signalCode ?? "unknown"}`;
}

/** A bare socket, because a client library has more to say at first than a server without users' rights answers. */
function ping(host: string, port: number, tls: ClientLogin["tls"]): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = tls ? connectTls({ host, port, timeout: 1_000, ...tls }) : connect({ host, port, timeout: 1_000 });
    socket.on("data", (data) => {
      text += data.toString();
    });
    socket.on(tls ? "secureConnect" : "connect", () => socket.write("PING\r\nINFO server\r\nQUIT\r\n"));
    socket.on("timeout", () => socket.destroy());
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
  });
}

async function comesFree(address: string, port: number): Promise<boolean> {
  for (const end = Date.now() + 5_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 20)))
    if ((await isFree(address, port)) && (await isFree(address, port + 10_000))) return true;
  return false;
}

/**
 * Above what the local platform chooses, so that a test that looks for a port takes none of a cluster's that is about to start.
 * Below 22768 the bus port (10000 higher) stays out of Linux's ephemeral range, where any connection may take it; some less, so
 * that a declared cluster of several shards has room from here on.
 */
const PORTS = { first: 18_000, last: 22_700 };

/**
 * Addresses of zones that nobody else has: the port of a server that is down is not taken before it starts again. 127.0.0.0/16 is for
 * what has fixed addresses.
 */
export function ownAddresses(): (zone: number) => string {
  const among = (first: number, last: number) => first + Math.floor(Math.random() * (last - first + 1));
  const [second, last] = [among(100, 254), among(1, 254)];
  return (zone) => (process.platform === "linux" ? `127.${second}.${zone + 1}.${last}` : "127.0.0.1");
}

/** A client port that is free together with its bus port. */
export async function freePort(address = "127.0.0.1"): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const port = PORTS.first + Math.floor(Math.random() * (PORTS.last - PORTS.first + 1));
    if ((await isFree(address, port)) && (await isFree(address, port + 10_000))) return port;
  }
  throw new Error(`no free pair of ports on ${address} between ${PORTS.first} and ${PORTS.last}`);
}

function isFree(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen({ host: address, port, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
