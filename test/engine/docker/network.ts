import type Docker from "dockerode";
import type { Properties, Value } from "../values";
import { attempt, type Client, isNotFound, messageOf, type Operations, until } from "./client";
import { text } from "./containerConfig";
import { labelsToMap, mapToLabels, objects, texts } from "./values";

/** How long a network may still be in use, or a volume, while the containers that go as well let go of it. */
export const removalSeconds = 30;

export const networks: Operations = {
  async create(client, inputs, state, keep) {
    const ipam = objects(inputs.ipamConfigs).map(({ subnet, ipRange, gateway, auxAddress }) => ({
      ...(text(subnet) ? { Subnet: String(subnet) } : {}),
      ...(text(ipRange) ? { IPRange: String(ipRange) } : {}),
      ...(text(gateway) ? { Gateway: String(gateway) } : {}),
      ...(Object.keys(texts(auxAddress)).length ? { AuxiliaryAddresses: texts(auxAddress) } : {}),
    }));
    const options = {
      Name: String(inputs.name),
      Labels: labelsToMap(inputs.labels),
      ...(text(inputs.driver) ? { Driver: String(inputs.driver) } : {}),
      ...(inputs.options ? { Options: texts(inputs.options) } : {}),
      Internal: inputs.internal === true,
      Attachable: inputs.attachable === true,
      Ingress: inputs.ingress === true,
      ...(inputs.ipv6 === true ? { EnableIPv6: true } : {}),
      IPAM: {
        Driver: text(inputs.ipamDriver) ?? "default",
        ...(ipam.length > 0 ? { Config: ipam } : {}),
        ...(inputs.ipamOptions ? { Options: texts(inputs.ipamOptions) } : {}),
      },
    } as unknown as Docker.NetworkCreateOptions;
    const created = await attempt("Unable to create network", () => client.docker.createNetwork(options));
    if (!created) throw new Error("Unable to create network");
    keep(created.id);
    const read = await networks.read(client, created.id, state);
    if (!read) throw new Error("the network was gone as soon as it had been made");
    return read.outputs;
  },

  async read(client, id, state) {
    const network = await inspect(client, id);
    return network && { id, outputs: readNetwork(state, network) };
  },

  async update(_client, _id, _old, state) {
    return state;
  },

  async delete(client, id) {
    const remove = async () => {
      if (!(await inspect(client, id))) return true;
      try {
        await client.docker.getNetwork(id).remove();
        return true;
      } catch (error) {
        if (!messageOf(error).includes("has active endpoints")) throw new Error(messageOf(error));
        return undefined;
      }
    };
    await until(
      removalSeconds,
      remove,
      () => "timeout while waiting for state to become 'removed' (last state: 'pending', timeout: 30s)",
    );
  },
};

async function inspect({ docker }: Client, id: string): Promise<Inspected | undefined> {
  try {
    return (await docker.getNetwork(id).inspect()) as Inspected;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw new Error(messageOf(error));
  }
}

interface Inspected {
  readonly Name: string;
  readonly Labels?: Record<string, string>;
  readonly Driver: string;
  readonly Internal: boolean;
  readonly Attachable: boolean;
  readonly Ingress: boolean;
  readonly EnableIPv6: boolean;
  readonly Scope: string;
  readonly Options?: Record<string, string>;
  readonly IPAM: {
    readonly Driver: string;
    readonly Options?: Record<string, string> | null;
    readonly Config?: {
      readonly Subnet?: string;
      readonly IPRange?: string;
      readonly Gateway?: string;
      readonly AuxiliaryAddresses?: Record<string, string>;
    }[];
  };
}

function readNetwork(before: Properties, network: Inspected): Properties {
  const configs: Value[] = (network.IPAM.Config ?? []).map((config) => ({
    auxAddress: config.AuxiliaryAddresses ?? {},
    gateway: config.Gateway ?? "",
    ipRange: config.IPRange ?? "",
    subnet: config.Subnet ?? "",
  }));
  return {
    ...before,
    name: network.Name,
    labels: mapToLabels(network.Labels),
    driver: network.Driver,
    internal: network.Internal,
    attachable: network.Attachable,
    ingress: network.Ingress,
    ipv6: network.EnableIPv6,
    ipamDriver: network.IPAM.Driver,
    ipamOptions: network.IPAM.Options ?? {},
    scope: network.Scope,
    options: network.Options ?? {},
    ipamConfigs: configs,
  };
}
