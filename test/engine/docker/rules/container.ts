import type * as docker from "@pulumi/docker";
import type { BoolRule, ListRule, MapRule, NumberRule, ResourceRules, RulesOf, TextRule } from "../schema";
import { capabilities, healthcheck, label, mount, networkAdvanced, port, ulimit, upload, volume } from "./blocks";

const forceNew = true;
const computed = true;
const refused = true;

const text = { kind: "string" } as const satisfies TextRule;
const number = { kind: "number", min: 0 } as const satisfies NumberRule;
const flag = { kind: "boolean" } as const satisfies BoolRule;
const map = { kind: "map" } as const satisfies MapRule;
const texts = { kind: "set", of: text } as const satisfies ListRule;

const anyRate = {
  kind: "set",
  refused,
  of: { kind: "block", of: { path: { ...text, required: true }, rate: { ...number, required: true } } },
} as const;

/** What has no `forceNew` here is updated in place, and that includes properties of which Docker can change nothing. */
export const container: ResourceRules = {
  deleteBeforeReplace: true,
  schemaVersion: 2,
  outputs: ["bridge", "containerLogs", "exitCode", "networkDatas"],
  fields: {
    attach: { ...flag, default: false },
    capabilities: { ...capabilities, forceNew },
    cgroupParent: { ...text, forceNew },
    cgroupnsMode: { ...text, forceNew },
    command: { kind: "list", of: text, forceNew, computed },
    containerReadRefreshTimeoutMilliseconds: { kind: "number", default: 15000 },
    cpuPeriod: number,
    cpuQuota: number,
    cpuSet: { ...text, must: /^\d+([,-]\d+)*$/ },
    cpuShares: number,
    cpus: { ...text, forceNew },
    destroyGraceSeconds: { kind: "number" },
    deviceCgroupRules: { ...texts, refused },
    deviceReadBps: anyRate,
    deviceReadIops: anyRate,
    deviceRequests: {
      kind: "set",
      forceNew,
      refused,
      of: {
        kind: "block",
        of: {
          capabilities: texts,
          count: { kind: "number", default: 0 },
          deviceIds: texts,
          driver: { ...text, default: "cdi" },
          options: map,
        },
      },
    },
    deviceWriteBps: anyRate,
    deviceWriteIops: anyRate,
    devices: {
      kind: "set",
      forceNew,
      refused,
      of: {
        kind: "block",
        of: { containerPath: text, hostPath: { ...text, required: true }, permissions: { ...text, default: "rwm" } },
      },
    },
    dns: { ...texts, forceNew },
    dnsOpts: { ...texts, forceNew },
    dnsSearches: { ...texts, forceNew },
    domainname: { ...text, forceNew },
    entrypoints: { kind: "list", of: text, forceNew, computed },
    envs: { ...texts, forceNew, computed },
    gpus: { ...text, forceNew, refused },
    groupAdds: { ...texts, forceNew },
    healthcheck: { ...healthcheck, computed },
    hostname: { ...text, forceNew, computed },
    hosts: {
      kind: "set",
      forceNew,
      of: { kind: "block", of: { host: { ...text, required: true }, ip: { ...text, required: true } } },
    },
    image: { ...text, required: true, forceNew },
    init: { ...flag, computed },
    ipcMode: { ...text, forceNew, computed },
    labels: { kind: "set", of: label, forceNew, computed },
    logDriver: { ...text, forceNew, computed },
    logOpts: { ...map, forceNew },
    logs: { ...flag, default: false },
    maxRetryCount: { kind: "number" },
    memory: number,
    memoryReservation: { ...number, default: 0 },
    memorySwap: { kind: "number", min: -1 },
    mounts: { kind: "set", of: mount, forceNew },
    mustRun: { ...flag, default: true },
    name: { ...text, autonamed: true, forceNew },
    networkMode: { ...text, default: "bridge", forceNew },
    networksAdvanced: { kind: "set", of: networkAdvanced, forceNew },
    pidMode: { ...text, forceNew },
    platform: { ...text, forceNew, computed, refused },
    ports: { kind: "list", of: port, forceNew },
    privileged: { ...flag, forceNew },
    publishAllPorts: { ...flag, forceNew },
    readOnly: { ...flag, default: false, forceNew },
    removeVolumes: { ...flag, default: true },
    restart: { ...text, default: "no", must: /^(no|on-failure|always|unless-stopped)$/ },
    rm: { ...flag, default: false },
    runtime: { ...text, forceNew, computed },
    securityOpts: { ...texts, forceNew, computed },
    shmSize: { ...number, forceNew, computed },
    start: { ...flag, default: true },
    stdinOpen: { ...flag, default: false, forceNew },
    stopSignal: { ...text, forceNew, computed },
    stopTimeout: { kind: "number", forceNew, computed },
    storageOpts: { ...map, forceNew },
    sysctls: { ...map, forceNew },
    tmpfs: map,
    tty: { ...flag, default: false, forceNew },
    ulimits: { kind: "set", of: ulimit, forceNew },
    uploads: { kind: "set", of: upload, forceNew },
    user: { ...text, forceNew, emptyKeeps: true },
    usernsMode: { ...text, forceNew },
    volumes: { kind: "set", of: volume, forceNew },
    wait: { ...flag, default: false },
    waitTimeout: { kind: "number", default: 60 },
    workingDir: { ...text, forceNew, emptyKeeps: true },
  } satisfies RulesOf<docker.ContainerArgs>,
};
