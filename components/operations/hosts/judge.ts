import { DEFAULT_MAXCLIENTS, type HostFacts, type MachineFacts, type NodeFacts, type ProcessFacts } from "./facts";
import { keepMaxclients, keepNofile, keepSysctl, thpRemedy } from "./remedies";

/** In the order of the report. */
export const HOST_SETTINGS = [
  "vm.overcommit_memory",
  "transparent_hugepage",
  "net.core.somaxconn",
  "nofile",
  "clocksource",
] as const;
export type HostSettingName = (typeof HOST_SETTINGS)[number];

/** What the server asks of its host, for one address. */
export interface HostStatus {
  readonly address: string;
  readonly nodes: readonly string[];
  /** A server's process there was found on the machine that asks. */
  readonly seen: boolean;
  /** Why not, where it was not. */
  readonly reason?: string;
  /** Those that could be seen. Of a host that was not: what its servers tell over the wire. */
  readonly settings: readonly HostSetting[];
  readonly unseen: readonly HostSettingName[];
}

export interface HostSetting {
  readonly name: HostSettingName;
  readonly value: string;
  readonly wanted: string;
  readonly ok: boolean;
  /** Whom it is about. */
  readonly nodes: readonly string[];
  /** What may happen; only where it is not as wanted, as is `remedy`. */
  readonly why?: string;
  /** The command that sets it now, and the line that keeps it. */
  readonly remedy?: string;
}

interface SeenNode {
  readonly name: string;
  readonly tcpBacklog?: number;
  readonly disableThp?: boolean;
  readonly process: ProcessFacts;
}

/** Pure. One entry an address, sorted by it; measured by what servers check at their own start. */
export function judgeHosts({ machine, nodes }: HostFacts): HostStatus[] {
  const order = new Intl.Collator("en", { numeric: true });
  const byAddress = new Map<string, NodeFacts[]>();
  for (const node of nodes) byAddress.set(node.address, [...(byAddress.get(node.address) ?? []), node]);
  return [...byAddress].sort(([a], [b]) => order.compare(a, b)).map(([address, on]) => judge(address, on, machine));
}

function judge(address: string, nodes: readonly NodeFacts[], machine: MachineFacts): HostStatus {
  const elsewhere = nodes.map((n) => n.server?.os).find((os) => os !== undefined && !os.startsWith("Linux"));
  const base = { address, nodes: nodes.map((n) => n.name) };
  if (elsewhere !== undefined) {
    const reason = `it runs on ${elsewhere}; these are settings of Linux`;
    return { ...base, seen: false, reason, settings: [], unseen: [] };
  }
  const seen = nodes.flatMap(({ name, server }): SeenNode[] =>
    server?.process ? [{ ...server, name, process: server.process }] : [],
  );
  const found = [
    ...(seen.length > 0
      ? [overcommit(machine, seen), transparentHugePages(machine, seen), somaxconn(seen), clocksource(machine, seen)]
      : []),
    openFiles(nodes),
  ];
  const settings = HOST_SETTINGS.flatMap((name) => found.find((s) => s?.name === name) ?? []);
  return {
    ...base,
    seen: seen.length > 0,
    ...(seen.length > 0 ? {} : { reason: unseenBecause(nodes) }),
    settings,
    unseen: HOST_SETTINGS.filter((name) => !settings.some((s) => s.name === name)),
  };
}

function unseenBecause(nodes: readonly NodeFacts[]): string {
  return nodes.some((n) => n.server)
    ? "its servers are no processes that this machine shows"
    : "no server answers there, so none could be looked for";
}

type Verdict = Omit<HostSetting, "nodes" | "why" | "remedy">;

function told(verdict: Verdict, nodes: readonly { name: string }[], why: string, remedy: () => string): HostSetting {
  return {
    ...verdict,
    nodes: nodes.map((n) => n.name),
    ...(verdict.ok ? {} : { why, remedy: remedy() }),
  };
}

function overcommit({ overcommitMemory: value }: MachineFacts, seen: readonly SeenNode[]): HostSetting | undefined {
  if (value === undefined) return undefined;
  return told(
    { name: "vm.overcommit_memory", value: String(value), wanted: "1", ok: value === 1 },
    seen,
    "a background save or a full copy to a replica may fail for want of memory that it would never use",
    () => `\`sysctl -w vm.overcommit_memory=1\`; ${keepSysctl("vm.overcommit_memory", 1)}`,
  );
}

/**
 * A server that starts under `always` switches them off for itself (`disable-thp`, by default). What counts is what holds for its
 * process: where `always` was set while it ran, it is not spared. Kernels before 5.0 do not show that; there the directive is believed.
 */
function transparentHugePages(
  { transparentHugePages: mode }: MachineFacts,
  seen: readonly SeenNode[],
): HostSetting | undefined {
  if (mode === undefined) return undefined;
  const enabled = seen.map(({ process, disableThp }) =>
    mode !== "always" ? false : (process.thpEnabled ?? (disableThp === undefined ? undefined : !disableThp)),
  );
  if (enabled.includes(undefined)) return undefined;
  const hit = seen.filter((_, i) => enabled[i] === true);
  const ok = hit.length === 0;
  return told(
    {
      name: "transparent_hugepage",
      value: mode === "always" && ok ? "always (the servers have it off for themselves)" : mode,
      wanted: "madvise or never",
      ok,
    },
    ok ? seen : hit,
    "after a fork, every write copies 2 MB instead of 4 KB: latency, and memory used twice",
    () => thpRemedy(hit.some((n) => n.disableThp === false)),
  );
}

function somaxconn(seen: readonly SeenNode[]): HostSetting | undefined {
  const known = seen.flatMap(({ name, tcpBacklog: wanted, process: { somaxconn: value, otherNetwork, pid } }) =>
    value === undefined || wanted === undefined ? [] : [{ name, value, wanted, otherNetwork, pid }],
  );
  if (known.length === 0) return undefined;
  const low = known.filter((n) => n.value < n.wanted);
  const about = low.length > 0 ? low : known;
  const wanted = Math.max(...about.map((n) => n.wanted));
  const inside = low.find((n) => n.otherNetwork);
  const now = `sysctl -w net.core.somaxconn=${wanted}\``;
  return told(
    {
      name: "net.core.somaxconn",
      value: String(Math.min(...about.map((n) => n.value))),
      wanted: `at least ${wanted}`,
      ok: low.length === 0,
    },
    about,
    `connections are dropped when many clients come at once: the queue is shorter than \`tcp-backlog ${wanted}\``,
    () =>
      inside
        ? `\`nsenter --net=/proc/${inside.pid}/ns/net ${now}, then restart the servers one by one; to keep it, set it where that network namespace is made (\`docker run --sysctl net.core.somaxconn=${wanted}\`)`
        : `\`${now}, then restart the servers one by one; ${keepSysctl("net.core.somaxconn", wanted)}`,
  );
}

/** Descriptors that a server keeps beside its clients' (CONFIG_MIN_RESERVED_FDS). */
const RESERVED = 32;

/**
 * A server that may not open `maxclients` + 32 files lowers `maxclients` to what is left, and CONFIG REWRITE then writes that into
 * its file. So a number that nobody would choose, 32 below one that limits have, is taken for such a rest; a round one is not.
 */
const isRound = (n: number) => n % 100 === 0 || (n & (n - 1)) === 0;
const looksLowered = (maxclients: number) =>
  maxclients < DEFAULT_MAXCLIENTS && !isRound(maxclients) && isRound(maxclients + RESERVED);

interface OpenFiles {
  readonly name: string;
  readonly pid?: number;
  /** At least that much. */
  readonly limit: number;
  readonly limitSeen: boolean;
  readonly maxclients: number;
  readonly asked: number;
  /** redis.conf asks for less than it should, or nobody knows. */
  readonly fileDoubtful: boolean;
}

function openFilesOf({ name, server }: NodeFacts): OpenFiles | undefined {
  if (server?.maxclients === undefined) return undefined;
  const { maxclients, process } = server;
  const written = process?.writtenMaxclients;
  const wished = looksLowered(written ?? maxclients) ? DEFAULT_MAXCLIENTS : (written ?? maxclients);
  const limit = process?.openFiles;
  const lowered =
    maxclients < wished && (looksLowered(maxclients) || (maxclients + RESERVED === limit && !isRound(maxclients)));
  const pid = process?.pid ?? server.pid;
  return {
    name,
    ...(pid === undefined ? {} : { pid }),
    // It runs with these many clients, so it was allowed at least that.
    limit: limit ?? maxclients + RESERVED,
    limitSeen: limit !== undefined || lowered,
    maxclients,
    asked: lowered ? wished : maxclients,
    fileDoubtful: written === undefined || written < wished,
  };
}

function openFiles(nodes: readonly NodeFacts[]): HostSetting | undefined {
  const known = nodes.flatMap((n) => openFilesOf(n) ?? []);
  const least = (of: readonly OpenFiles[]) => of.reduce((a, b) => (b.limit < a.limit ? b : a));
  if (known.length === 0) return undefined;
  const short = known.filter((n) => n.maxclients < n.asked || n.limit < n.asked + RESERVED);
  const about = short.length > 0 ? short : known;
  const { limit, limitSeen, maxclients } = least(about);
  const asked = Math.max(...about.map((n) => n.asked));
  const number = limit === Number.POSITIVE_INFINITY ? "unlimited" : String(limit);
  const wanted = asked + RESERVED;
  return told(
    {
      name: "nofile",
      value: short.length > 0 ? `${number} (maxclients ${maxclients})` : limitSeen ? number : `at least ${number}`,
      wanted: `at least ${wanted}`,
      ok: short.length === 0,
    },
    about,
    maxclients < asked
      ? `the server takes ${maxclients} clients, not ${asked}, and refuses the next`
      : `clients are refused once so many files are open, long before maxclients ${maxclients}`,
    () => {
      const pids = short.filter((n) => n.limit < wanted).flatMap((n) => n.pid ?? []);
      const set = `\`CONFIG SET maxclients ${asked}\` on ${short.map((n) => n.name).join(", ")}`;
      const now = pids.length > 0 ? `${keepNofile.now(pids, wanted)}, then ${set}` : set;
      const file = short.some((n) => n.fileDoubtful) ? `; ${keepMaxclients(maxclients)}` : "";
      return `${now}; ${keepNofile.line(wanted)}${file}`;
    },
  );
}

function clocksource({ clocksource: clock }: MachineFacts, seen: readonly SeenNode[]): HostSetting | undefined {
  if (clock === undefined) return undefined;
  const file = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
  const other = clock.available.includes("tsc") ? "tsc" : clock.available.find((name) => name !== "xen");
  return told(
    { name: "clocksource", value: clock.current, wanted: "any but xen", ok: clock.current !== "xen" },
    seen,
    "every look at the clock is a call into the hypervisor, and a server looks at it for every command",
    () =>
      other === undefined
        ? "the kernel offers no other one: see `redis-server --check-system`, and another kind of machine where it says slow"
        : `\`echo ${other} > ${file}\`; to keep it, \`clocksource=${other}\` on the kernel's command line`,
  );
}
