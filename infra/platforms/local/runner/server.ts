import { spawn } from "node:child_process";
import * as fs from "node:fs";
import * as net from "node:net";
import * as path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import * as tls from "node:tls";
import { say } from "../../../../components/formation/runner/say";
import { fingerprint } from "./configFile";
import { type FailureContext, logSince, PortTaken, startFailure, systemFailure } from "./failures";
import { FILES, type InstanceRecord, readInstanceRecord, writeInstanceRecord } from "./folder";
import { portProblem } from "./ports";
import { findMarked, isAlive, listens, type ProcessName, processMark, startTime } from "./processes";
import type { NodeInputs } from "./types";

const START_MILLISECONDS = 60_000;
/** Long enough to write a large snapshot; a server that ends sooner is not waited for. */
const STOP_MILLISECONDS = 60_000;
const SAY_EVERY_MILLISECONDS = 5_000;
const LOG_BYTES = 10_000_000;

/**
 * The server that runs on a folder's data: as written down, else found by its mark (a kill came before the writing, or the
 * folder was removed under it).
 */
export function serverOf(folder: string): ProcessName | undefined {
  const record = readInstanceRecord(folder);
  if (record?.pid !== undefined && record.startTime !== undefined) {
    const written = { pid: record.pid, startTime: record.startTime };
    if (isAlive(written)) return written;
  }
  return findMarked(processMark(folder))[0];
}

export function recordOf(node: NodeInputs, server?: ProcessName): InstanceRecord {
  const { instance, zone, address, port } = node;
  return { instance, fingerprint: fingerprint(node), zone, address, port, ...server };
}

/** What is to be started on a folder: its redis.conf is there, and this is written down beside it. */
export interface Startable {
  readonly name: string;
  readonly serverPath: string;
  readonly record: InstanceRecord;
}

/**
 * Starts the server and waits until it answers, itself and nobody else who listens there. It lives in a session of its own,
 * so that neither the end of `pulumi` nor Ctrl-C in its terminal ends it, and gets a bare environment: ours may hold passphrases.
 * @throws PortTaken where somebody else listens on its address
 */
export async function startServer(folder: string, { name, serverPath, record }: Startable): Promise<void> {
  const { pid: _, startTime: __, ...written } = record;
  const { address, port } = written;
  const log = path.join(folder, FILES.log);
  const context: FailureContext = { node: name, folder, address, server: serverPath, log };
  // Before the start, so that a process whose start is never written down is still known by fingerprint and mark.
  writeInstanceRecord(folder, written);
  if (fs.existsSync(log) && fs.statSync(log).size > LOG_BYTES) fs.renameSync(log, `${log}.1`);
  const descriptor = fs.openSync(log, "a", 0o600);
  const offset = fs.fstatSync(descriptor).size;
  const answersThere = speaksTls(folder) ? answersTls : answers;
  const title = `{title} ${processMark(folder)} {listen-addr} {server-mode}`;
  // What the server itself writes (CONFIG REWRITE, ACL SAVE, data) is for nobody else's eyes either.
  const umask = process.umask(0o077);
  const child = spawn(serverPath, [path.join(folder, FILES.config), "--proc-title-template", title], {
    cwd: folder,
    detached: true,
    stdio: ["ignore", descriptor, descriptor],
    env: bareEnvironment(),
  });
  process.umask(umask);
  fs.closeSync(descriptor);
  let ending: string | undefined;
  let refused: unknown;
  child.once("exit", (code, signal) => {
    ending = signal ? `was ended by ${signal}` : `ended with exit code ${code}`;
  });
  child.once("error", (error) => {
    refused = error;
  });
  child.unref();
  const started = child.pid === undefined ? undefined : startTime(child.pid);
  if (child.pid !== undefined && started !== undefined) {
    writeInstanceRecord(folder, { ...written, pid: child.pid, startTime: started });
  }
  const deadline = Date.now() + START_MILLISECONDS;
  for (let attempt = 0; ; attempt++) {
    // An error of starting arrives in the next turn of the event loop, hence the pause before the look.
    await delay(attempt < 20 ? 5 : 50);
    if (refused) throw systemFailure(context, refused);
    if (ending) throw startFailure(context, logSince(log, offset), ending);
    // In this order: who listens there is who answers. Where somebody else does, the server ends and its log says so.
    if (child.pid !== undefined && listens(child.pid, address, port) && (await answersThere(address, port))) break;
    if (Date.now() > deadline) {
      const listening = child.pid !== undefined && listens(child.pid, address, port);
      const taken = listening ? undefined : await portProblem(address, port);
      child.kill("SIGKILL");
      for (let wait = 0; !ending && wait < 100; wait++) await delay(50);
      if (taken) throw new PortTaken(name, taken);
      throw startFailure(
        context,
        logSince(log, offset),
        `gave no answer on ${address}:${port} for ${START_MILLISECONDS / 1000} s`,
      );
    }
  }
}

/**
 * Waits until a server that another run started listens where it should: it may be about to end because somebody else does.
 * @returns false where it ended
 */
export async function comesToListen({ name, address, port }: NodeInputs, server: ProcessName): Promise<boolean> {
  for (const deadline = Date.now() + START_MILLISECONDS; isAlive(server); await delay(50)) {
    if (listens(server.pid, address, port)) return true;
    if (Date.now() > deadline)
      throw new Error(
        `${name}: its server (pid ${server.pid}) runs, but does not listen on ${address}:${port}; end it, then run \`up\` again`,
      );
  }
  return false;
}

/** Folders whose server is being ended on purpose: gone before that is written down. */
const stopping = new Set<string>();

export function isStopping(folder: string): boolean {
  return stopping.has(folder);
}

/** Nobody starts the folder's server again while this goes on. */
export async function whileStopping(folder: string, work: () => Promise<void>): Promise<void> {
  stopping.add(folder);
  try {
    await work();
  } finally {
    stopping.delete(folder);
  }
}

/** Ends a server that is ours: politely, so that it saves; with SIGKILL after a time, saying so. */
export async function stopServer(name: string, server: ProcessName, patience = STOP_MILLISECONDS): Promise<void> {
  const begun = Date.now();
  let told = begun;
  signal(server, "SIGTERM");
  for (let attempt = 0; isAlive(server); attempt++) {
    const now = Date.now();
    if (now - begun > patience) {
      say(name, "server does not end, killing it", { pid: server.pid, seconds: Math.round((now - begun) / 1000) });
      signal(server, "SIGKILL");
      for (let wait = 0; isAlive(server) && wait < 100; wait++) await delay(50);
      if (isAlive(server))
        throw new Error(`${name}: the server (pid ${server.pid}) survives SIGKILL; look at it with ps, then run again`);
      return;
    }
    if (now - told > SAY_EVERY_MILLISECONDS) {
      told = now;
      say(name, "waiting for the server to save and end", {
        pid: server.pid,
        seconds: Math.round((now - begun) / 1000),
      });
    }
    await delay(attempt < 20 ? 5 : 50);
  }
}

function signal(server: ProcessName, kind: NodeJS.Signals): void {
  try {
    // Looked at right before: the pid may belong to another process by now.
    if (isAlive(server)) process.kill(server.pid, kind);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Any answer counts: a server that loads its data, or wants a password first, is up. */
function answers(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: address, port });
    const finish = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1000, () => finish(false));
    socket.once("error", () => finish(false));
    socket.once("close", () => finish(false));
    socket.once("data", (data) => finish(/^[+-]/.test(data.toString("latin1"))));
    socket.write("PING\r\n");
  });
}

function speaksTls(folder: string): boolean {
  return /^\s*tls-port\s+"?[1-9]/m.test(fs.readFileSync(path.join(folder, FILES.config), "utf8"));
}

/** A handshake counts, whatever comes of it: who may come in, and whether the node is the right one, is not asked here. */
function answersTls(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = tls.connect({ host, port, rejectUnauthorized: false });
    const finish = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1000, () => finish(false));
    socket.once("secureConnect", () => finish(true));
    socket.once("error", (error: NodeJS.ErrnoException) => finish(/ALERT/.test(error.code ?? "")));
    socket.once("close", () => finish(false));
  });
}

function bareEnvironment(): NodeJS.ProcessEnv {
  const kept = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];
  return Object.fromEntries(
    kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}
