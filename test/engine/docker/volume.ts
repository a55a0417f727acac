import type Docker from "dockerode";
import type { Properties } from "../values";
import { attempt, isNotFound, messageOf, type Operations, until } from "./client";
import { text } from "./containerConfig";
import { removalSeconds } from "./network";
import { labelsToMap, mapToLabels, texts } from "./values";

export const volumes: Operations = {
  /** One of the name that is there already is taken over as it is: Docker answers as if it had made it. */
  async create(client, inputs, state, keep) {
    const options: Docker.VolumeCreateOptions = {
      Name: String(inputs.name),
      Labels: labelsToMap(inputs.labels),
      ...(text(inputs.driver) ? { Driver: String(inputs.driver) } : {}),
      DriverOpts: texts(inputs.driverOpts),
    };
    const created = await attempt("Unable to create volume", () => client.docker.createVolume(options));
    if (!created) throw new Error("Unable to create volume");
    keep(created.name);
    const read = await volumes.read(client, created.name, state);
    if (!read) throw new Error("the volume was gone as soon as it had been made");
    return read.outputs;
  },

  async read({ docker }, id, state) {
    try {
      return { id, outputs: readVolume(state, await docker.getVolume(id).inspect()) };
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw new Error(`Unable to inspect volume: ${messageOf(error)}`);
    }
  },

  async update(_client, _id, _old, state) {
    return state;
  },

  async delete({ docker }, id) {
    const remove = async () => {
      try {
        await docker.getVolume(id).remove({ force: true });
        return true;
      } catch (error) {
        if (!messageOf(error).includes("volume is in use")) throw new Error(messageOf(error));
        return undefined;
      }
    };
    await until(
      removalSeconds,
      remove,
      () => "timeout while waiting for state to become 'removed' (last state: 'in_use', timeout: 30s)",
    );
  },
};

function readVolume(before: Properties, volume: Docker.VolumeInspectInfo): Properties {
  return {
    ...before,
    name: volume.Name,
    labels: mapToLabels(volume.Labels),
    driver: volume.Driver,
    driverOpts: (volume.Options as Record<string, string> | null) ?? {},
    mountpoint: volume.Mountpoint,
  };
}
