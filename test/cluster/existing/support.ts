import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Cluster, Redis } from "ioredis";
import type { TestContext } from "vitest";
import type { TlsIdentity } from "../../../components/access/types";
import { type NodeEntry, parseClusterNodes } from "../../../components/formation/clusterNodes";
import { countSlots, formatRanges } from "../../../components/formation/slots";
import { issueCertificate } from "../../../components/security/x509";
import { until } from "../../support/formation";
import { Project } from "../../support/project";
import { freePort, ownAddresses, type RunningServer, type ServerProgram, startServer } from "../../support/servers";

const ZONES = ["a", "b", "c"];

function certificate(authority: TlsIdentity, usage: "node" | "client", address: string): Promise<TlsIdentity> {
  const names = { commonName: usage, addresses: [address], dnsNames: [] };
  return issueCertificate(authority, { ...names, usage, days: 30, now: new Date() });
}

export interface HostAddress {
  readonly address: string;
  readonly port: number;
  readonly zone: string;
}

export interface HostOptions {
  /** Zones are a, b, c, a, b, c, … */
  readonly count: number;
  readonly password?: string;
  readonly lines?: readonly string[];
  /** They speak TLS only, with certificates of this authority, and ask for some. Default: without TLS. */
  readonly authority?: TlsIdentity;
}

/** Servers that somebody else provides: they are started, stopped and configured here, never by the library. */
export class Hosts {
  readonly addresses: HostAddress[] = [];
  readonly #program: ServerProgram;
  readonly #options: HostOptions;
  readonly #root = mkdtempSync(join(tmpdir(), "prc-hosts-"));
  readonly #addressOf = ownAddresses();
  readonly #servers = new Map<number, RunningServer>();
  #shown: TlsIdentity | undefined;

  private constructor(program: ServerProgram, options: HostOptions) {
    this.#program = program;
    this.#options = options;
  }

  static async start(program: ServerProgram, options: HostOptions): Promise<Hosts> {
    const hosts = new Hosts(program, options);
    try {
      await hosts.add(options.count);
    } catch (error) {
      await hosts.stop();
      throw error;
    }
    return hosts;
  }

  async add(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const at = this.addresses.length % ZONES.length;
      const address = this.#addressOf(at);
      let port = await freePort(address);
      while (this.addresses.some((h) => h.port === port)) port = await freePort(address);
      this.addresses.push({ address, port, zone: ZONES[at] ?? "" });
    }
    await Promise.all(this.addresses.map((_, i) => (this.#servers.has(i) ? undefined : this.startHost(i))));
  }

  async startHost(index: number): Promise<void> {
    const { address, port } = this.at(index);
    const dir = this.dir(index);
    mkdirSync(dir, { recursive: true });
    const { password, lines = [] } = this.#options;
    const conf = [
      "cluster-enabled yes",
      "cluster-node-timeout 2000",
      "appendonly yes",
      'save ""',
      "repl-diskless-sync-delay 0",
      "slowlog-max-len 111",
      "protected-mode no",
      `bind ${address}`,
      `cluster-announce-ip ${address}`,
      ...(password === undefined ? [] : [`requirepass ${password}`, `masterauth ${password}`]),
      ...(await this.#tlsLines(index)),
      ...lines,
    ];
    const log = join(dir, "server.log");
    const ready = () => existsSync(log) && /Ready to accept connections/.test(readFileSync(log, "utf8"));
    const server = await startServer({
      server: this.#program,
      address,
      port,
      dir,
      conf: `${conf.join("\n")}\n`,
      ...(this.#options.authority ? { ready } : {}),
    });
    this.#servers.set(index, server);
  }

  async #tlsLines(index: number): Promise<string[]> {
    const { authority } = this.#options;
    if (!authority) return [];
    const { address, port } = this.at(index);
    const own = await certificate(authority, "node", address);
    this.#shown ??= await certificate(authority, "client", address);
    const file = (name: string, text: string) => {
      writeFileSync(join(this.dir(index), name), text);
      return join(this.dir(index), name);
    };
    rmSync(join(this.dir(index), "server.log"), { force: true });
    return [
      "port 0",
      `tls-port ${port}`,
      `tls-cert-file ${file("own.crt", own.certificatePem)}`,
      `tls-key-file ${file("own.key", own.keyPem)}`,
      `tls-ca-cert-file ${file("ca.crt", authority.certificatePem)}`,
      "tls-cluster yes",
      "tls-replication yes",
      "logfile server.log",
    ];
  }

  /** What a client gives. */
  get tls(): { ca: string; cert: string; key: string } | undefined {
    const { authority } = this.#options;
    if (!authority || !this.#shown) return undefined;
    return { ca: authority.certificatePem, cert: this.#shown.certificatePem, key: this.#shown.keyPem };
  }

  at(index: number): HostAddress {
    const host = this.addresses[index];
    if (!host) throw new Error(`no host ${index}`);
    return host;
  }

  /** The same server with its data, at another port. */
  async move(index: number): Promise<void> {
    await this.kill(index);
    const host = this.at(index);
    this.addresses[index] = { ...host, port: await freePort(host.address) };
    await this.startHost(index);
  }

  dir(index: number): string {
    return join(this.#root, String(index));
  }

  /** Process IDs, to see that nobody restarted anything. */
  pids(): (number | undefined)[] {
    return this.addresses.map((_, i) => this.#servers.get(i)?.process.pid);
  }

  async kill(index: number): Promise<void> {
    const server = this.#servers.get(index);
    this.#servers.delete(index);
    await server?.stop("SIGKILL");
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#servers.keys()].map((i) => this.kill(i)));
    rmSync(this.#root, { recursive: true, force: true });
  }

  get cliPath(): string {
    return this.#program.cliPath ?? "redis-cli";
  }

  get #tlsOption() {
    return this.tls ? { tls: this.tls } : {};
  }

  /** An ordinary cluster client. */
  #client(): Cluster {
    const { password } = this.#options;
    const client = new Cluster(
      this.addresses.flatMap(({ address, port }, i) => (this.#servers.has(i) ? [{ host: address, port }] : [])),
      {
        redisOptions: { disableClientInfo: true, ...(password === undefined ? {} : { password }), ...this.#tlsOption },
      },
    );
    client.on("error", () => {});
    return client;
  }

  async fill(count: number): Promise<void> {
    const client = this.#client();
    await Promise.all(Array.from({ length: count }, (_, i) => client.set(`key:${i}`, `value ${i}`)));
    for (const node of client.nodes("master")) await node.wait(1, 5_000);
    client.disconnect();
  }

  /** Numbers of keys that are gone or wrong. */
  async missing(count: number): Promise<number[]> {
    const client = this.#client();
    const values = await Promise.all(Array.from({ length: count }, (_, i) => client.get(`key:${i}`)));
    client.disconnect();
    return values.flatMap((value, i) => (value === `value ${i}` ? [] : [i]));
  }

  /** `redis-cli` against these hosts. */
  cli(...args: string[]): string {
    const auth = this.#options.password === undefined ? [] : ["-a", this.#options.password, "--no-auth-warning"];
    const ca = join(this.dir(0), "ca.crt");
    // Its own certificate is one that clients may show too.
    const tls = this.#options.authority
      ? ["--tls", "--cacert", ca, "--cert", join(this.dir(0), "own.crt"), "--key", join(this.dir(0), "own.key")]
      : [];
    return execFileSync(this.cliPath, [...auth, ...tls, ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** A cluster over the first hosts as `redis-cli --cluster create` makes it. */
  async create(count: number, replicas: number): Promise<void> {
    const targets = this.addresses.slice(0, count).map(({ address, port }) => `${address}:${port}`);
    this.cli("--cluster", "create", ...targets, "--cluster-replicas", String(replicas), "--cluster-yes");
    await this.agree(count);
  }

  /** Waits until the first hosts say ok, know each other and agree about owners, replicas in sync. */
  async agree(count: number): Promise<void> {
    await until("the hosts agree", async () => {
      const views = await Promise.all(
        this.addresses.slice(0, count).map(async (_, i) => {
          const info = String(await this.call(i, "CLUSTER", "INFO"));
          const link = /master_link_status:down/.test(String(await this.call(i, "INFO", "replication")));
          const owners = (await this.view(i)).map((e) => `${e.id} ${e.masterId ?? ""} ${formatRanges(e.slots)}`).sort();
          return /cluster_state:ok/.test(info) && !link && owners.length === count ? owners.join() : `${i}`;
        }),
      );
      return new Set(views).size === 1;
    });
  }

  async call(index: number, command: string, ...args: (string | number)[]): Promise<unknown> {
    const { address, port } = this.at(index);
    const { password } = this.#options;
    const client = new Redis(port, address, {
      disableClientInfo: true,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
      ...(password === undefined ? {} : { password }),
      ...this.#tlsOption,
    });
    client.on("error", () => {});
    try {
      return await client.call(command, ...args);
    } finally {
      client.disconnect();
    }
  }

  async view(index: number): Promise<NodeEntry[]> {
    return parseClusterNodes(String(await this.call(index, "CLUSTER", "NODES")));
  }

  async id(index: number): Promise<string> {
    return String(await this.call(index, "CLUSTER", "MYID"));
  }

  /** Slots of every master, by the port of its host, as one of them sees it. */
  async slots(from = 0): Promise<Map<number, number>> {
    const masters = (await this.view(from)).filter((e) => e.slots.length > 0);
    return new Map(masters.map((e) => [e.port, countSlots(e.slots)]));
  }

  /** What a cluster is: everything but what goes on by itself. To compare before and after what must change nothing. */
  async picture(): Promise<string> {
    const parts = await Promise.all(
      this.addresses.map(async (_, i) => {
        if (!this.#servers.has(i)) return "";
        const view = (await this.view(i)).map(
          (e) => `${e.id} ${e.address}:${e.port} ${e.role} ${e.masterId} ${e.configEpoch} ${formatRanges(e.slots)}`,
        );
        const config = JSON.stringify(await this.call(i, "CONFIG", "GET", "*"));
        return [...view.sort(), config, String(await this.call(i, "DBSIZE"))].join("\n");
      }),
    );
    return parts.join("\n\n");
  }

  /** How often each command was called on each host. */
  async calls(): Promise<Map<string, number>[]> {
    return Promise.all(
      this.addresses.map(async (_, i) => {
        const text = String(await this.call(i, "INFO", "commandstats"));
        return new Map([...text.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map((m) => [m[1] ?? "", Number(m[2])]));
      }),
    );
  }

  file(index: number, name: string): string {
    return readFileSync(join(this.dir(index), name), "utf8");
  }
}

/** Commands that only look, or belong to a connection. Anything else changes something. */
export const LOOKING =
  /^(cluster\|(nodes|info|myid|shards|slots|countkeysinslot|getkeysinslot)|info|dbsize|eval_ro|config\|get|client\|(id|list|setname|setinfo|reply|getname)|ping|get|auth|hello|command.*|role|echo|select|readonly|quit|psync|replconf|monitor|asking|wait|slowlog.*|memory.*)$/;

/** Commands called during `work` that change something, by name. */
export async function changingCalls(hosts: Hosts, work: () => Promise<unknown>): Promise<string[]> {
  const before = await hosts.calls();
  await work();
  const after = await hosts.calls();
  const changing = after.flatMap((calls, i) =>
    [...calls].filter(([name, n]) => n > (before[i]?.get(name) ?? 0) && !LOOKING.test(name)).map(([name]) => name),
  );
  return [...new Set(changing)].sort();
}

/** A user's project with one cluster over existing hosts; `nodes` and the other arguments change between runs. */
export async function existingProject(
  { onTestFinished }: Pick<TestContext, "onTestFinished">,
  args: object,
): Promise<Project> {
  const project = await Project.create(args, { path: "/nowhere" });
  onTestFinished(() => project.dispose());
  writeFileSync(
    join(project.directory, "index.js"),
    `const pulumi = require("@pulumi/pulumi");
const { ExistingRedisCluster } = require("pulumi-redis-cluster/existing");
const args = JSON.parse(require("node:fs").readFileSync("args.json", "utf8"));
if (args.password) args.password = pulumi.secret(args.password);
const cluster = new ExistingRedisCluster("sessions", args);
exports.inventory = cluster.inventory;
exports.seeds = cluster.seeds;
exports.credentials = cluster.credentials;
`,
  );
  return project;
}
