import type { types } from "@pulumi/docker";
import type { BoolRule, MapRule, NumberRule, RulesOf, TextRule } from "../schema";

const text = { kind: "string" } as const satisfies TextRule;
const number = { kind: "number" } as const satisfies NumberRule;
const flag = { kind: "boolean" } as const satisfies BoolRule;
const map = { kind: "map" } as const satisfies MapRule;
const texts = { kind: "set", of: text } as const;
const duration = { kind: "string", default: "0s", must: "duration" } as const satisfies TextRule;

export const label = {
  kind: "block",
  of: { label: { ...text, required: true }, value: { ...text, required: true } } satisfies RulesOf<
    types.input.ContainerLabel & types.input.NetworkLabel & types.input.VolumeLabel
  >,
} as const;

export const capabilities = {
  kind: "block",
  inSet: true,
  of: { adds: texts, drops: texts } satisfies RulesOf<types.input.ContainerCapabilities>,
} as const;

export const healthcheck = {
  kind: "block",
  of: {
    interval: duration,
    retries: { ...number, default: 0, min: 0 },
    startInterval: duration,
    startPeriod: duration,
    tests: { kind: "list", of: text },
    timeout: duration,
  } satisfies RulesOf<types.input.ContainerHealthcheck>,
} as const;

export const mount = {
  kind: "block",
  of: {
    bindOptions: {
      kind: "block",
      of: { propagation: { ...text, must: /^(private|rprivate|shared|rshared|slave|rslave)$/ } },
    },
    readOnly: flag,
    source: text,
    target: { ...text, required: true },
    tmpfsOptions: { kind: "block", of: { mode: number, sizeBytes: number } },
    type: { ...text, required: true, must: /^(bind|volume|tmpfs)$/ },
    volumeOptions: {
      kind: "block",
      of: {
        driverName: text,
        driverOptions: map,
        labels: { kind: "set", of: label },
        noCopy: flag,
        subpath: text,
      },
    },
  } satisfies RulesOf<types.input.ContainerMount>,
} as const;

export const networkAdvanced = {
  kind: "block",
  of: {
    aliases: texts,
    driverOpts: texts,
    gwPriority: { ...number, min: 0 },
    ipv4Address: text,
    ipv6Address: text,
    linkLocalIps: texts,
    macAddress: text,
    name: { ...text, required: true },
  } satisfies RulesOf<types.input.ContainerNetworksAdvanced>,
} as const;

export const port = {
  kind: "block",
  of: {
    external: { ...number, computed: true },
    internal: { ...number, required: true },
    ip: { ...text, default: "0.0.0.0" },
    protocol: { ...text, default: "tcp" },
  } satisfies RulesOf<types.input.ContainerPort>,
} as const;

export const ulimit = {
  kind: "block",
  of: {
    hard: { ...number, required: true },
    name: { ...text, required: true },
    soft: { ...number, required: true },
  } satisfies RulesOf<types.input.ContainerUlimit>,
} as const;

export const upload = {
  kind: "block",
  of: {
    content: text,
    contentBase64: { ...text, must: "base64" },
    executable: { ...flag, default: false },
    file: { ...text, required: true },
    // The provider looks names up in the databases of the machine that it runs on; here they are numbers only.
    group: { ...text, must: /^\d+$/ },
    owner: { ...text, must: /^\d+$/ },
    permissions: { ...text, must: /^0[0-7]{3}$/ },
    source: text,
    sourceHash: text,
  } satisfies RulesOf<types.input.ContainerUpload>,
} as const;

export const volume = {
  kind: "block",
  of: {
    containerPath: text,
    fromContainer: text,
    hostPath: { ...text, must: "absolutePath" },
    readOnly: flag,
    selinuxRelabel: { ...text, must: /^(z|Z)$/ },
    volumeName: text,
  } satisfies RulesOf<types.input.ContainerVolume>,
} as const;

export const ipamConfig = {
  kind: "block",
  of: { auxAddress: map, gateway: text, ipRange: text, subnet: text } satisfies RulesOf<types.input.NetworkIpamConfig>,
} as const;

const refusedText = { ...text, refused: true } as const;

/** Volumes of a swarm; none of it is carried out. */
export const cluster = {
  kind: "block",
  refused: true,
  of: {
    availability: refusedText,
    group: refusedText,
    id: refusedText,
    limitBytes: refusedText,
    requiredBytes: refusedText,
    scope: refusedText,
    sharing: refusedText,
    topologyPreferred: refusedText,
    topologyRequired: refusedText,
    type: refusedText,
  } satisfies RulesOf<types.input.VolumeCluster>,
} as const;
