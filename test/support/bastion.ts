import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { OpenSsh } from "../../infra/toolchain/sshd.mjs";
import { inCi } from "./servers";

let programs: Promise<OpenSsh | undefined> | undefined;

/** OpenSSH; where it cannot be had, undefined, and a line on stderr says why. In CI that is an error, as with the servers. */
export function openSsh(): Promise<OpenSsh | undefined> {
  programs ??= load();
  return programs;
}

async function load(): Promise<OpenSsh | undefined> {
  const { ensureSshd, NoSshd } = await import("../../infra/toolchain/sshd.mjs");
  try {
    return await ensureSshd({ log: (line) => process.stderr.write(`${line}\n`) });
  } catch (error) {
    if (!(error instanceof NoSshd) || inCi()) throw error;
    process.stderr.write(`SKIPPED, tests with a real sshd: ${error.message}\n`);
    return undefined;
  }
}

/**
 * As root sshd wants a user and a folder of the system for itself; as anybody else it lets in that user alone, and is content. So
 * where root tests, a user that every system has runs it; not `nobody`, whom systemd calls locked.
 */
function whoRunsIt(): { readonly name: string; readonly id: number } {
  if (process.getuid?.() !== 0) return { name: userInfo().username, id: userInfo().uid };
  for (const line of readFileSync("/etc/passwd", "utf8").split("\n")) {
    const [name = "", , id, , , , shell = ""] = line.split(":");
    if (["daemon", "bin", "mail"].includes(name) && existsSync(shell)) return { name, id: Number(id) };
  }
  throw new Error("/etc/passwd has no user to run sshd as: daemon, bin, mail");
}

export interface BastionOptions {
  readonly ssh: OpenSsh;
  /** Default: 127.0.0.1. */
  readonly address?: string;
  /** Default: a free one. */
  readonly port?: number;
  /** What runs it elsewhere: `["nsenter", "--net=…"]`. */
  readonly within?: readonly string[];
  /** Types of its host keys. Default: ed25519. */
  readonly hostKeys?: readonly ("ed25519" | "rsa" | "ecdsa")[];
  /** Further lines of sshd_config, which decide over those that are here. */
  readonly lines?: readonly string[];
}

/** A real sshd with keys of its own, and one key of a user that it lets in. */
export class Bastion {
  readonly address: string;
  readonly port: number;
  /** The only user that it lets in. */
  readonly user: string;
  readonly folder: string;
  readonly #options: BastionOptions;
  readonly #uid: number;
  #child: ChildProcess | undefined;
  #log = "";

  private constructor(options: BastionOptions, port: number) {
    this.#options = options;
    this.address = options.address ?? "127.0.0.1";
    this.port = port;
    const { name, id } = whoRunsIt();
    this.user = name;
    this.#uid = id;
    this.folder = mkdtempSync(join(tmpdir(), "prc-bastion-"));
    const { ssh, hostKeys = ["ed25519"], lines = [] } = options;
    for (const type of hostKeys) this.#makeKey(`host_${type}`, type);
    this.#makeKey("user", "ed25519");
    writeFileSync(join(this.folder, "authorized_keys"), readFileSync(join(this.folder, "user.pub")));
    // The first word on a directive counts.
    const config = [
      ...lines,
      ...ssh.config,
      `Port ${port}`,
      `ListenAddress ${this.address}`,
      ...hostKeys.map((type) => `HostKey ${join(this.folder, `host_${type}`)}`),
      `AuthorizedKeysFile ${join(this.folder, "authorized_keys")}`,
      "PidFile none",
      "StrictModes no",
      "UsePAM no",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "LogLevel VERBOSE",
    ];
    writeFileSync(join(this.folder, "sshd_config"), `${config.join("\n")}\n`);
    for (const name of readdirSync(this.folder)) this.#give(join(this.folder, name));
    this.#give(this.folder);
    process.on("exit", this.#atExit);
  }

  readonly #atExit = () => this.#kill();

  static async start(options: BastionOptions): Promise<Bastion> {
    const bastion = new Bastion(options, options.port ?? (await freePort()));
    try {
      await bastion.start();
      return bastion;
    } catch (error) {
      await bastion.dispose();
      throw error;
    }
  }

  /** Starts it, also after `kill`, and waits until it answers. */
  async start(): Promise<void> {
    const { ssh, within = [] } = this.#options;
    const command = [
      ...within,
      ...this.#asUser(ssh.sshd),
      ssh.sshd,
      "-D",
      "-e",
      "-f",
      join(this.folder, "sshd_config"),
    ];
    const child = spawn(command[0] ?? "", command.slice(1), { stdio: ["ignore", "ignore", "pipe"] });
    child.stderr.on("data", (data: Buffer) => (this.#log += data.toString()));
    let ended = false;
    child.once("exit", () => (ended = true));
    child.once("error", (error) => {
      this.#log += error.message;
      ended = true;
    });
    this.#child = child;
    for (const end = Date.now() + 20_000; !(await greets(this.address, this.port)); await setTimeout(20))
      if (ended || Date.now() > end) throw new Error(`sshd does not answer:\n${this.#log}`);
  }

  /** At once, with every connection that it has. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#kill();
    if (child && child.exitCode === null && child.signalCode === null)
      await new Promise((resolve) => child.once("exit", resolve));
  }

  /** Stands still, with every connection that it has; `SIGCONT` lets it go on. */
  signal(signal: NodeJS.Signals): void {
    for (const pid of this.processes()) process.kill(pid, signal);
  }

  async dispose(): Promise<void> {
    await this.kill();
    process.off("exit", this.#atExit);
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** What it has logged so far. */
  get log(): string {
    return this.#log;
  }

  /** A private key that it lets in. */
  get privateKey(): string {
    return readFileSync(join(this.folder, "user"), "utf8");
  }

  /** `type base64`, as in known_hosts after the host. */
  hostKey(type: "ed25519" | "rsa" | "ecdsa" = "ed25519"): string {
    return readFileSync(join(this.folder, `host_${type}.pub`), "utf8")
      .split(" ")
      .slice(0, 2)
      .join(" ");
  }

  fingerprint(type: "ed25519" | "rsa" | "ecdsa" = "ed25519"): string {
    const file = join(this.folder, `host_${type}.pub`);
    return execFileSync(this.#options.ssh.keygen, ["-lf", file], { encoding: "utf8" }).split(" ")[1] ?? "";
  }

  /** A file in the format of known_hosts, which knows it. */
  knownHosts(keys = [this.hostKey()]): string {
    const name = this.port === 22 ? this.address : `[${this.address}]:${this.port}`;
    const file = join(this.folder, `known_hosts_${keys.length}`);
    writeFileSync(file, keys.map((key) => `${name} ${key}\n`).join(""));
    return file;
  }

  /** Another key, as a file beside the others; let in where `authorized`. */
  makeUserKey(
    name: string,
    { args = [], authorized = false }: { args?: readonly string[]; authorized?: boolean } = {},
  ): string {
    const file = join(this.folder, name);
    execFileSync(this.#options.ssh.keygen, ["-q", "-t", "ed25519", "-N", "", "-C", "test", ...args, "-f", file]);
    if (authorized) {
      const known = join(this.folder, "authorized_keys");
      writeFileSync(known, `${readFileSync(known, "utf8")}${readFileSync(`${file}.pub`, "utf8")}`);
    }
    return readFileSync(file, "utf8");
  }

  #makeKey(name: string, type: string): void {
    execFileSync(this.#options.ssh.keygen, ["-q", "-t", type, "-N", "", "-C", "test", "-f", join(this.folder, name)]);
  }

  #give(path: string): void {
    if (process.getuid?.() === 0) chownSync(path, this.#uid, this.#uid);
  }

  #asUser(program: string): string[] {
    if (process.getuid?.() !== 0) return [];
    const change = ["setpriv", `--reuid=${this.#uid}`, `--regid=${this.#uid}`, "--clear-groups"];
    try {
      execFileSync(change[0] ?? "", [...change.slice(1), "test", "-r", program], { stdio: "ignore" });
      return change;
    } catch {
      // Unpacked where only root may look: it takes root's right to look along.
      return [...change, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"];
    }
  }

  #kill(): void {
    for (const pid of this.processes()) {
      try {
        process.kill(pid, "SIGKILL");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      }
    }
    this.#child = undefined;
  }

  /** The server and the processes of its connections, which have sessions of their own. */
  processes(): number[] {
    const pid = this.#child?.pid;
    if (pid === undefined) return [];
    const children = childrenByParent();
    const found: number[] = [];
    for (const queue = [pid]; queue.length > 0; ) {
      const next = queue.shift() ?? 0;
      found.push(next);
      queue.push(...(children.get(next) ?? []));
    }
    return found;
  }
}

function childrenByParent(): Map<number, number[]> {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
    } catch {
      // gone meanwhile
    }
  }
  return children;
}

/** Whether an SSH server says who it is. */
function greets(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2_000 });
    socket.once("data", (data) => {
      resolve(data.toString().startsWith("SSH-"));
      socket.destroy();
    });
    socket.once("timeout", () => socket.destroy());
    socket.once("error", () => {});
    socket.once("close", () => resolve(false));
  });
}

/** Below the ephemeral range, so that nothing takes it while the server is down. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 2_900);
    const free = await new Promise<boolean>((resolve) => {
      const probe = createServer();
      probe.once("error", () => resolve(false));
      probe.listen({ host: "127.0.0.1", port, exclusive: true }, () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

/** An agent of its own, with these keys. */
export class Agent {
  readonly socket: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "prc-agent-"));
  readonly #child: ChildProcess;

  private constructor(ssh: OpenSsh) {
    this.socket = join(this.#folder, "socket");
    this.#child = spawn(ssh.agent, ["-D", "-a", this.socket], { stdio: "ignore" });
    process.on("exit", this.#atExit);
  }

  readonly #atExit = () => this.#child.kill("SIGKILL");

  static async start(ssh: OpenSsh, keys: readonly string[]): Promise<Agent> {
    const agent = new Agent(ssh);
    const env = { ...process.env, SSH_AUTH_SOCK: agent.socket };
    for (const end = Date.now() + 10_000; ; await setTimeout(10)) {
      try {
        execFileSync(ssh.add, ["-l"], { env, stdio: "ignore" });
        break;
      } catch (error) {
        // 1: it answers, and has no keys.
        if ((error as { status?: number }).status === 1) break;
        if (Date.now() > end) throw error;
      }
    }
    for (const [i, key] of keys.entries()) {
      const file = join(agent.#folder, `key${i}`);
      writeFileSync(file, key);
      chmodSync(file, 0o600);
      execFileSync(ssh.add, ["-q", file], { env, stdio: "ignore" });
    }
    return agent;
  }

  stop(): void {
    process.off("exit", this.#atExit);
    this.#child.kill("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
