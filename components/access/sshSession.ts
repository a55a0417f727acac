import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { AuthenticationType, AuthHandlerMiddleware, Client, ConnectConfig, ServerHostKeyAlgorithm } from "ssh2";
import { Forwarded } from "./forwarded";
import { type ExpectedHostKey, hostKeyAlgorithms, judgeHostKey, typeOf } from "./hostKeys";
import { ProxyError, said } from "./proxyError";
import { type Credentials, Login } from "./sshLogin";

/** What one connection is made of. */
export interface Dial {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** As errors show it. */
  readonly name: string;
  /** For connection, handshake and login together; 0 is without end. */
  readonly timeoutSeconds: number;
  readonly expected: ExpectedHostKey;
  readonly credentials: Credentials;
}

/** A try that failed; some failures would be the same at the next one. */
export class DialError extends ProxyError {
  readonly again: boolean;

  constructor(message: string, again: boolean) {
    super(message);
    this.again = again;
  }
}

/** A server that is silent for about 15 s, as long as a command may take, is gone, and what hangs on it is told. */
const PING_MILLISECONDS = 1_500;
const PINGS = 9;
/** Less than a look at a node may take, which so ends with the cause. */
const FORWARD_MILLISECONDS = 2_500;
/** What comes before was on its way, and says nothing of the server now; from here to the end a ping is answered, on a way of up to 500 ms. */
const ON_ITS_WAY_MILLISECONDS = 500;
/** Reasons of RFC 4254 for which a channel is not opened. */
const PROHIBITED = 1;
const CONNECT_FAILED = 2;

/** One SSH connection, logged in. Many streams go through it. */
export class SshSession {
  readonly #client: Client;
  readonly #socket: Socket;
  readonly #name: string;
  readonly #streams = new Set<Forwarded>();
  #lost: ProxyError | undefined;
  #ended = false;

  constructor(client: Client, socket: Socket, name: string, onLost: () => void) {
    this.#client = client;
    this.#socket = socket;
    this.#name = name;
    let cause = "";
    client.on("error", (error) => {
      cause ||= said(error.message);
      socket.destroy();
    });
    socket.once("close", () => {
      const why = cause ? ` (${cause})` : "";
      this.#lost ??= new ProxyError(`proxy ${name}: the connection was lost${why}`, "ECONNRESET");
      onLost();
      // Whoever closed it here expects the end.
      for (const stream of this.#streams) stream.destroy(this.#ended ? undefined : this.#lost);
      this.#streams.clear();
    });
  }

  get isLost(): boolean {
    return this.#lost !== undefined || this.#socket.destroyed;
  }

  /** @throws ProxyError that says whether it is the proxy or the far end that does not reach the node */
  forward(host: string, port: number): Promise<Duplex> {
    const node = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
    return new Promise((resolve, reject) => {
      let late = false;
      let before = Number.POSITIVE_INFINITY;
      // What arrived while this process was busy elsewhere is read first.
      const marked = setTimeout(() => setImmediate(() => (before = this.#socket.bytesRead)), ON_ITS_WAY_MILLISECONDS);
      const ended = setTimeout(
        () =>
          setImmediate(() => {
            late = true;
            reject(this.#silent(node, this.#socket.bytesRead > before));
          }),
        FORWARD_MILLISECONDS,
      );
      const opened = (error: Error | undefined, channel: Duplex) => {
        clearTimeout(marked);
        clearTimeout(ended);
        if (error) return reject(this.#lost ?? this.#refused(node, error));
        const stream = new Forwarded(channel);
        if (late || this.#lost) {
          stream.on("error", () => {});
          return stream.destroy(this.#lost);
        }
        this.#streams.add(stream);
        stream.once("close", () => this.#streams.delete(stream));
        resolve(stream);
      };
      try {
        this.#client.forwardOut("127.0.0.1", 0, host, port, opened as Parameters<Client["forwardOut"]>[4]);
      } catch (error) {
        // It is on its way out, and says so before anybody was told.
        clearTimeout(marked);
        clearTimeout(ended);
        reject(this.#lose(said((error as Error).message)));
      }
    });
  }

  #silent(node: string, alive: boolean): ProxyError {
    const seconds = FORWARD_MILLISECONDS / 1000;
    if (alive)
      return new ProxyError(
        `${this.#name} gets no answer of ${node} within ${seconds} s; is the node running, and may the proxy reach it (firewall, security group)?`,
        "ETIMEDOUT",
      );
    // It may stand still for a moment, and others wait for answers; that it is gone is for its pings to say.
    return new ProxyError(
      `proxy ${this.#name}: no word from it for ${seconds} s; is the server overloaded, or the network between here and there gone?`,
    );
  }

  /** What hangs on a connection that is no good is lost with it; the next stream gets a new one. */
  #lose(why: string): ProxyError {
    this.#lost ??= new ProxyError(`proxy ${this.#name}: the connection was lost (${why})`, "ECONNRESET");
    this.#socket.destroy();
    return this.#lost;
  }

  #refused(node: string, error: Error & { reason?: unknown }): ProxyError {
    const words = said(error.message.replace(/^\(SSH\) Channel open failure: /, ""));
    if (error.reason === PROHIBITED)
      return new ProxyError(
        `proxy ${this.#name}: it refuses to forward to ${node} (${words}); allow it: \`AllowTcpForwarding yes\` in its sshd_config, PermitOpen with that address, no no-port-forwarding or restrict at the key`,
      );
    if (error.reason === CONNECT_FAILED && /refused/i.test(words))
      return new ProxyError(`${node} refuses connections of ${this.#name}; no server listens there`, "ECONNREFUSED");
    if (error.reason === CONNECT_FAILED)
      return new ProxyError(
        `${this.#name} does not reach ${node} (${words}); the far end cannot get there: check the address, its routes and what lets it in`,
        "EHOSTUNREACH",
      );
    return new ProxyError(`proxy ${this.#name}: no way to ${node} (${words})`);
  }

  /** Nothing of it keeps the process from ending. */
  end(): void {
    this.#ended = true;
    this.#lost ??= new ProxyError(`proxy ${this.#name}: it was closed here`, "ECONNRESET");
    // A last word, for the server's log; nobody waits for the answer.
    this.#client.end();
    this.#socket.destroy();
  }
}

/**
 * One try. Where a fingerprint is expected, nobody says of which type that key is: then the server is asked for one type after the other.
 * @throws DialError that says whether another try makes sense
 */
export async function dial(ssh2: Ssh2, how: Dial, signal: AbortSignal, onLost: () => void): Promise<SshSession> {
  const shown: Buffer[] = [];
  let wrongKey: unknown;
  for (;;) {
    const before = shown.length;
    try {
      return await once(ssh2, how, signal, onLost, shown);
    } catch (error) {
      // With all types asked for, the last word is about all keys that it has.
      if (shown.length === before) throw wrongKey ?? error;
      wrongKey = error;
      const types = shown.map(typeOf);
      if (how.expected.kind !== "fingerprint" || hostKeyAlgorithms(how.expected, types).length === 0) throw error;
    }
  }
}

type Ssh2 = typeof import("ssh2");

/** @param shown host keys that were wrong; another one is added where it is wrong too */
async function once(ssh2: Ssh2, how: Dial, signal: AbortSignal, onLost: () => void, shown: Buffer[]) {
  const { host, port, user, name, timeoutSeconds, expected } = how;
  signal.throwIfAborted();
  const login = new Login(how.credentials);
  const client = new ssh2.Client();
  const socket = connect({ host, port, noDelay: true });
  let stage: Stage = "connect";
  socket.once("connect", () => {
    stage = "handshake";
  });
  client.once("handshake", () => {
    stage = "login";
  });
  let wrong: string | undefined;
  const config: ConnectConfig = {
    sock: socket,
    username: user,
    readyTimeout: 0,
    keepaliveInterval: PING_MILLISECONDS,
    keepaliveCountMax: PINGS,
    algorithms: { serverHostKey: hostKeyAlgorithms(expected, shown.map(typeOf)) as ServerHostKeyAlgorithm[] },
    hostVerifier: (key: Buffer) => {
      wrong = judgeHostKey(expected, [...shown, key], host, port);
      if (wrong !== undefined) shown.push(key);
      return wrong === undefined;
    },
    authHandler: ((taken: AuthenticationType[] | null) => login.next(taken, user)) as unknown as AuthHandlerMiddleware,
  };
  let timer: NodeJS.Timeout | undefined;
  const abandoned = new AbortController();
  try {
    await new Promise<void>((resolve, reject) => {
      let cause: (Error & { level?: string; code?: unknown }) | undefined;
      const fail = (message: string, again: boolean) => reject(new DialError(`proxy ${name}: ${message}`, again));
      if (timeoutSeconds > 0)
        timer = setTimeout(() => fail(timedOut(stage, timeoutSeconds), true), timeoutSeconds * 1000);
      signal.addEventListener("abort", () => reject(signal.reason), { signal: abandoned.signal });
      client.on("error", (error: NonNullable<typeof cause>) => {
        // What an agent does wrong is one attempt that failed; others may follow.
        if (error.level === "agent") return;
        cause ??= error;
        if (wrong !== undefined) fail(wrong, false);
        else if (error.level === "client-authentication") fail(login.refusal(user), false);
        else if (stage === "login" && error.level === undefined && typeof error.code === "number")
          fail(login.refusal(user, error.message), false);
        else fail(...explain(stage, error, host, port));
      });
      client.once("ready", () => resolve());
      socket.once("close", () => fail(...explain(stage, cause, host, port)));
      client.connect(config);
    });
    client.removeAllListeners("error");
    return new SshSession(client, socket, name, onLost);
  } catch (error) {
    client.on("error", () => {});
    socket.on("error", () => {});
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    abandoned.abort();
  }
}

/** How far a try came. */
type Stage = "connect" | "handshake" | "login";

function timedOut(stage: Stage, seconds: number): string {
  const what = {
    connect: `no answer within ${seconds} s (perDialTimeout); is the server running, and does a firewall or security group let this machine in?`,
    handshake: `connected, and no SSH handshake within ${seconds} s (perDialTimeout); is it an SSH server, and not overloaded?`,
    login: `no word about the login within ${seconds} s (perDialTimeout); look into the server's log`,
  };
  return what[stage];
}

/** @returns what to say, and whether another try makes sense */
function explain(
  stage: Stage,
  error: (Error & { code?: unknown }) | undefined,
  host: string,
  port: number,
): [message: string, again: boolean] {
  const words = said(error?.message);
  if (/no matching/i.test(words))
    return [
      `the server and this client have no algorithm in common (${words}); bring its SSH server up to date`,
      false,
    ];
  if (/identification|protocol version|header|banner/i.test(words))
    return [`what answers on port ${port} is no SSH server (${words}); check host and port`, false];
  const known: Readonly<Record<string, string>> = {
    ECONNREFUSED: `connection refused; does an SSH server listen on port ${port} of ${host}?`,
    ENOTFOUND: `the name ${host} is not known here; check it, or give an address`,
    EAI_AGAIN: `the name ${host} could not be looked up; is DNS working on this machine?`,
    EHOSTUNREACH: `no route to ${host} from this machine; check address and network`,
    ENETUNREACH: `no route to ${host} from this machine; check address and network`,
    ETIMEDOUT: `no answer; is the server running, and does a firewall or security group let this machine in?`,
  };
  const cause = known[String(error?.code)];
  if (cause) return [cause, true];
  const when = { connect: "before it was made", handshake: "during the handshake", login: "during the login" }[stage];
  return [
    `the connection ended ${when}${words ? ` (${words})` : ""}; is it an SSH server, and what does its log say: does it take this address, and so many at once (MaxStartups)?`,
    true,
  ];
}
