import * as fs from "node:fs";
import * as net from "node:net";
import * as os from "node:os";
import * as path from "node:path";
import * as tls from "node:tls";
import { readInstanceRecord, resolveVolume } from "../../../infra/platforms/local/runner/folder";
import { LocalNode } from "../../../infra/platforms/local/runner/node";
import { startTime } from "../../../infra/platforms/local/runner/processes";
import { serverOf, stopServer } from "../../../infra/platforms/local/runner/server";
import type {
  NodeDeclaration,
  NodeInputs,
  NodeOutputs,
  VolumeDeclaration,
  VolumeOutputs,
} from "../../../infra/platforms/local/runner/types";
import { LocalVolume } from "../../../infra/platforms/local/runner/volume";
import type { FoundServer } from "../../../infra/platforms/local/server";
import { MODE } from "../../support/modes";
import { Security } from "../../support/security";

/** Drives the local platform's resources as Pulumi would: check, diff, then what diff asks for. */
export class Bench {
  readonly root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "local-platform-")));
  readonly server: FoundServer;
  /** Far from the default ports, so that a developer's own cluster may run beside; only a first try anyway. */
  readonly firstPort = 15_000 + (process.pid % 200) * 10;
  #used = 0;
  #security: Promise<Security> | undefined;
  /** By node: what comes anew each time would be a change. */
  readonly #secrets = new Map<string, ReturnType<Security["declared"]>>();

  constructor(server: FoundServer) {
    this.server = server;
  }

  volume(name = "node-0", changes: Partial<VolumeDeclaration> = {}): VolumeDeclaration {
    const folder = path.join(this.root, "stack", "cluster", name);
    return { path: folder, owner: `project/stack/cluster/${name}`, dataOnDestroy: "delete", ...changes };
  }

  node(volume: VolumeOutputs, changes: Partial<NodeDeclaration> = {}): NodeDeclaration {
    return {
      cluster: "cluster",
      name: path.basename(volume.path),
      zone: "zone-a",
      serverPath: this.server.path,
      engine: this.server.engine,
      boot: [
        { name: "appendonly", value: "yes" },
        { name: "cluster-enabled", value: "yes" },
        { name: "databases", value: "1" },
      ],
      live: [{ name: "maxmemory", value: "0" }],
      volume: { path: volume.path, token: volume.token },
      hints: { ...address(), firstPort: this.firstPort, fixedPorts: false, offset: this.#used++ },
      ...changes,
    };
  }

  async createVolume(declared = this.volume()): Promise<VolumeOutputs> {
    const { inputs } = await LocalVolume.check({}, declared);
    return (await LocalVolume.create(inputs)).outs;
  }

  async checkNode(declared: NodeDeclaration, olds: Partial<NodeInputs> = {}): Promise<NodeInputs> {
    const secrets = MODE.strict ? await this.#secretsOf(declared.name) : {};
    const { inputs, failures } = await LocalNode.check(olds, { ...declared, ...secrets });
    if (failures.length > 0) throw new Error(failures.map((failure) => failure.reason).join("; "));
    return inputs;
  }

  async createNode(declared: NodeDeclaration): Promise<NodeOutputs> {
    return (await LocalNode.create(await this.checkNode(declared))).outs;
  }

  /** As the component declares them where the mode of this test run asks for TLS and users. */
  #secretsOf(name: string): ReturnType<Security["declared"]> {
    this.#security ??= Security.shared();
    const addresses = [address().address, "127.0.9.1"];
    const made =
      this.#secrets.get(name) ??
      this.#security.then((security) => security.declared(name, addresses, this.server.engine));
    this.#secrets.set(name, made);
    return made;
  }

  /** Ends what still runs under this bench's folder, by pid, and removes the folder. */
  async clean(): Promise<void> {
    const cluster = path.join(this.root, "stack", "cluster");
    for (const name of fs.existsSync(cluster) ? fs.readdirSync(cluster) : []) {
      const folder = path.join(cluster, name);
      for (let server = serverOf(folder); server; server = serverOf(folder)) await stopServer(name, server, 2000);
    }
    fs.rmSync(this.root, { recursive: true, force: true });
  }
}

/** Where the system has as many, one that no other test's servers are at: what is free there is for the test to say. */
function address(): { address: string; addressPerZone: boolean } {
  return process.platform === "linux"
    ? { address: `127.77.${process.pid % 250}.1`, addressPerZone: true }
    : { address: "127.0.0.1", addressPerZone: false };
}

export function pidOf(node: NodeInputs): number {
  const pid = readInstanceRecord(resolveVolume(node.volume.path))?.pid;
  if (pid === undefined) throw new Error(`${node.name} has no recorded process`);
  return pid;
}

export function killHard(pid: number): Promise<void> {
  process.kill(pid, "SIGKILL");
  return ended(pid);
}

export async function ended(pid: number): Promise<void> {
  while (startTime(pid) !== undefined) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** One inline command, the raw answer; after a login where the node is closed. */
export function ask({ address: host, port, login, tls: secret }: NodeInputs, command: string): Promise<string> {
  const { username, password } = login?.access ?? {};
  const { caCertificatePem: ca, identities: [own] = [] } = secret?.access.tls ?? {};
  return new Promise((resolve, reject) => {
    const socket = own
      ? tls.connect({ host, port, ca, cert: own.certificatePem, key: own.keyPem })
      : net.connect({ host, port });
    const commands = [...(password === undefined ? [] : [`AUTH ${username} ${password}`]), command];
    const next = () => socket.write(`${commands.shift()}\r\n`);
    socket.once("error", reject);
    socket.on("data", (data) => {
      if (commands.length > 0 && data.toString("utf8") === "+OK\r\n") return next();
      socket.destroy();
      return resolve(data.toString("utf8"));
    });
    socket.once(own ? "secureConnect" : "connect", next);
  });
}

export async function eventually(what: string, probe: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await probe())) {
    if (Date.now() > deadline) throw new Error(`not within 10 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Cluster-mode servers refuse keys without slots; one node with all of them is enough to keep data. */
export async function withData(node: Parameters<typeof ask>[0]): Promise<void> {
  await ask(node, "CLUSTER ADDSLOTSRANGE 0 16383");
  await eventually("node takes writes", async () => (await ask(node, "SET greeting hello")).startsWith("+OK"));
}

export async function hasData(node: Parameters<typeof ask>[0]): Promise<void> {
  await eventually("data are served again", async () => (await ask(node, "GET greeting")).includes("hello"));
}
