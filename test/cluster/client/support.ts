import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Redis } from "ioredis";
import type { ClusterCredentials, ClusterInventory, InventoryNode } from "../../../components/cluster/inventory";
import { keySlot } from "../../../components/spec/keySlot";
import { Authority, type Certificate } from "../../support/certificates";
import { until } from "../../support/formation";
import { Forwarder } from "../../support/forwarder";
import { freePort, type RunningServer, type ServerProgram, startServer } from "../../support/servers";

export interface ClientClusterOptions {
  readonly program: ServerProgram;
  /** By what nodes are called and certified; without TLS where absent. */
  readonly tls?: "addresses" | "names";
  /** Rules of users beside `default`, by name, as in redis.conf; each with the password of `passwordOf`. */
  readonly users?: Readonly<Record<string, string>>;
  /** Default: 2000. */
  readonly nodeTimeoutMilliseconds?: number;
}

interface Node {
  readonly name: string;
  readonly zone: string;
  readonly shard: number;
  readonly address: string;
  readonly port: number;
  /** Where the test itself asks; the same where there is no TLS. */
  readonly plainPort: number;
  readonly hostname?: string;
  readonly certificate?: Certificate;
  readonly dir: string;
}

const ZONES = ["zone-a", "zone-b", "zone-c"] as const;
const SLOTS = [
  [0, 5460],
  [5461, 10922],
  [10923, 16383],
] as const;

/** Addresses of this process's own, so that no other test takes a port between its choice and its use. */
const NETWORK = 100 + (process.pid % 100);

/**
 * Three masters with a replica each, formed by plain CLUSTER commands, on the addresses of three zones; for what clients see of it.
 * Under TLS nodes ask for certificates, and an open port without TLS is for the test alone.
 */
export class ClientCluster {
  readonly nodes: readonly Node[];
  readonly authority: Authority | undefined;
  readonly #options: ClientClusterOptions;
  readonly #root: string;
  readonly #servers = new Map<string, RunningServer>();
  readonly #admins = new Map<string, Redis>();
  readonly #forwarders: Forwarder[] = [];
  readonly #application: Certificate | undefined;

  private constructor(options: ClientClusterOptions, nodes: readonly Node[], root: string, authority?: Authority) {
    this.#options = options;
    this.nodes = nodes;
    this.#root = root;
    this.authority = authority;
    this.#application = authority?.issue("application");
  }

  static async start(options: ClientClusterOptions): Promise<ClientCluster> {
    const root = mkdtempSync(join(tmpdir(), "prc-client-"));
    const authority = options.tls ? new Authority() : undefined;
    const nodes: Node[] = [];
    const taken = new Set<number>();
    const free = async (address: string) => {
      for (;;) {
        const port = await freePort(address);
        if (!taken.has(port)) return taken.add(port) && port;
      }
    };
    for (const shard of [0, 1, 2]) {
      for (const follows of [0, 1]) {
        const zone = (shard + follows) % 3;
        const name = `shard-${shard}-${ZONES[zone]}`;
        const address = process.platform === "linux" ? `127.${NETWORK}.${zone + 1}.1` : "127.0.0.1";
        const hostname = options.tls === "names" ? `${name}.redis.test` : undefined;
        const certificate = authority?.issue(name, [hostname ? `DNS:${hostname}` : `IP:${address}`]);
        const plainPort = await free(address);
        const port = certificate ? await free(address) : plainPort;
        const dir = join(root, name);
        nodes.push({
          ...{ name, zone: ZONES[zone] ?? "", shard, address, port, plainPort, dir },
          ...(hostname ? { hostname } : {}),
          ...(certificate ? { certificate } : {}),
        });
      }
    }
    const cluster = new ClientCluster(options, nodes, root, authority);
    try {
      await Promise.all(nodes.map(({ name }) => cluster.startNode(name)));
      await cluster.#form();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get nodeTimeoutMilliseconds(): number {
    return this.#options.nodeTimeoutMilliseconds ?? 2_000;
  }

  async startNode(name: string): Promise<void> {
    const node = this.node(name);
    const { address, port, plainPort, hostname, certificate, dir } = node;
    mkdirSync(dir, { recursive: true });
    const lines = [
      "cluster-enabled yes",
      `cluster-node-timeout ${this.nodeTimeoutMilliseconds}`,
      "cluster-require-full-coverage no",
      "cluster-allow-replica-migration no",
      "protected-mode no",
      'save ""',
      "repl-diskless-sync-delay 0",
      // Replicas that have been sent nothing yet are not named to clients.
      "repl-ping-replica-period 1",
      `cluster-announce-ip ${address}`,
      `cluster-port ${plainPort + 10_000}`,
      ...(hostname ? [`cluster-announce-hostname ${hostname}`, "cluster-preferred-endpoint-type hostname"] : []),
      ...Object.entries(this.#options.users ?? {}).map(
        ([user, rules]) => `user ${user} on >${passwordOf(user)} ${rules}`,
      ),
    ];
    if (certificate && this.authority) {
      lines.push(
        ...[`tls-port ${port}`, "tls-cluster yes", "tls-replication yes", "tls-auth-clients yes"],
        ...[`tls-cert-file ${certificate.certFile}`, `tls-key-file ${certificate.keyFile}`],
        `tls-ca-cert-file ${this.authority.certificate.certFile}`,
      );
    }
    const server = await startServer({
      ...{ server: this.#options.program, address, port: plainPort, dir, conf: `${lines.join("\n")}\n` },
      timeoutMilliseconds: 30_000,
    });
    this.#servers.set(name, server);
    this.#admins.set(name, server.connect());
  }

  async #form(): Promise<void> {
    const masters = this.nodes.filter((_, i) => i % 2 === 0);
    await Promise.all(
      this.nodes.map(async (node, i) => {
        await this.ask(node.name, "CLUSTER", "SET-CONFIG-EPOCH", i + 1);
        const [first, last] = SLOTS[node.shard] ?? [0, 0];
        if (masters.includes(node)) await this.ask(node.name, "CLUSTER", "ADDSLOTSRANGE", first, last);
      }),
    );
    for (const { name } of this.nodes)
      for (const { address, port, plainPort, name: other } of this.nodes)
        if (name < other) await this.ask(name, "CLUSTER", "MEET", address, port, plainPort + 10_000);
    const ids = new Map<string, string>();
    for (const { name } of this.nodes) ids.set(name, String(await this.ask(name, "CLUSTER", "MYID")));
    await until("all know each other", async () => {
      const views = await Promise.all(this.nodes.map(({ name }) => this.ask(name, "CLUSTER", "NODES")));
      return views.every((view) => [...ids.values()].every((id) => String(view).includes(id)));
    });
    for (const node of this.nodes.filter((each) => !masters.includes(each))) {
      const master = masters.find(({ shard }) => shard === node.shard)?.name ?? "";
      await this.ask(node.name, "CLUSTER", "REPLICATE", ids.get(master) ?? "");
    }
    await this.whole();
  }

  /** Until every node says ok, and names two nodes for every slot. */
  async whole(): Promise<void> {
    await until("the cluster is whole", async () => {
      const views = await Promise.all(
        [...this.#servers.keys()].map(async (name) => {
          const [info, slots] = [
            await this.ask(name, "CLUSTER", "INFO"),
            (await this.ask(name, "CLUSTER", "SLOTS")) as unknown[][],
          ];
          return /cluster_state:ok/.test(String(info)) && slots.length === 3 && slots.every((row) => row.length === 4);
        }),
      );
      return views.every(Boolean);
    });
  }

  node(name: string): Node {
    const node = this.nodes.find((each) => each.name === name);
    if (!node) throw new Error(`no node ${name}`);
    return node;
  }

  /** As the administrator, without TLS. */
  async ask(name: string, command: string, ...args: (string | number)[]): Promise<unknown> {
    const admin = this.#admins.get(name);
    if (!admin) throw new Error(`${name} does not run`);
    return admin.call(command, ...args);
  }

  async kill(name: string): Promise<void> {
    const server = this.#servers.get(name);
    this.#servers.delete(name);
    this.#admins.delete(name);
    await server?.stop("SIGKILL");
  }

  /** While the slot of this key is on its way to another master: what is not there is asked for at the new owner. */
  async opened(key: string, work: () => Promise<void>): Promise<void> {
    const slot = keySlot(key);
    const [first] = SLOTS;
    const [from, to] = slot <= first[1] ? ["shard-0-zone-a", "shard-1-zone-b"] : ["shard-1-zone-b", "shard-0-zone-a"];
    const ids = [await this.ask(from, "CLUSTER", "MYID"), await this.ask(to, "CLUSTER", "MYID")].map(String);
    for (const existing of (await this.ask(from, "CLUSTER", "GETKEYSINSLOT", slot, 100)) as string[])
      await this.ask(from, "DEL", existing);
    await this.ask(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0] ?? "");
    await this.ask(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1] ?? "");
    try {
      await work();
      if (Number(await this.ask(to, "CLUSTER", "COUNTKEYSINSLOT", slot)) === 0)
        throw new Error("nobody asked the new owner");
    } finally {
      await this.ask(from, "CLUSTER", "SETSLOT", slot, "STABLE");
      await this.ask(to, "CLUSTER", "SETSLOT", slot, "STABLE");
    }
  }

  /** A number of each running node's INFO. */
  async figure(section: string, pattern: RegExp): Promise<Map<string, number>> {
    const figures = new Map<string, number>();
    for (const name of this.#servers.keys()) {
      const text = String(await this.ask(name, "INFO", section));
      figures.set(name, Number(pattern.exec(text)?.[1] ?? 0));
    }
    return figures;
  }

  /** Connections that each node's client ports took so far; those of the bus are no part of it. */
  connections(): Promise<Map<string, number>> {
    return this.figure("stats", /total_connections_received:(\d+)/);
  }

  /** As the component gives it. */
  inventory(): ClusterInventory {
    const survival = { reads: true, writes: true, reason: "" };
    const { engine: name, version } = this.#options.program;
    return {
      ...{ version: 1, name: "sessions", platform: "local", engine: { name, version }, zones: [...ZONES] },
      shards: SLOTS.map(([first, last], shard) => ({
        name: `shard-${shard}`,
        slots: [`${first}-${last}`],
        nodes: this.nodes.filter((node) => node.shard === shard).map(inventoryNode),
      })),
      nodeTimeoutMilliseconds: this.nodeTimeoutMilliseconds,
      survives: { oneNode: survival, oneZone: survival },
      ...(this.authority ? { tls: { clientAuth: "yes", certificatesExpire: "", authorityExpires: "" } } : {}),
      verifiedAt: new Date().toISOString(),
    };
  }

  credentials(): ClusterCredentials {
    const names = Object.keys(this.#options.users ?? {});
    const [first] = names;
    return {
      ...(first ? { username: first, password: passwordOf(first) } : { username: "default" }),
      ...(first ? { users: Object.fromEntries(names.map((name) => [name, { password: passwordOf(name) }])) } : {}),
      ...(this.authority && this.#application
        ? {
            tls: {
              caCertificatePem: this.authority.caCertificatePem,
              certificatePem: this.#application.certificatePem,
              keyPem: this.#application.keyPem,
            },
          }
        : {}),
    };
  }

  /** A forwarder to every node. */
  async tunnels(): Promise<{ tunnels: Record<string, string>; byNode: Map<string, Forwarder> }> {
    const tunnels: Record<string, string> = {};
    const byNode = new Map<string, Forwarder>();
    for (const node of this.nodes) {
      const forwarder = await Forwarder.start(node);
      this.#forwarders.push(forwarder);
      byNode.set(node.name, forwarder);
      tunnels[`${node.hostname ?? node.address}:${node.port}`] = `127.0.0.1:${forwarder.port}`;
    }
    return { tunnels, byNode };
  }

  async stop(): Promise<void> {
    await Promise.all(this.#forwarders.map((forwarder) => forwarder.stop()));
    await Promise.all([...this.#servers.keys()].map((name) => this.kill(name)));
    rmSync(this.#root, { recursive: true, force: true });
    this.authority?.dispose();
  }
}

export function passwordOf(user: string): string {
  return `${user}-password`;
}

function inventoryNode({ name, zone, address, port, plainPort, hostname }: Node, index: number): InventoryNode {
  return {
    ...{ name, zone, address, port, busPort: plainPort + 10_000, id: "0".repeat(40) },
    ...(hostname ? { hostname } : {}),
    role: index === 0 ? "master" : "replica",
  };
}
