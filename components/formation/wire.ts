import { setImmediate, setTimeout } from "node:timers/promises";
import Redis, { AbstractConnector, Cluster, type RedisOptions } from "ioredis";
import { CertificateRefused, type Place, Reach, type ShownCertificate } from "../access/reach";
import type { Access, Login } from "../access/types";
import { hostAndPort, type NodeEndpoint } from "../config/types";

export type { Access } from "../access/types";

/** One command: its name and arguments. */
export type Command = readonly [string, ...(string | number | Buffer)[]];

/** The answer of a server, or why there is none. */
export type Answer = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: Error };

/** How a server answers a login that is not, or not yet, one of its own. */
export const LOGIN_REFUSED = /^(WRONGPASS|NOAUTH)\b/;
/** What is said of a node that cannot be told from one that hangs. */
export const SILENT_ONCE_CONNECTED = "it takes the connection, and gives no answer in time";
const CONNECT_TIMEOUT_MILLISECONDS = 5_000;
const COMMAND_TIMEOUT_MILLISECONDS = 15_000;

export interface SendOptions {
  /** Replies as bytes. Default: false, as text. */
  readonly binary?: boolean;
  /** How long connecting and all answers may take together. Default: 15 s a command, for those that change something. */
  readonly withinMilliseconds?: number;
}

/**
 * Connections to the nodes of one cluster, made when needed and made again after a loss; one a node. The only place,
 * with `openClusterClient`, that knows the client library.
 */
export class Connections {
  readonly #open = new Map<string, Redis>();
  readonly #connecting = new Map<string, Promise<Redis>>();
  /** Nodes that refused the first login and took another. */
  readonly #otherwise = new Map<string, NodeEndpoint>();
  readonly #access: Access;
  readonly #reach: Reach;
  /** Which of our certificates a node took, where it is not the first. */
  readonly #identities = new Map<string, number>();
  readonly #certificates = new Map<string, ShownCertificate>();
  /** Nodes whose machines have taken the present connection, whatever they say over it. */
  readonly #taken = new Set<string>();
  /** What CLIENT LIST shows of us on every node. */
  readonly clientName: string;

  constructor(clientName: string, access: Access = {}) {
    this.clientName = clientName;
    this.#access = access;
    this.#reach = new Reach(access, CONNECT_TIMEOUT_MILLISECONDS);
  }

  /** What a node showed of itself when the connection to it was made. Without TLS nothing. */
  certificateOf(endpoint: NodeEndpoint): ShownCertificate | undefined {
    return this.#certificates.get(hostAndPort(endpoint));
  }

  /** Whatever is sent next to a node goes over a new connection: what it shows of itself is looked at anew. */
  renew(endpoint: NodeEndpoint): void {
    this.#drop(hostAndPort(endpoint));
  }

  /** Whether nodes are in a network that this machine need not know. */
  get isProxied(): boolean {
    return this.#access.proxy !== undefined;
  }

  /** Whether a port can be reached the way that nodes are. @returns what is in the way, such as ECONNREFUSED; undefined where nothing is */
  tryPort(address: string, port: number, withinMilliseconds: number): Promise<string | undefined> {
    return this.#reach.tryPort({ address, port }, withinMilliseconds);
  }

  /** Connections beside these, for what must not wait behind them. */
  another(): Connections {
    return new Connections(this.clientName, this.#access);
  }

  /** Arguments of MIGRATE with which the source logs in at the target; servers keep them out of their slow log. */
  get migrateAuth(): readonly string[] {
    const { username, password } = this.#access;
    if (password === undefined) return [];
    return username === undefined ? ["AUTH", password] : ["AUTH2", username, password];
  }

  /** Sends all commands in one go and answers in their order, with `binary` as bytes. Never throws; a lost connection fails what was not answered. */
  async send(endpoint: NodeEndpoint, commands: readonly Command[], options: SendOptions = {}): Promise<Answer[]> {
    if (commands.length === 0) return [];
    const { binary = false, withinMilliseconds } = options;
    try {
      await this.#reach.ready();
    } catch (error) {
      return commands.map((): Answer => ({ ok: false, error: error as Error }));
    }
    const answers = this.#exchange(endpoint, commands, binary);
    if (withinMilliseconds === undefined) return answers;
    const timer = new AbortController();
    const late = setTimeout(withinMilliseconds, undefined, { signal: timer.signal })
      // What arrived while this process was busy elsewhere is read first.
      .then(() => setImmediate())
      .then(
        () => undefined,
        () => undefined,
      );
    const inTime = await Promise.race([answers, late]);
    timer.abort();
    if (inTime) return inTime;
    // Answers that come later belong to nobody: whatever is sent next gets a connection of its own.
    const key = hostAndPort(endpoint);
    const message = this.#taken.has(key) ? SILENT_ONCE_CONNECTED : "no answer in time";
    this.#drop(key);
    const error = Object.assign(new Error(message), { code: "ETIMEDOUT" });
    return commands.map((): Answer => ({ ok: false, error }));
  }

  async #exchange(endpoint: NodeEndpoint, commands: readonly Command[], binary: boolean): Promise<Answer[]> {
    try {
      const client = await this.#client(endpoint);
      const pipeline = client.pipeline();
      for (const [name, ...args] of commands)
        binary ? pipeline.callBuffer(name, ...args) : pipeline.call(name, ...args);
      const replies = (await pipeline.exec()) ?? [];
      return commands.map((_, i): Answer => {
        const [error, value] = replies[i] ?? [new Error("no answer"), undefined];
        return error ? { ok: false, error } : { ok: true, value };
      });
    } catch (error) {
      return commands.map(
        (): Answer => ({ ok: false, error: error instanceof Error ? error : new Error(String(error)) }),
      );
    }
  }

  /** Whoever asks while a connection is being made waits for that one. */
  async #client(endpoint: NodeEndpoint): Promise<Redis> {
    const key = hostAndPort(endpoint);
    const known = this.#open.get(key);
    if (known?.status === "ready") return known;
    const underWay = this.#connecting.get(key);
    if (underWay) return underWay;
    this.#drop(key);
    const made = this.#login(endpoint);
    this.#connecting.set(key, made);
    try {
      return await made;
    } finally {
      if (this.#connecting.get(key) === made) this.#connecting.delete(key);
    }
  }

  /** Where another login than the first was taken, logs in anew. @returns why nodes refuse the first one, by address; empty where none does */
  async loginAnew(): Promise<Map<string, Error>> {
    const refused = new Map<string, Error>();
    await Promise.all(
      [...this.#otherwise.values()].map(async (endpoint) => {
        this.#drop(hostAndPort(endpoint));
        try {
          await this.#connect(endpoint, this.#access);
        } catch (error) {
          refused.set(hostAndPort(endpoint), error instanceof Error ? error : new Error(String(error)));
        }
      }),
    );
    return refused;
  }

  #drop(key: string): void {
    this.#open.get(key)?.disconnect();
    this.#open.delete(key);
    this.#connecting.delete(key);
    this.#otherwise.delete(key);
    this.#taken.delete(key);
  }

  /** @throws Error what the first login was answered, where all are refused */
  async #login(endpoint: NodeEndpoint): Promise<Redis> {
    const key = hostAndPort(endpoint);
    let refusal: unknown;
    for (const login of [this.#access, ...(this.#access.otherwise ?? [])]) {
      try {
        const client = await this.#connect(endpoint, login);
        if (login !== this.#access) this.#otherwise.set(key, endpoint);
        return client;
      } catch (error) {
        refusal ??= error;
        // Where it was dropped meanwhile, nobody waits for it any more.
        const refused = error instanceof Error && LOGIN_REFUSED.test(error.message);
        if (!refused || !this.#open.has(key)) throw error;
      }
    }
    throw refusal;
  }

  /** With the first of our certificates that the node takes: one that was just renewed may be of an authority that it does not know yet. */
  async #connect(endpoint: NodeEndpoint, login: Login): Promise<Redis> {
    const key = hostAndPort(endpoint);
    const begin = this.#identities.get(key) ?? 0;
    const count = this.#reach.identities;
    for (let tried = 0; ; tried++) {
      const identity = (begin + tried) % count;
      try {
        const client = await this.#connectAs(endpoint, login, identity);
        this.#identities.set(key, identity);
        return client;
      } catch (error) {
        if (!(error instanceof CertificateRefused) || tried + 1 >= count || !this.#open.has(key)) throw error;
      }
    }
  }

  async #connectAs(endpoint: NodeEndpoint, { username, password }: Login, identity: number): Promise<Redis> {
    const key = hostAndPort(endpoint);
    this.#certificates.delete(key);
    const direct = isDirect(this.#access);
    const opened = async () => {
      const { stream, certificate } = await this.#reach.open(endpoint, identity, () => this.#taken.add(key));
      if (certificate) this.#certificates.set(key, certificate);
      return stream;
    };
    const client = new Redis({
      host: endpoint.address,
      port: endpoint.port,
      ...(direct ? {} : over(opened)),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      connectionName: this.clientName,
      connectTimeout: CONNECT_TIMEOUT_MILLISECONDS,
      commandTimeout: COMMAND_TIMEOUT_MILLISECONDS,
      // A node that is loading or alone is to be observed as it is, and a lost one reported, not waited for here.
      lazyConnect: true,
      enableReadyCheck: false,
      enableOfflineQueue: true,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
      disableClientInfo: true,
    });
    // The cause of a failed connection arrives as an event; connect() itself only says "Connection is closed".
    let cause: Error | undefined;
    client.on("error", (error: Error) => {
      cause = error;
    });
    if (direct) client.once("connect", () => this.#open.get(key) === client && this.#taken.add(key));
    this.#open.set(key, client);
    try {
      await client.connect();
    } catch (error) {
      throw cause ?? error;
    }
    return client;
  }

  close(): void {
    for (const client of this.#open.values()) client.disconnect();
    this.#open.clear();
    this.#reach.close();
  }
}

type Stream = Awaited<ReturnType<AbstractConnector["connect"]>>;

/** Options of a client whose connections are opened elsewhere. */
function over(open: (to: Place) => Promise<unknown>): Pick<RedisOptions, "Connector" | "noDelay"> {
  class Opened extends AbstractConnector {
    readonly #to: Place;
    constructor(options: unknown) {
      const { host = "", port = 0, disconnectTimeout = 2_000 } = options as RedisOptions;
      super(disconnectTimeout);
      this.#to = { address: host, port };
    }
    override async connect(): Promise<Stream> {
      this.connecting = true;
      const stream = (await open(this.#to)) as Stream;
      stream.once("error", (error: Error) => {
        this.firstError = error;
      });
      if (this.connecting) this.stream = stream;
      else stream.destroy(new Error("closed while it was opened"));
      return stream;
    }
  }
  // A stream through a proxy is no socket, and has no such switch.
  return { Connector: Opened, noDelay: false };
}

/** Whether the client library may open its connections itself. */
function isDirect({ tls, proxy, ways }: Access): boolean {
  return [tls, proxy, ways].every((way) => way === undefined);
}

/** How long a cluster client may begin anew, as where a leader is lost while it connects. */
const BEGINS_ANEW_MILLISECONDS = 10_000;
/** Whatever becomes of it, nobody waits longer. */
const READY_WITHIN_MILLISECONDS = 60_000;

/** An ordinary cluster client, as applications use it; for verification. It knows nodes by the names that they announce. */
export function openClusterClient(
  seeds: readonly NodeEndpoint[],
  access: Access,
  clientName: string,
): { readonly client: Cluster; ready(): Promise<void>; close(): void } {
  const direct = isDirect(access);
  const reach = new Reach(access, CONNECT_TIMEOUT_MILLISECONDS);
  // Announced names may mean nothing here, and still have to be those of the certificates.
  const places = new Map(
    seeds.flatMap((place) =>
      [place.hostname ?? place.address, place.address].map((host) => [`${host}:${place.port}`, place]),
    ),
  );
  const opened = async (to: Place) => (await reach.open(places.get(hostAndPort(to)) ?? to)).stream;
  const giveUpAt = Date.now() + BEGINS_ANEW_MILLISECONDS;
  const client = new Cluster(
    seeds.map(({ address, port }) => ({ host: address, port })),
    {
      lazyConnect: true,
      enableReadyCheck: true,
      clusterRetryStrategy: () => (Date.now() < giveUpAt ? 100 : null),
      slotsRefreshTimeout: CONNECT_TIMEOUT_MILLISECONDS,
      // Names are looked up where the connection is made.
      ...(direct ? {} : { dnsLookup: (host, done) => done(null, host) }),
      redisOptions: {
        ...(direct ? {} : over(opened)),
        ...(access.username === undefined ? {} : { username: access.username }),
        ...(access.password === undefined ? {} : { password: access.password }),
        connectionName: clientName,
        connectTimeout: CONNECT_TIMEOUT_MILLISECONDS,
        commandTimeout: COMMAND_TIMEOUT_MILLISECONDS,
        disableClientInfo: true,
      },
    },
  );
  // The connection that it keeps for subscriptions ignores `Connector`: it would go to the node directly, and never arrive.
  if (!direct) (client as unknown as { subscriber: { start(): void } }).subscriber.start = () => {};
  return {
    client,
    ready: () => isReady(client),
    close: () => {
      client.disconnect();
      reach.close();
    },
  };
}

/**
 * What `connect()` promises is never kept where the cluster is down at the client's first look, and serves at a later one: the promise is
 * that of the first attempt alone. So it is the client's state that is awaited.
 */
function isReady(client: Cluster): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = globalThis.setTimeout(
      () => reject(new Error(`a client was not ready within ${READY_WITHIN_MILLISECONDS / 1_000} s`)),
      READY_WITHIN_MILLISECONDS,
    );
    const over = (then: () => void) => () => {
      clearTimeout(late);
      then();
    };
    let cause: unknown = new Error("the cluster is down whenever a client that has just come looks at it");
    client.once("ready", over(resolve));
    client.once(
      "end",
      over(() => reject(cause)),
    );
    // Another attempt follows, or the end.
    client.connect().catch((error: unknown) => {
      cause = error;
    });
  });
}
