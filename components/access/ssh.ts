import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setTimeout } from "node:timers/promises";
import { PROXY_DEFAULTS } from "./defaults";
import { type ExpectedHostKey, readHostKey, readKnownHosts } from "./hostKeys";
import type { Proxy as ProxyPort } from "./proxy";
import { ProxyError } from "./proxyError";
import { readCredentials } from "./sshLogin";
import { type Dial, DialError, dial, type SshSession } from "./sshSession";
import type { ProxyAccess } from "./types";

/** What of this machine decides; for tests. */
export interface SshSurroundings {
  /** Default: this process's. Of it SSH_AUTH_SOCK is read. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Files in the format of known_hosts. Default: `~/.ssh/known_hosts` and `/etc/ssh/ssh_known_hosts`. */
  readonly knownHosts?: readonly string[];
}

/** After a try that failed: as long, then half as long again each time, up to the most. */
const PAUSE_MILLISECONDS = { first: 250, most: 5_000 };
/** Who asks again this soon after a failure gets the same answer: a server that refuses is not to be stormed. */
const FAILURE_HOLDS_MILLISECONDS = 5_000;

/**
 * Nodes behind an SSH server. One connection for all streams, made when the first is asked for, and again after a loss. Streams that
 * hung on a lost one end with an error; nobody knows how much of them had arrived.
 *
 * The host key is always checked. ssh2 is loaded with the first connection.
 */
export function openSshProxy(access: ProxyAccess, surroundings: SshSurroundings = {}): ProxyPort {
  return new SshProxy(access, surroundings);
}

/** `user@host:port`, as errors show it. */
export function nameOf({ host, port = PROXY_DEFAULTS.port, user = PROXY_DEFAULTS.user }: ProxyAccess): string {
  return `${user}@${host.includes(":") ? `[${host}]` : host}:${port}`;
}

class SshProxy implements ProxyPort {
  readonly #access: ProxyAccess;
  readonly #surroundings: SshSurroundings;
  readonly #closed = new AbortController();
  /** Made or being made. */
  #session: Promise<SshSession> | undefined;
  #failure: { readonly error: unknown; readonly until: number } | undefined;

  constructor(access: ProxyAccess, surroundings: SshSurroundings) {
    this.#access = access;
    this.#surroundings = surroundings;
  }

  async connect(host: string, port: number): Promise<Duplex> {
    for (let again = true; ; again = false) {
      const made = this.#connected();
      const session = await made;
      try {
        return await session.forward(host, port);
      } catch (error) {
        this.#closed.signal.throwIfAborted();
        if (session.isLost && this.#session === made) this.#session = undefined;
        // A connection may be lost without anybody having noticed; nothing of this stream had gone anywhere yet.
        if (!again || !session.isLost) throw error;
      }
    }
  }

  async ready(): Promise<void> {
    await this.#connected();
  }

  close(): void {
    this.#closed.abort(new ProxyError(`proxy ${nameOf(this.#access)}: it was closed here`));
    this.#session?.then(
      (session) => session.end(),
      () => undefined,
    );
    this.#session = undefined;
  }

  #connected(): Promise<SshSession> {
    const { signal } = this.#closed;
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#session) return this.#session;
    if (this.#failure && Date.now() < this.#failure.until) return Promise.reject(this.#failure.error);
    const forget = () => {
      if (this.#session === made) this.#session = undefined;
    };
    const made: Promise<SshSession> = this.#dialPatiently(forget).then(
      (session) => {
        if (session.isLost) forget();
        return session;
      },
      (error) => {
        forget();
        this.#failure = { error, until: Date.now() + FAILURE_HOLDS_MILLISECONDS };
        throw error;
      },
    );
    this.#session = made;
    return made;
  }

  async #dialPatiently(onLost: () => void): Promise<SshSession> {
    const {
      host,
      port = PROXY_DEFAULTS.port,
      user = PROXY_DEFAULTS.user,
      dialErrorLimit = PROXY_DEFAULTS.dialErrorLimit,
    } = this.#access;
    const { signal } = this.#closed;
    const name = nameOf(this.#access);
    const ssh2 = (await import("ssh2")).default;
    const how: Dial = {
      host,
      port,
      user,
      name,
      timeoutSeconds: this.#access.perDialTimeout ?? PROXY_DEFAULTS.perDialTimeout,
      expected: await this.#expectedHostKey(host, port, name),
      credentials: await readCredentials(ssh2, this.#access, name, this.#surroundings.env ?? process.env),
    };
    const begin = Date.now();
    let pause = PAUSE_MILLISECONDS.first;
    for (let tries = 1; ; tries++) {
      try {
        const session = await dial(ssh2, how, signal, onLost);
        if (!signal.aborted) return session;
        session.end();
        throw signal.reason;
      } catch (error) {
        if (!(error instanceof DialError) || !error.again) throw error;
        if (dialErrorLimit !== 0 && tries >= dialErrorLimit) {
          const seconds = Math.round((Date.now() - begin) / 1000);
          throw tries === 1 ? error : new ProxyError(`${error.message} (${tries} tries in ${seconds} s)`);
        }
      }
      await setTimeout(pause, undefined, { signal }).catch(() => {
        throw signal.reason;
      });
      pause = Math.min(pause * 1.5, PAUSE_MILLISECONDS.most);
    }
  }

  async #expectedHostKey(host: string, port: number, name: string): Promise<ExpectedHostKey> {
    const { hostKey } = this.#access;
    if (hostKey !== undefined) {
      const read = readHostKey(hostKey);
      if (typeof read === "string") throw new ProxyError(`proxy ${name}: hostKey ${read}`);
      return read;
    }
    const files = new Map<string, string>();
    for (const path of this.#surroundings.knownHosts ?? [
      join(homedir(), ".ssh", "known_hosts"),
      "/etc/ssh/ssh_known_hosts",
    ]) {
      try {
        files.set(path, await readFile(path, "utf8"));
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== "ENOENT" && code !== "ENOTDIR")
          throw new ProxyError(`proxy ${name}: ${path} cannot be read (${code}); make it readable, or give hostKey`);
      }
    }
    return { kind: "known", known: readKnownHosts(files, host, port) };
  }
}
