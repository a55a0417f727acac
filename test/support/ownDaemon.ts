import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestServerName } from "../../infra/toolchain/servers.mjs";
import { until } from "./formation";
import { isRunning } from "./project";

type Toolchain = typeof import("../../infra/toolchain/dockerDaemon.mjs");

/**
 * A Docker daemon that a test may end and start again, which the one that all files of a run share is not for. In a network namespace of
 * its own, since two daemons in one network take each other's firewall rules away; a link leads from here to the containers of one subnet.
 */
export class OwnDaemon {
  /** As DOCKER_HOST has it. */
  readonly host: string;
  /** Of containers that can be reached from here. */
  readonly subnet: string;
  readonly #toolchain: Toolchain;
  readonly #ip: string;
  readonly #name = `prc-docker-${process.pid}`;
  readonly #folder = mkdtempSync(join(tmpdir(), "own-docker-"));
  readonly #programs: string;
  #pid = 0;
  #launched = false;
  #joined = false;

  private constructor(toolchain: Toolchain, programs: string, ip: string) {
    this.#toolchain = toolchain;
    this.#programs = programs;
    this.#ip = ip;
    this.host = `unix://${toolchain.socketIn(this.#folder)}`;
    this.subnet = `10.222.${process.pid % 256}.0/24`;
  }

  /** @param server whose image it has. @throws NoDocker where Docker cannot be had */
  static async start(server: TestServerName): Promise<OwnDaemon> {
    const log = (line: string) => process.stderr.write(`${line}\n`);
    const toolchain = await import("../../infra/toolchain/dockerDaemon.mjs");
    const { ensureIp } = await import("../../infra/toolchain/iproute.mjs");
    const { serverImages } = await import("../../infra/toolchain/dockerImages.mjs");
    const daemon = new OwnDaemon(toolchain, await toolchain.ensureDockerd({ log }), await ensureIp({ log }));
    try {
      daemon.#join();
      await daemon.#launch();
      await serverImages({ host: daemon.host, log, only: [server] });
      return daemon;
    } catch (error) {
      // The first error says more than what followed from it.
      await daemon.dispose().catch((more) => log(String(more)));
      throw error;
    }
  }

  /** As when it is upgraded, or its host restarts: its containers end with it, in order or at once, and come back as it brings them back. */
  async restart(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    // Its containerd too, as where a service is killed: the shims of its containers are nobody's then, and go on.
    const all = [this.#pid, ...childrenOf(this.#pid)];
    for (const pid of signal === "SIGTERM" ? [this.#pid] : all) end(pid, signal);
    await until("it has ended", () => !all.some(isRunning));
    // As long as nobody has waited for it, the next daemon would take it for one that runs.
    rmSync(join(this.#folder, "exec", "containerd", "containerd.pid"), { force: true });
    await this.#launch();
  }

  /** Everything goes that can, whatever does not. @throws AggregateError with what could not be taken away */
  async dispose(): Promise<void> {
    const troubles: unknown[] = [];
    const attempt = async (work: () => unknown) => {
      try {
        await work();
      } catch (error) {
        troubles.push(error);
      }
    };
    // Containers of one that did not come back are nobody's: it takes them with it.
    if (this.#launched && !isRunning(this.#pid)) await attempt(() => this.#launch());
    if (this.#pid !== 0) await attempt(() => this.#toolchain.endDaemon({ pid: this.#pid, folder: this.#folder }));
    await attempt(() => this.#toolchain.unmount(this.#folder));
    await attempt(() => rmSync(this.#folder, { recursive: true, force: true }));
    if (this.#joined) await attempt(() => this.#run("netns", "del", this.#name));
    if (troubles.length > 0) throw new AggregateError(troubles, `the daemon's leftovers: ${troubles.join("; ")}`);
  }

  async #launch(): Promise<void> {
    const daemon = this.#toolchain.launch({
      folder: this.#folder,
      programs: this.#programs,
      bridge: "none",
      within: ["nsenter", `--net=/run/netns/${this.#name}`],
      // Whoever comes from outside is let through to the containers.
      options: ["--iptables=false"],
    });
    this.#pid = daemon.pid ?? 0;
    await daemon.ready();
    this.#launched = true;
  }

  /** A link to the namespace, and the way over it. */
  #join(): void {
    const [here, there] = [`pd${process.pid}`, "outside"];
    // RFC 5737: for documentation, used on no real network.
    const at = 4 * (process.pid % 64);
    this.#run("netns", "add", this.#name);
    this.#joined = true;
    this.#run("link", "add", here, "type", "veth", "peer", "name", there, "netns", this.#name);
    this.#run("addr", "add", `192.0.2.${at + 1}/30`, "dev", here);
    this.#run("link", "set", here, "up");
    this.#run("-n", this.#name, "addr", "add", `192.0.2.${at + 2}/30`, "dev", there);
    this.#run("-n", this.#name, "link", "set", there, "up");
    this.#run("-n", this.#name, "link", "set", "lo", "up");
    this.#run("-n", this.#name, "route", "add", "default", "via", `192.0.2.${at + 1}`);
    this.#run("route", "add", this.subnet, "via", `192.0.2.${at + 2}`);
  }

  #run(...args: string[]): void {
    execFileSync(this.#ip, args, { stdio: ["ignore", "ignore", "pipe"] });
  }
}

/** Of all its threads: whichever started them. */
function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number),
  );
}

function end(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It went with its parent.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
