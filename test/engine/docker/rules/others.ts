import type * as docker from "@pulumi/docker";
import type { BoolRule, Fields, MapRule, ResourceRules, Rule, RulesOf, TextRule } from "../schema";
import { cluster, ipamConfig, label } from "./blocks";

const forceNew = true;
const computed = true;
const refused = true as const;

const text = { kind: "string" } as const satisfies TextRule;
const flag = { kind: "boolean" } as const satisfies BoolRule;
const map = { kind: "map" } as const satisfies MapRule;
const name = { ...text, autonamed: true, forceNew } as const satisfies TextRule;

/** Nothing of a network is updated in place. */
export const network: ResourceRules = {
  deleteBeforeReplace: false,
  schemaVersion: 1,
  outputs: ["scope"],
  fields: {
    attachable: { ...flag, forceNew },
    driver: { ...text, forceNew, computed },
    ingress: { ...flag, forceNew },
    internal: { ...flag, forceNew, computed },
    ipamConfigs: { kind: "set", of: ipamConfig, forceNew, computed },
    ipamDriver: { ...text, default: "default", forceNew },
    ipamOptions: { ...map, forceNew },
    ipv6: { ...flag, forceNew },
    labels: { kind: "set", of: label, forceNew },
    name,
    options: { ...map, forceNew, computed },
  } satisfies RulesOf<docker.NetworkArgs>,
};

export const volume: ResourceRules = {
  deleteBeforeReplace: false,
  schemaVersion: 1,
  outputs: ["mountpoint"],
  fields: {
    cluster,
    driver: { ...text, forceNew, computed },
    driverOpts: { ...map, forceNew },
    labels: { kind: "set", of: label, forceNew },
    name: { ...name, computed },
  } satisfies RulesOf<docker.VolumeArgs>,
};

/** `build` is a language of its own: the double refuses it as a whole, and looks no further. */
type ImageArgs = Omit<docker.RemoteImageArgs, "build"> & { build?: string };

export const remoteImage: ResourceRules = {
  deleteBeforeReplace: false,
  outputs: ["imageId", "repoDigest"],
  fields: {
    build: { ...text, refused },
    forceRemove: flag,
    keepLocally: flag,
    name: { ...text, required: true, forceNew },
    platform: { ...text, default: "", forceNew, refused },
    pullTriggers: { kind: "set", of: text, forceNew },
    triggers: { ...map, forceNew },
  } satisfies RulesOf<ImageArgs> & Record<keyof docker.RemoteImageArgs, unknown>,
};

/** Of the provider itself. What authenticates against a registry or a distant daemon is for real deployments. */
export const provider: Fields = {
  caMaterial: { ...text, refused },
  certMaterial: { ...text, refused },
  certPath: { ...text, refused },
  context: { ...text, refused },
  disableDockerDaemonCheck: { ...flag, default: false },
  host: text,
  keyMaterial: { ...text, refused },
  registryAuth: { kind: "set", of: text, refused },
  sshOpts: { kind: "set", of: text, refused },
} satisfies Record<keyof docker.ProviderArgs, Rule>;
