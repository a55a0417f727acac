import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { Cluster } from "ioredis";
import type { TestContext } from "vitest";
import type { ProxyAccess } from "../../../components/access/types";
import { parseClusterNodes } from "../../../components/formation/clusterNodes";
import { countSlots, formatRanges, SLOT_COUNT } from "../../../components/formation/slots";
import { openClusterClient } from "../../../components/formation/wire";
import type { OpenSsh } from "../../../infra/toolchain/sshd.mjs";
import { Bastion } from "../../support/bastion";
import { until } from "../../support/formation";
import type { Network } from "../../support/network";
import { type RunningServer, type ServerProgram, startServer } from "../../support/servers";
import { networkFor } from "../../support/zones";

const ZONES = ["a", "b", "c"];
const PORT = 6379;
const PASSWORD = "the password of the hosts";

/**
 * Hosts in networks of their own that this process does not reach, and a bastion that it does, which reaches them. Servers are
 * blank; somebody else starts, stops and configures them.
 */
export class PrivateHosts {
  readonly bastion: Bastion;
  readonly #network: Network;
  readonly #program: ServerProgram;
  readonly #root = mkdtempSync(join(tmpdir(), "prc-private-"));
  readonly #servers = new Map<number, RunningServer>();

  private constructor(network: Network, program: ServerProgram, bastion: Bastion) {
    this.#network = network;
    this.#program = program;
    this.bastion = bastion;
  }

  static async start(
    context: TestContext,
    { ssh, program, count }: { readonly ssh: OpenSsh; readonly program: ServerProgram; readonly count: number },
  ): Promise<PrivateHosts> {
    const hostsPerZone = Math.ceil(count / ZONES.length);
    const network = await networkFor(context, { zones: ["bastion", ...ZONES], hostsPerZone });
    const within = network.within("bastion");
    // sshd runs as a user of no rights here, and is to have its own port.
    const [nsenter = "", ...rest] = within;
    execFileSync(nsenter, [...rest, "sh", "-c", "echo 22 > /proc/sys/net/ipv4/ip_unprivileged_port_start"]);
    const bastion = await Bastion.start({ ssh, address: network.address("bastion", 0), port: 22, within });
    context.onTestFinished(() => bastion.dispose());
    const hosts = new PrivateHosts(network, program, bastion);
    context.onTestFinished(() => hosts.stop());
    for (const zone of ZONES)
      network.drop({ from: network.here, to: network.subnet(zone) }, { from: network.subnet(zone), to: network.here });
    await Promise.all(Array.from({ length: count }, (_, i) => hosts.startHost(i)));
    return hosts;
  }

  /** As the argument `nodes` takes them. */
  nodes(count: number): { address: string; zone: string }[] {
    return Array.from({ length: count }, (_, i) => ({ address: this.address(i), zone: this.zone(i) }));
  }

  get password(): string {
    return PASSWORD;
  }

  /** As the argument `connection.proxy` takes it. */
  proxy(changes: Partial<ProxyAccess> = {}): ProxyAccess {
    const { address: host, user, privateKey } = this.bastion;
    return { host, user, privateKey, hostKey: this.bastion.hostKey(), ...changes };
  }

  zone(index: number): string {
    return ZONES[index % ZONES.length] ?? "";
  }

  address(index: number): string {
    return this.#network.address(this.zone(index), Math.floor(index / ZONES.length));
  }

  async startHost(index: number): Promise<void> {
    const dir = join(this.#root, String(index));
    mkdirSync(dir, { recursive: true });
    const address = this.address(index);
    const conf = [
      "cluster-enabled yes",
      "cluster-node-timeout 2000",
      `cluster-announce-ip ${address}`,
      "appendonly yes",
      'save ""',
      "repl-diskless-sync-delay 0",
      "protected-mode no",
      `requirepass "${PASSWORD}"`,
      `masterauth "${PASSWORD}"`,
    ];
    const server = await startServer({
      server: this.#network.programIn(this.zone(index), this.#program),
      address,
      port: PORT,
      dir,
      conf: `${conf.join("\n")}\n`,
      ready: () => {
        try {
          return this.cli(index, "PING") === "PONG";
        } catch {
          return false;
        }
      },
    });
    this.#servers.set(index, server);
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

  /** `redis-cli` beside the server; nobody else gets there. */
  cli(index: number, ...command: string[]): string {
    return this.#run(index, command, "");
  }

  #run(index: number, command: readonly string[], input: string): string {
    const [nsenter = "", ...rest] = this.#network.within(this.zone(index));
    const args = [...rest, this.#program.cliPath ?? "redis-cli", "-h", this.address(index), "-p", String(PORT)];
    return execFileSync(nsenter, [...args, ...command], {
      encoding: "utf8",
      env: { ...process.env, REDISCLI_AUTH: PASSWORD },
      input,
      stdio: ["pipe", "pipe", "pipe"],
    }).trim();
  }

  /** Whether this process gets to a host without the bastion, in a second. */
  reachesDirectly(index: number): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect({ host: this.address(index), port: PORT, timeout: 1_000 });
      const end = (reached: boolean) => {
        socket.destroy();
        resolve(reached);
      };
      socket.once("connect", () => end(true));
      socket.once("timeout", () => end(false));
      socket.once("error", () => end(false));
    });
  }

  /** Waits until these hosts are one cluster that owns all slots in everybody's view, replicas in sync. @param down one that is not up */
  async agree(count: number, down?: number): Promise<void> {
    const alive = Array.from({ length: count + (down === undefined ? 0 : 1) }, (_, i) => i).filter((i) => i !== down);
    await until("the hosts agree", async () => {
      let agreed: string | undefined;
      for (const i of alive) {
        const view = this.#settledView(i, count, down);
        agreed ??= view;
        if (view === undefined || view !== agreed) {
          await setTimeout(100);
          return false;
        }
      }
      return true;
    });
  }

  #settledView(index: number, count: number, down: number | undefined): string | undefined {
    // All three at once, since each start of a program takes its time.
    const said = this.#run(index, [], "CLUSTER NODES\nCLUSTER INFO\nINFO replication\n");
    const lines = said.split("\n").filter((line) => /^[0-9a-f]{40} /.test(line));
    const entries = parseClusterNodes(lines.join("\n")).filter(
      (e) => down === undefined || e.address !== this.address(down),
    );
    const failing = !/cluster_state:ok/.test(said) || /master_link_status:down/.test(said);
    const whole = countSlots(entries.flatMap((e) => e.slots)) === SLOT_COUNT && entries.length === count;
    if (failing || !whole || !entries.every((e) => e.health === "ok" && !e.handshake)) return undefined;
    return entries
      .map((e) => `${e.id} ${e.masterId ?? ""} ${formatRanges(e.slots)}`)
      .sort()
      .join();
  }

  /** One that leads a shard. */
  leader(count: number): number {
    const found = Array.from({ length: count }, (_, i) => i).find((i) => /^master/.test(this.cli(i, "ROLE")));
    if (found === undefined) throw new Error("nobody leads");
    return found;
  }

  /** What a host that is down has on its disk is gone. */
  empty(index: number): void {
    rmSync(join(this.#root, String(index)), { recursive: true, force: true });
  }

  /** Keys, spread over all slots, written by a cluster client that goes through the bastion. */
  async fill(count: number): Promise<void> {
    await this.#withClient(async (client) => {
      await Promise.all(Array.from({ length: count }, (_, i) => client.set(`key:${i}`, `value ${i}`)));
    });
  }

  /** Numbers of keys that are gone or wrong. */
  async missing(count: number): Promise<number[]> {
    return this.#withClient(async (client) => {
      const values = await Promise.all(Array.from({ length: count }, (_, i) => client.get(`key:${i}`)));
      return values.flatMap((value, i) => (value === `value ${i}` ? [] : [i]));
    });
  }

  async #withClient<T>(work: (client: Cluster) => Promise<T>): Promise<T> {
    const seeds = [0, 1, 2].map((i) => ({ address: this.address(i), port: PORT, busPort: PORT + 10_000 }));
    const { client, close } = openClusterClient(seeds, { password: PASSWORD, proxy: this.proxy() }, "test");
    client.on("error", () => {});
    try {
      await client.connect();
      return await work(client);
    } finally {
      close();
    }
  }

  /** Commands that each host was asked to carry out so far, and how often. */
  calls(count: number): Map<string, number>[] {
    return Array.from({ length: count }, (_, i) => {
      const text = this.cli(i, "INFO", "commandstats");
      return new Map([...text.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map((m) => [m[1] ?? "", Number(m[2])]));
    });
  }
}
