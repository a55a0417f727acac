import type Docker from "dockerode";
import type { Properties, Value } from "../values";
import { formatCpus, formatDuration } from "./durations";
import { objects } from "./values";

const mebibyte = 1024 * 1024;
type Inspected = Docker.ContainerInspectInfo;
type Host = Docker.HostConfig & {
  Init?: boolean | null;
  UsernsMode?: string;
  StorageOpt?: Record<string, string> | null;
};

/**
 * What the provider writes down of a container that it reads, over what it knew before. Environment, labels, networks, uploads and
 * volumes are among what it does not look at; whoever changed these outside is not noticed.
 */
export function readContainer(before: Properties, container: Inspected): Properties {
  const { Config: config, State: state } = container;
  const host = container.HostConfig as Host;
  const health = config.Healthcheck as Health | undefined;
  const mustRun = before.mustRun !== false;
  const configured = (name: string) => objects(before[name]).length > 0;
  const found: Record<string, Value | undefined> = {
    bridge: (container.NetworkSettings as { Bridge?: string }).Bridge ?? "",
    // A container that has ended has no ports. One that must run is then found without them, and that replaces it.
    ...(configured("ports") && (state.Running || mustRun) ? { ports: ports(container) } : {}),
    networkDatas: networks(container),
    ...(state.Running ? {} : { exitCode: state.ExitCode, ...(mustRun ? { mustRun: false } : {}) }),
    name: container.Name.replace(/^\/+/, ""),
    rm: host.AutoRemove ?? false,
    readOnly: host.ReadonlyRootfs ?? false,
    image: String(before.image ?? "").startsWith("sha256:") ? container.Image : config.Image,
    hostname: config.Hostname,
    domainname: config.Domainname,
    command: list(config.Cmd),
    entrypoints: list(config.Entrypoint),
    user: config.User,
    dns: list(host.Dns),
    dnsOpts: list(host.DnsOptions),
    securityOpts: list(host.SecurityOpt),
    dnsSearches: list(host.DnsSearch),
    publishAllPorts: host.PublishAllPorts ?? false,
    restart: host.RestartPolicy?.Name ?? "",
    maxRetryCount: host.RestartPolicy?.MaximumRetryCount ?? 0,
    init: host.Init ?? false,
    workingDir: config.WorkingDir,
    ...(host.CapAdd?.length || host.CapDrop?.length
      ? { capabilities: { adds: list(host.CapAdd), drops: list(host.CapDrop) } }
      : {}),
    runtime: host.Runtime ?? "",
    platform: container.Platform,
    ...mounts(host),
    tmpfs: (host.Tmpfs as Properties | undefined) ?? {},
    hosts: list(host.ExtraHosts).map((entry) => {
      const [name = "", ip = ""] = String(entry).split(":");
      return { host: name, ip };
    }),
    ...(configured("ulimits") ? { ulimits: ulimits(host) } : {}),
    privileged: host.Privileged ?? false,
    memory: Math.trunc((host.Memory ?? 0) / mebibyte),
    memoryReservation: Math.trunc((host.MemoryReservation ?? 0) / mebibyte),
    memorySwap: (host.MemorySwap ?? 0) > 0 ? Math.trunc((host.MemorySwap ?? 0) / mebibyte) : (host.MemorySwap ?? 0),
    shmSize: Math.trunc((host.ShmSize ?? 0) / mebibyte),
    ...(host.NanoCpus ? { cpus: formatCpus(host.NanoCpus) } : {}),
    cpuShares: host.CpuShares ?? 0,
    cpuSet: host.CpusetCpus ?? "",
    logDriver: host.LogConfig?.Type ?? "",
    logOpts: Object.keys((before.logOpts as Properties | undefined) ?? {}).length ? (host.LogConfig?.Config ?? {}) : {},
    storageOpts: host.StorageOpt ?? {},
    networkMode: host.NetworkMode ?? "",
    ...(before.pidMode ? { pidMode: host.PidMode ?? "" } : {}),
    usernsMode: host.UsernsMode ?? "",
    ...(health ? { healthcheck: healthcheck(health) } : {}),
    sysctls: (host.Sysctls as Properties | undefined) ?? {},
    ipcMode: host.IpcMode ?? "",
    groupAdds: list(host.GroupAdd),
    tty: config.Tty,
    stdinOpen: config.OpenStdin,
    stopSignal: (config as { StopSignal?: string }).StopSignal ?? "",
    stopTimeout: (config as { StopTimeout?: number }).StopTimeout ?? 0,
  };
  const result: Properties = { ...before };
  for (const [key, value] of Object.entries(found)) {
    if (value === null || value === undefined) delete result[key];
    else result[key] = value;
  }
  return result;
}

interface Health {
  readonly Test?: string[];
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

function healthcheck(health: Health): Properties {
  return {
    interval: formatDuration(health.Interval ?? 0),
    retries: health.Retries ?? 0,
    startInterval: formatDuration(health.StartInterval ?? 0),
    startPeriod: formatDuration(health.StartPeriod ?? 0),
    tests: list(health.Test),
    timeout: formatDuration(health.Timeout ?? 0),
  };
}

function ports(container: Inspected): Value[] {
  return Object.entries(container.NetworkSettings.Ports ?? {})
    .sort(([a], [b]) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
    .flatMap(([key, bindings]) => {
      const [internal, protocol = "tcp"] = key.split("/");
      return (bindings ?? []).map(({ HostIp, HostPort }) => ({
        external: Number(HostPort),
        internal: Number(internal),
        ip: HostIp,
        protocol,
      }));
    });
}

function networks(container: Inspected): Value[] {
  return Object.entries(container.NetworkSettings.Networks ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([networkName, network]) => ({
      gateway: network.Gateway,
      globalIpv6Address: network.GlobalIPv6Address,
      globalIpv6PrefixLength: network.GlobalIPv6PrefixLen,
      ipAddress: network.IPAddress,
      ipPrefixLength: network.IPPrefixLen,
      ipv6Gateway: network.IPv6Gateway,
      macAddress: network.MacAddress,
      networkName,
    }));
}

/** Mounts whose volume has labels are not written down: the provider fails at that, silently, and keeps what it knew. */
function mounts(host: Host): { mounts?: Value } {
  const found = (host.Mounts ?? []) as unknown as Mounted[];
  if (found.some((mount) => Object.keys(mount.VolumeOptions?.Labels ?? {}).length > 0)) return {};
  return {
    mounts: found.map((mount) => ({
      readOnly: mount.ReadOnly ?? false,
      source: mount.Source ?? "",
      target: mount.Target,
      type: mount.Type,
      ...(mount.BindOptions ? { bindOptions: { propagation: mount.BindOptions.Propagation ?? "" } } : {}),
      ...(mount.VolumeOptions
        ? {
            volumeOptions: {
              noCopy: mount.VolumeOptions.NoCopy ?? false,
              driverName: mount.VolumeOptions.DriverConfig?.Name ?? "",
              driverOptions: mount.VolumeOptions.DriverConfig?.Options ?? {},
              ...(mount.VolumeOptions.Subpath ? { subpath: mount.VolumeOptions.Subpath } : {}),
            },
          }
        : {}),
      ...(mount.TmpfsOptions
        ? { tmpfsOptions: { sizeBytes: mount.TmpfsOptions.SizeBytes ?? 0, mode: mount.TmpfsOptions.Mode ?? 0 } }
        : {}),
    })),
  };
}

interface Mounted {
  readonly Target: string;
  readonly Source?: string;
  readonly Type: string;
  readonly ReadOnly?: boolean;
  readonly BindOptions?: { readonly Propagation?: string };
  readonly VolumeOptions?: {
    readonly NoCopy?: boolean;
    readonly Labels?: Record<string, string>;
    readonly DriverConfig?: { readonly Name?: string; readonly Options?: Record<string, string> };
    readonly Subpath?: string;
  };
  readonly TmpfsOptions?: { readonly SizeBytes?: number; readonly Mode?: number };
}

function ulimits(host: Host): Value[] {
  const found = (host.Ulimits ?? []) as { Name: string; Soft: number; Hard: number }[];
  return found.map(({ Name, Soft, Hard }) => ({ hard: Hard, name: Name, soft: Soft }));
}

function list(items: string | string[] | null | undefined): Value[] {
  return items === null || items === undefined ? [] : Array.isArray(items) ? items : [items];
}
