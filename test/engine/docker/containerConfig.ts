import type Docker from "dockerode";
import { isObject, type Properties, type Value } from "../values";
import type { Client } from "./client";
import { parseCpus, parseDuration } from "./durations";
import { labelsToMap, objects, strings, texts } from "./values";

const mebibyte = 1024 * 1024;

/** What the API is asked for a container, as the provider asks. Zero, empty and absent are one to it. */
export function containerConfig(p: Properties, { api }: Client): Docker.ContainerCreateOptions {
  const ports = portsOf(p);
  const volumes = volumesOf(p);
  const command = strings(p.command);
  if (command.includes("")) throw new Error("values for command may not be empty");
  return clean({
    name: text(p.name),
    Image: text(p.image),
    Hostname: text(p.hostname),
    Domainname: text(p.domainname),
    Tty: p.tty === true,
    OpenStdin: p.stdinOpen === true,
    StopSignal: text(p.stopSignal),
    StopTimeout: number(p.stopTimeout),
    Env: some(strings(p.envs)),
    Cmd: some(command),
    Entrypoint: some(strings(p.entrypoints)),
    User: text(p.user),
    ExposedPorts: ports.exposed,
    WorkingDir: text(p.workingDir),
    Volumes: volumes.declared,
    Labels: labelsToMap(p.labels),
    Healthcheck: isObject(p.healthcheck) ? healthcheck(p.healthcheck, api) : undefined,
    HostConfig: clean({
      ...hostConfig(p, api),
      PortBindings: ports.bindings,
      Binds: some(volumes.binds),
      VolumesFrom: some(volumes.from),
    }),
  });
}

function hostConfig(p: Properties, api: string): Docker.HostConfig {
  const security = strings(p.securityOpts);
  const open = security.includes("systempaths=unconfined");
  const capabilities = isObject(p.capabilities) ? p.capabilities : {};
  return {
    Privileged: p.privileged === true,
    PublishAllPorts: p.publishAllPorts === true,
    RestartPolicy: { Name: String(p.restart ?? "no"), MaximumRetryCount: number(p.maxRetryCount) ?? 0 },
    Runtime: text(p.runtime),
    Mounts: some(objects(p.mounts).map((mount) => mountOf(mount, api))),
    AutoRemove: p.rm === true,
    ReadonlyRootfs: p.readOnly === true,
    LogConfig: { Type: text(p.logDriver) ?? "", Config: texts(p.logOpts) } as Docker.HostConfig["LogConfig"],
    Tmpfs: isObject(p.tmpfs) ? texts(p.tmpfs) : undefined,
    ExtraHosts: some(objects(p.hosts).map(({ host, ip }) => `${host}:${ip}`)),
    Ulimits: some(objects(p.ulimits).map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard }))),
    CapAdd: some(normaliseCapabilities(strings(capabilities.adds))),
    CapDrop: some(normaliseCapabilities(strings(capabilities.drops))),
    Dns: some(strings(p.dns)),
    DnsOptions: some(strings(p.dnsOpts)),
    DnsSearch: some(strings(p.dnsSearches)),
    SecurityOpt: some(security.filter((option) => option !== "systempaths=unconfined")),
    ...(open ? { MaskedPaths: [], ReadonlyPaths: [] } : {}),
    Memory: scaled(p.memory),
    MemoryReservation: scaled(p.memoryReservation),
    MemorySwap: scaled(p.memorySwap),
    ShmSize: scaled(p.shmSize),
    ...processors(p),
    CpuShares: number(p.cpuShares),
    CpusetCpus: text(p.cpuSet),
    NetworkMode: text(p.networkMode),
    UsernsMode: text(p.usernsMode),
    PidMode: text(p.pidMode),
    Sysctls: isObject(p.sysctls) ? texts(p.sysctls) : undefined,
    IpcMode: text(p.ipcMode),
    GroupAdd: some(strings(p.groupAdds)),
    CgroupnsMode: text(p.cgroupnsMode),
    CgroupParent: text(p.cgroupParent),
    Init: p.init === true,
    StorageOpt: isObject(p.storageOpts) ? texts(p.storageOpts) : undefined,
  } as Docker.HostConfig;
}

/** `cpus` wins over period and quota. */
function processors(p: Properties): Partial<Docker.HostConfig> {
  const cpus = text(p.cpus);
  if (!cpus) return { CpuPeriod: number(p.cpuPeriod), CpuQuota: number(p.cpuQuota) } as Partial<Docker.HostConfig>;
  const nano = parseCpus(cpus);
  if (nano === undefined) throw new Error(`Error setting cpus: failed to parse ${cpus} as a rational number`);
  return { NanoCpus: nano };
}

function healthcheck(p: Properties, api: string): object {
  const duration = (value: Value | undefined) => parseDuration(String(value ?? "0s")) ?? 0;
  const start = duration(p.startInterval);
  // Older daemons do not know it, and the provider's client says so rather than leave it out.
  if (start !== 0 && !atLeast(api, "1.44"))
    throw new Error(
      `Unable to create container: "specify health-check start interval" requires API version 1.44, but the Docker daemon API version is ${api}`,
    );
  return clean({
    Test: some(strings(p.tests)),
    Interval: duration(p.interval),
    Timeout: duration(p.timeout),
    StartPeriod: duration(p.startPeriod),
    StartInterval: start || undefined,
    Retries: number(p.retries) ?? 0,
  });
}

function mountOf(p: Properties, api: string): object {
  const type = String(p.type);
  const bind = isObject(p.bindOptions) ? p.bindOptions : undefined;
  const volume = isObject(p.volumeOptions) ? p.volumeOptions : undefined;
  const tmpfs = isObject(p.tmpfsOptions) ? p.tmpfsOptions : undefined;
  if (type === "volume" && volume && !(api >= "1.45"))
    throw new Error("Setting VolumeOptions.Subpath requires docker version 1.45 or higher");
  return clean({
    Type: type,
    Target: String(p.target),
    Source: text(p.source),
    ReadOnly: p.readOnly === true,
    BindOptions: type === "bind" && bind ? { Propagation: text(bind.propagation) ?? "" } : undefined,
    VolumeOptions:
      type === "volume" && volume
        ? {
            NoCopy: volume.noCopy === true,
            Labels: labelsToMap(volume.labels),
            DriverConfig: { Name: text(volume.driverName) ?? "", Options: texts(volume.driverOptions) },
            ...(text(volume.subpath) ? { Subpath: text(volume.subpath) } : {}),
          }
        : undefined,
    TmpfsOptions:
      type === "tmpfs" && tmpfs
        ? { SizeBytes: number(tmpfs.sizeBytes) ?? 0, Mode: number(tmpfs.mode) ?? 0 }
        : undefined,
  });
}

function portsOf(p: Properties) {
  const exposed: Record<string, object> = {};
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const { internal, external, ip, protocol } of objects(p.ports)) {
    const key = `${internal}/${protocol ?? "tcp"}`;
    exposed[key] = {};
    // Port 0 is one that Docker chooses.
    bindings[key] = [...(bindings[key] ?? []), { HostIp: String(ip ?? "0.0.0.0"), HostPort: String(external ?? 0) }];
  }
  return Object.keys(exposed).length > 0 ? { exposed, bindings } : { exposed: undefined, bindings: undefined };
}

function volumesOf(p: Properties) {
  const declared: Record<string, object> = {};
  const binds: string[] = [];
  const from: string[] = [];
  for (const { fromContainer, containerPath, hostPath, volumeName, readOnly, selinuxRelabel } of objects(p.volumes)) {
    const what = text(hostPath) ?? text(volumeName);
    if (!text(fromContainer) && !text(containerPath))
      throw new Error("Unable to parse volumes: volume entry without container path or source container");
    if (text(fromContainer) && text(containerPath))
      throw new Error("Unable to parse volumes: both a container and a path specified in a volume entry");
    if (text(fromContainer)) {
      from.push(String(fromContainer));
      continue;
    }
    declared[String(containerPath)] = {};
    const mode = [readOnly === true ? "ro" : "rw", ...(text(selinuxRelabel) ? [selinuxRelabel] : [])].join(",");
    if (what) binds.push(`${what}:${containerPath}:${mode}`);
  }
  return { declared: Object.keys(declared).length > 0 ? declared : undefined, binds, from };
}

/** As Docker's client does it before it asks: with the prefix, once, sorted. */
export function normaliseCapabilities(names: string[]): string[] {
  const full = names.map((name) => {
    const upper = name.toUpperCase();
    return upper === "ALL" || upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  });
  return [...new Set(full)].sort();
}

/** `-1` is no size but a word: without limit. */
function scaled(value: Value | undefined): number | undefined {
  const size = number(value);
  return size === undefined ? undefined : size > 0 ? size * mebibyte : size;
}

export function text(value: Value | undefined): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

export function number(value: Value | undefined): number | undefined {
  return typeof value === "number" && value !== 0 ? value : undefined;
}

function some<T>(items: T[]): T[] | undefined {
  return items.length > 0 ? items : undefined;
}

function atLeast(api: string, wanted: string): boolean {
  const [a = 0, b = 0] = api.split(".").map(Number);
  const [c = 0, d = 0] = wanted.split(".").map(Number);
  return a > c || (a === c && b >= d);
}

// biome-ignore lint/suspicious/noExplicitAny: what is undefined is left out, whatever the rest is
function clean<T extends Record<string, any>>(value: T): any {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined));
}
