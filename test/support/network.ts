import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ServerProgram } from "./servers";

/** This machine does not let us make network namespaces: no Linux, not root, or a container without the right to. */
export class NoNamespaces extends Error {
  override name = "NoNamespaces";
}

export interface NetworkOptions {
  /** Names of the zones, at most six. */
  readonly zones: readonly string[];
  /** How many hosts each zone has, at most twenty. */
  readonly hostsPerZone: number;
  /** The `ip` program of iproute2. */
  readonly ip: string;
}

/** What is dropped, without a word to the sender. An end that is not named is everybody. */
export interface Drop {
  readonly from?: string;
  readonly to?: string;
  /** Only TCP to this port; its answers come from there and pass. Default: everything. */
  readonly port?: number;
}

const PREFIX = "prc";
/** Where names of namespaces are (`ip netns`). */
const NAMES = "/run/netns";
/** RFC 2544: for laboratories, used on no real network. 512 networks of 256 addresses. */
const NETWORKS = 512;
const ZONE_ADDRESSES = 32;
const FIRST_HOST = 10;

let made = 0;

/**
 * Zones as network namespaces, each with a subnet and addresses of its own, joined by a router in one more namespace, as
 * availability zones are. This process reaches every zone over a link of its own to the router, so that it goes on seeing
 * both sides of a partition. Traffic is dropped in the router by policy routing (`ip rule … blackhole`), which needs no firewall.
 *
 * Names carry the owner's pid and start time. What a killed owner left is removed by the next one, processes included.
 */
export class Network {
  readonly #options: NetworkOptions;
  readonly #prefix: string;
  readonly #subnet: string;
  readonly #folder: string;
  readonly #atExit = () => this.dispose();
  #rules = 0;

  private constructor(options: NetworkOptions, prefix: string, subnet: string, folder: string) {
    this.#options = options;
    this.#prefix = prefix;
    this.#subnet = subnet;
    this.#folder = folder;
    process.on("exit", this.#atExit);
  }

  /** @throws NoNamespaces where the machine does not allow it */
  static create(options: NetworkOptions): Network {
    if (process.platform !== "linux") throw new NoNamespaces("network namespaces are a thing of Linux");
    if (process.getuid?.() !== 0) throw new NoNamespaces("network namespaces need root");
    if (options.zones.length > 6 || options.hostsPerZone > 20)
      throw new Error("too many zones or hosts for the subnets");
    removeLeftovers(options.ip);
    const prefix = `${PREFIX}-${process.pid}-${startTime(process.pid)}-${++made}`;
    const { ip } = options;
    try {
      run(ip, ["netns", "add", `${prefix}-router`]);
    } catch (error) {
      if (/not permitted|denied|Read-only/i.test(String(error))) throw new NoNamespaces(String(error));
      throw error;
    }
    try {
      for (const zone of options.zones) run(ip, ["netns", "add", `${prefix}-${zone}`]);
      const subnet = joinHere(ip, prefix);
      const network = new Network(options, prefix, subnet, mkdtempSync(join(tmpdir(), "prc-network-")));
      for (const zone of options.zones) network.#joinZone(zone);
      return network;
    } catch (error) {
      remove(ip, namesOf(`${prefix}-`));
      throw error;
    }
  }

  /** Address of this process, as the zones see it. */
  get here(): string {
    return `${this.#subnet}.254`;
  }

  /** Address of one host of a zone, counted from 0. */
  address(zone: string, host: number): string {
    if (host >= this.#options.hostsPerZone) throw new Error(`${zone} has ${this.#options.hostsPerZone} hosts`);
    return `${this.#subnet}.${this.#block(zone) + FIRST_HOST + host}`;
  }

  /** The addresses of a zone, as `ip rule` takes them. */
  subnet(zone: string): string {
    return `${this.#subnet}.${this.#block(zone)}/27`;
  }

  /** What to put before a command so that it runs in a zone. */
  within(zone: string): string[] {
    return ["nsenter", `--net=${NAMES}/${this.#prefix}-${zone}`];
  }

  /** The same program, to be started in a zone; it keeps the pid that it is given. */
  programIn(zone: string, program: ServerProgram): ServerProgram {
    const path = join(this.#folder, `${zone}-${program.engine}-${program.version}`);
    if (!existsSync(path)) {
      writeFileSync(path, `#!/bin/sh\nexec nsenter --net=${NAMES}/${this.#prefix}-${zone} '${program.path}' "$@"\n`);
      chmodSync(path, 0o755);
    }
    return { ...program, path };
  }

  /** Cuts a zone off from all others, in both directions and at one moment. Whoever looks from here still sees it. */
  partition(zone: string): void {
    const others = this.#options.zones.filter((other) => other !== zone);
    this.#dropSubnets(others.flatMap((other) => [[zone, other] as const, [other, zone] as const]));
  }

  /** From now on, for established connections too. */
  drop(...drops: readonly Drop[]): void {
    this.#addRules(
      drops.map(({ from, to, port }) =>
        [
          ...(from === undefined ? [] : ["from", from]),
          ...(to === undefined ? [] : ["to", to]),
          ...(port === undefined ? [] : ["ipproto", "tcp", "dport", String(port)]),
        ].join(" "),
      ),
    );
  }

  /** Everything passes again. */
  heal(): void {
    const lines = Array.from({ length: this.#rules }, (_, i) => `rule del pref ${10 + i}`);
    this.#rules = 0;
    this.#inRouter(lines);
  }

  /** Ends whatever still runs in the zones, and takes them away. */
  dispose(): void {
    process.off("exit", this.#atExit);
    remove(this.#options.ip, namesOf(`${this.#prefix}-`));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #dropSubnets(pairs: readonly (readonly [string, string])[]): void {
    this.#addRules(pairs.map(([from, to]) => `from ${this.subnet(from)} to ${this.subnet(to)}`));
  }

  #addRules(selectors: readonly string[]): void {
    this.#inRouter(selectors.map((selector) => `rule add pref ${10 + this.#rules++} ${selector} blackhole`));
  }

  #inRouter(lines: readonly string[]): void {
    if (lines.length === 0) return;
    run(this.#options.ip, ["-n", `${this.#prefix}-router`, "-batch", "-"], `${lines.join("\n")}\n`);
  }

  #block(zone: string): number {
    const at = this.#options.zones.indexOf(zone);
    if (at < 0) throw new Error(`no zone ${zone}`);
    return at * ZONE_ADDRESSES;
  }

  #joinZone(zone: string): void {
    const { ip, hostsPerZone } = this.#options;
    const name = `${this.#prefix}-${zone}`;
    const gateway = `${this.#subnet}.${this.#block(zone) + 1}`;
    const port = `zone${this.#options.zones.indexOf(zone)}`;
    this.#inRouter([
      `link add ${port} type veth peer name eth0 netns ${name}`,
      `addr add ${gateway}/27 dev ${port}`,
      `link set ${port} up`,
    ]);
    const hosts = Array.from({ length: hostsPerZone }, (_, host) => `addr add ${this.address(zone, host)}/27 dev eth0`);
    const lines = ["link set lo up", ...hosts, "link set eth0 up", `route add default via ${gateway}`];
    run(ip, ["-n", name, "-batch", "-"], `${lines.join("\n")}\n`);
  }
}

/** The link between this process's own network and the router; the route over it claims the addresses. */
function joinHere(ip: string, prefix: string): string {
  const link = `${PREFIX}${process.pid.toString(36)}x${made.toString(36)}`;
  const router = `${prefix}-router`;
  run(ip, ["link", "add", link, "type", "veth", "peer", "name", "here", "netns", router]);
  run(ip, ["link", "set", link, "up"]);
  run(ip, ["-n", router, "-batch", "-"], "link set lo up\nlink set here up\n");
  run("nsenter", [`--net=${NAMES}/${router}`, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
  for (let attempt = 0; attempt < NETWORKS; attempt++) {
    const index = (process.pid + attempt) % NETWORKS;
    const subnet = `198.${18 + (index >> 8)}.${index & 255}`;
    run(ip, ["addr", "add", `${subnet}.254`, "peer", `${subnet}.253`, "dev", link]);
    try {
      // Fails where anybody else has these addresses.
      run(ip, ["route", "add", `${subnet}.0/24`, "via", `${subnet}.253`]);
    } catch (error) {
      if (!/File exists/.test(String(error))) throw error;
      run(ip, ["addr", "flush", "dev", link]);
      continue;
    }
    run(ip, ["-n", router, "addr", "add", `${subnet}.253`, "peer", `${subnet}.254`, "dev", "here"]);
    return subnet;
  }
  throw new Error("all of 198.18.0.0/15 is in use");
}

/** Namespaces whose owner is gone: the link to them, their processes and addresses go with them. */
export function removeLeftovers(ip: string): string[] {
  const dead = namesOf(`${PREFIX}-`).filter((name) => {
    const [, pid, start] = /^prc-(\d+)-(\d+)-/.exec(name) ?? [];
    return pid !== undefined && startTime(Number(pid)) !== start;
  });
  remove(ip, dead);
  return dead;
}

export function namesOf(prefix: string): string[] {
  return existsSync(NAMES) ? readdirSync(NAMES).filter((name) => name.startsWith(prefix)) : [];
}

function remove(ip: string, names: readonly string[]): void {
  for (const name of names) {
    // Whatever runs in a namespace of ours is ours.
    for (const pid of run(ip, ["netns", "pids", name]).split("\n").filter(Boolean)) {
      try {
        process.kill(Number(pid), "SIGKILL");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      }
    }
    run(ip, ["netns", "delete", name]);
  }
}

/** When a process started, in the kernel's ticks: tells it from a later one with the same pid. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

function run(file: string, args: readonly string[], input = ""): string {
  try {
    return execFileSync(file, args, { input, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"] });
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    throw new Error(`${file} ${args.join(" ")}: ${stderr?.trim() || message}`);
  }
}
