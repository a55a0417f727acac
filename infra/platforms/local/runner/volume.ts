import * as fs from "node:fs";
import * as path from "node:path";
import type { CompletingRunner } from "../../../../components/cluster/shim";
import { deriveToken, hasUnknown, same } from "../../../../components/cluster/values";
import { say } from "../../../../components/formation/runner/say";
import { renamed } from "../../../../components/spec/renamed";
import { readVolumeRecord, resolveVolume, writeVolumeRecord } from "./folder";
import { serverOf, stopServer } from "./server";
import type { VolumeDeclaration, VolumeInputs, VolumeOutputs } from "./types";

type Runner = CompletingRunner<VolumeDeclaration, VolumeInputs, VolumeOutputs>;

function movedBy(olds: Partial<VolumeInputs>, news: VolumeDeclaration): string[] {
  return (["path", "owner"] as const).filter((name) => !hasUnknown(news[name]) && olds[name] !== news[name]);
}

const clusterOf = (owner: string) => owner.split("/").at(-2) ?? "";

/** A node's data folder. It outlives the processes that run on it. */
export const LocalVolume: Runner = {
  async check(olds, news) {
    if (hasUnknown(news)) return { inputs: news as VolumeInputs, failures: [] };
    // The first of a cluster's resources, so that nothing was touched before this is said.
    const name = renamed(olds.owner && clusterOf(olds.owner), clusterOf(news.owner));
    if (name) return { inputs: news as VolumeInputs, failures: [{ property: "owner", reason: name }] };
    const kept = olds.token !== undefined && movedBy(olds, news).length === 0;
    const token = kept
      ? (olds.token ?? "")
      : deriveToken(news.path, olds.token, readVolumeRecord(resolveVolume(news.path))?.token);
    return { inputs: { ...news, token }, failures: [] };
  },

  async diff(_id, olds, news) {
    const replaces = movedBy(olds, news);
    const updated = olds.dataOnDestroy !== news.dataOnDestroy || !olds.present;
    return { changes: replaces.length > 0 || updated || !same(olds.token, news.token), replaces };
  },

  async create(inputs) {
    takeFolder(inputs);
    return { id: `${inputs.owner}-${inputs.token}`, outs: { ...inputs, present: true } };
  },

  async read(id, props) {
    return { id, props: { ...props, present: readVolumeRecord(resolveVolume(props.path))?.token === props.token } };
  },

  async update(_id, _olds, news) {
    takeFolder(news);
    return { outs: { ...news, present: true } };
  },

  async delete(_id, props) {
    const folder = resolveVolume(props.path);
    const record = readVolumeRecord(folder);
    if (!record) return;
    const name = path.basename(folder);
    if (record.token !== props.token) {
      say(name, "data folder left alone, it belongs to another volume", { folder });
      return;
    }
    // The node's own resource is deleted before; a server is left only where a run was killed before it said so.
    const server = serverOf(folder);
    if (server) await stopServer(name, server);
    if (props.dataOnDestroy !== "delete") {
      say(name, "data kept", { folder });
      return;
    }
    fs.rmSync(folder, { recursive: true, force: true });
    // The cluster's folder and the stack's go with their last node.
    for (const parent of [path.dirname(folder), path.dirname(path.dirname(folder))]) {
      try {
        fs.rmdirSync(parent);
      } catch {
        break;
      }
    }
  },
};

/** Makes the folder, or takes over the one that this node had: data that were kept when a cluster was destroyed serve its successor. */
function takeFolder(volume: VolumeInputs): void {
  const folder = resolveVolume(volume.path);
  const { owner, token } = volume;
  try {
    const record = readVolumeRecord(folder);
    if (record && record.owner !== owner) {
      throw new Error(
        `the folder ${folder} belongs to ${record.owner}, not to ${owner}; set \`directory\` to another folder`,
      );
    }
    if (!record && fs.existsSync(folder) && fs.readdirSync(folder).length > 0) {
      throw new Error(
        `the folder ${folder} holds files that this program did not make; move them away, or set \`directory\` to another folder`,
      );
    }
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeVolumeRecord(folder, { owner, token });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOSPC" || code === "EDQUOT")
      throw new Error(
        `no space left on the disk that holds ${folder}; free some, or set \`directory\` to a folder on another disk`,
      );
    if (code === "ENOTDIR" || code === "EEXIST")
      throw new Error(`${folder} cannot be a folder: ${message}; set \`directory\` to another one`);
    if (code === "EACCES" || code === "EPERM" || code === "EROFS")
      throw new Error(`${message}; this user must be able to write there, or set \`directory\` to a folder of its own`);
    throw error;
  }
}
