import * as fs from "node:fs";
import * as path from "node:path";
import { setTimeout } from "node:timers/promises";
import type { CompletingRunner } from "../../../../components/cluster/shim";
import { deriveToken, hasUnknown, same } from "../../../../components/cluster/values";
import { upgradeProblem } from "../../../../components/config";
import { busProblem } from "../../../../components/config/bus";
import { startApart } from "../../../../components/formation/runner/apart";
import { noteAccess, noteRevive } from "../../../../components/formation/runner/knowledge";
import { sayWhyItRolls } from "../../../../components/formation/runner/rollText";
import { say } from "../../../../components/formation/runner/say";
import type { Access } from "../../../../components/formation/wire";
import { renamed } from "../../../../components/spec/renamed";
import { fingerprint, keepConfigFile, writeConfigFile, writeTlsFiles } from "./configFile";
import { PortTaken, systemFailure } from "./failures";
import {
  FILES,
  readFormerPlace,
  readInstanceRecord,
  readVolumeRecord,
  removeInstanceRecord,
  resolveVolume,
  writeFormerPlace,
  writeInstanceRecord,
} from "./folder";
import { hasData, isBlank, letReplicaLead } from "./lastCopy";
import { choosePlace, NoPort, type Place } from "./place";
import { portProblem } from "./ports";
import { startDead } from "./revive";
import { comesToListen, recordOf, serverOf, startServer, stopServer, whileStopping } from "./server";
import { type NodeDeclaration, type NodeInputs, type NodeOutputs, PORT_STRIDE } from "./types";

type Runner = CompletingRunner<NodeDeclaration, NodeInputs, NodeOutputs>;

/** What a process is made of: a change of any of these replaces it, in place and one node at a time. */
function rolledBy(olds: Partial<NodeInputs>, news: Omit<NodeInputs, "instance">): string[] {
  const changed: string[] = [];
  const compare = (name: string, old: unknown, now: unknown) => {
    if (!hasUnknown(now) && !hasUnknown(old) && !same(old, now)) changed.push(name);
  };
  compare("boot", olds.boot, news.boot);
  compare("engine", olds.engine, news.engine);
  compare("address", olds.address, news.address);
  compare("port", olds.port, news.port);
  compare("volume", olds.volume?.path, news.volume.path);
  return changed;
}

/** Nodes that this process plans: an engine also asks for a diff while it refreshes, which is not the plan yet. */
const planned = new Set<string>();

/** A redis-server process on this machine. Its data are another resource, so that it can be replaced without losing them. */
export const LocalNode: Runner = {
  async check(olds, news) {
    planned.add(news.name);
    const { hints, ...declared } = news;
    // Nothing to decide yet; asked again with real values.
    if (hasUnknown(hints) || hasUnknown(news.volume.path) || hasUnknown(news.zone))
      return { inputs: news as unknown as NodeInputs, failures: [] };
    const downgrade = olds.engine && upgradeProblem(olds.engine, news.engine);
    if (downgrade)
      return {
        inputs: news as unknown as NodeInputs,
        failures: [{ property: "engine", reason: `${news.name}: ${downgrade}` }],
      };
    // Here too, since a node changes before formation is asked.
    const name = renamed(olds.cluster, news.cluster);
    if (name) return { inputs: news as unknown as NodeInputs, failures: [{ property: "cluster", reason: name }] };
    const bus = olds.instance === undefined ? undefined : busProblem(news.cluster, olds.tls, news.tls);
    if (bus) return { inputs: news as unknown as NodeInputs, failures: [{ property: "tls", reason: bus }] };
    const folder = resolveVolume(news.volume.path);
    const access = accessOf(news);
    // The guard of a machine that rolls is deleted before any guard is checked, and knows what was declared last time only.
    if (access) noteAccess(news.cluster, access);
    noteRevive(news.cluster, () => startDead(path.dirname(folder), news.serverPath, access));
    const record = readInstanceRecord(folder);
    // Where a new node had to take other ports than it was given, its record alone tells them to the next run.
    const had =
      record && record.instance === olds.instance ? { ...olds, address: record.address, port: record.port } : olds;
    let place: Place;
    try {
      const interrupted =
        record && record.zone === news.zone
          ? { ...record, portBase: hints.fixedPorts ? hints.firstPort : 0 }
          : undefined;
      place = await choosePlace(
        folder,
        news.zone,
        hints,
        olds.instance === undefined ? interrupted : sameZone(olds, news) ? had : undefined,
        olds.instance === undefined ? readFormerPlace(folder) : undefined,
      );
    } catch (error) {
      if (!(error instanceof NoPort)) throw error;
      return {
        inputs: news as unknown as NodeInputs,
        failures: [{ property: "port", reason: `${news.name}: ${error.message}` }],
      };
    }
    const placed = { ...declared, ...place };
    const instance =
      olds.instance === undefined
        ? deriveToken(news.volume.path, record?.instance)
        : rolledBy(had, placed).length > 0
          ? deriveToken(olds.instance, rollingParts(placed))
          : olds.instance;
    return { inputs: { ...placed, instance }, failures: [] };
  },

  async diff(_id, olds, news) {
    const replaces = rolledBy(olds, news);
    if (planned.has(news.name)) sayWhyItRolls(olds, news, replaces);
    // Another binary of the same version, as after moving the checkout, is noted and used at the next start: not worth one.
    const files = (tls: NodeInputs["tls"]) => Object.keys(tls?.files ?? {});
    const noted =
      (!hasUnknown(news.tls) && !same(files(olds.tls), files(news.tls))) ||
      !same([olds.serverPath, olds.instance], [news.serverPath, news.instance]) ||
      (!hasUnknown(news.volume) && !same(olds.volume, news.volume));
    return { changes: replaces.length > 0 || noted || !olds.running, replaces, deleteBeforeReplace: true };
  },

  async create(inputs) {
    let node = inputs;
    for (;;) {
      try {
        await ensureRunning(node, "new");
        return { id: `${node.name}-${node.instance}`, outs: { ...node, running: true } };
      } catch (error) {
        if (!(error instanceof PortTaken)) throw error;
        node = await withOtherPorts(node, error);
      }
    }
  },

  async read(id, props) {
    const folder = resolveVolume(props.volume.path);
    const server = serverOf(folder);
    if (server && lostUnder(folder))
      say(props.name, "data folder was removed while the server runs: its keys are in memory only", {
        pid: server.pid,
        folder,
      });
    const running = readInstanceRecord(folder)?.instance === props.instance && server !== undefined;
    return { id, props: { ...props, running } };
  },

  async update(_id, _olds, news) {
    const folder = resolveVolume(news.volume.path);
    if (news.tls && readVolumeRecord(folder)) writeTlsFiles(folder, news.tls);
    await ensureRunning(news, "kept");
    return { outs: { ...news, running: true } };
  },

  async delete(_id, props) {
    const folder = resolveVolume(props.volume.path);
    const record = readInstanceRecord(folder);
    const server = serverOf(folder);
    if (!fs.existsSync(folder)) {
      // Nothing is left to save into.
      if (server) await stopServer(props.name, server, 0);
      return;
    }
    // A successor has taken the folder over (or someone else uses it): what runs there now is not ours to end.
    const successor = record
      ? record.instance !== props.instance
      : readVolumeRecord(folder)?.token !== props.volume.token;
    if (successor) {
      if (server) say(props.name, "server left alone, it belongs to another instance", { pid: server.pid });
      return;
    }
    // Where its folder was removed under it, it cannot save, and would not end by itself.
    await whileStopping(folder, async () => {
      if (server) await stopServer(props.name, server, lostUnder(folder) ? 0 : undefined);
      removeInstanceRecord(folder);
      writeFormerPlace(folder, record ?? props);
    });
  },
};

/** How this platform itself speaks to the cluster's nodes. */
function accessOf({ login, tls }: Pick<NodeDeclaration, "login" | "tls">): Access | undefined {
  return [login, tls].find((each) => each !== undefined && !hasUnknown(each))?.access;
}

function sameZone(olds: Partial<NodeInputs>, news: NodeDeclaration): boolean {
  return olds.zone === news.zone;
}

function rollingParts(node: Omit<NodeInputs, "instance">): unknown {
  return [node.boot, node.engine, node.address, node.port, node.volume.path];
}

/**
 * Brings the node's server up, from wherever the last run got to: it may run already (a run was killed before it could
 * say so), run with settings that were given up, or be gone.
 *
 * @param file `new`: write redis.conf anew. `kept`: CONFIG REWRITE has put live settings into it, so use it as it is.
 */
async function ensureRunning(node: NodeInputs, file: "new" | "kept"): Promise<void> {
  const folder = resolveVolume(node.volume.path);
  requireVolume(folder, node);
  if (await adopt(folder, node)) return;
  const config = path.join(folder, FILES.config);
  const context = {
    node: node.name,
    folder,
    address: node.address,
    server: node.serverPath,
    log: path.join(folder, FILES.log),
  };
  await letReplicaLead(folder, node, accessOf(node));
  try {
    const problem = await lastingPortProblem(node);
    if (problem) throw new PortTaken(node.name, problem);
    if (file === "new" || !fs.existsSync(config)) writeConfigFile(folder, node);
    else keepConfigFile(folder, node);
    const { name, serverPath } = node;
    await startApart(node.cluster, () => startServer(folder, { name, serverPath, record: recordOf(node) }));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code) throw systemFailure(context, error);
    // A run that was thought dead may have started the same server meanwhile, and won.
    if (await adopt(folder, node)) return;
    throw error;
  }
}

/**
 * Other ports for a new node whose own were taken between choice and start, as by another stack that chose at the same moment.
 * @throws PortTaken where the node has to have these: known to others, asked for by the user, or no others free
 */
async function withOtherPorts(node: NodeInputs, taken: PortTaken): Promise<NodeInputs> {
  const { name, zone, address, port } = node;
  const folder = resolveVolume(node.volume.path);
  if (!isBlank(folder, node) || serverOf(folder)) throw taken;
  // What is not written down is chosen anew by the next run, whatever becomes of this one.
  removeInstanceRecord(folder);
  if (node.portBase !== 0) throw taken.withRemedy("free it, or choose another `port`, then run `up` again");
  const hints = { address, addressPerZone: false, firstPort: port + PORT_STRIDE, fixedPorts: false, offset: 0 };
  try {
    const place = await choosePlace(folder, zone, hints, { address });
    say(name, "ports were taken since they were chosen, so it gets others", { taken: port, now: place.port });
    return { ...node, ...place };
  } catch (error) {
    if (!(error instanceof NoPort)) throw error;
    throw taken.withRemedy(`there is ${error.message}, or free that one, then run \`up\` again`);
  }
}

const PORT_PATIENCE_MILLISECONDS = 2_000;

/** A server that was just killed looks gone before its last thread has let go of its port: that passes, another's use does not. */
async function lastingPortProblem({ address, port }: NodeInputs): Promise<string | undefined> {
  const until = Date.now() + PORT_PATIENCE_MILLISECONDS;
  for (;;) {
    const problem = await portProblem(address, port);
    if (!problem || Date.now() >= until) return problem;
    await setTimeout(50);
  }
}

/** Was the folder removed under its server? A server that runs has written nodes.conf, and its record is there before it is. */
function lostUnder(folder: string): boolean {
  return (
    !fs.existsSync(path.join(folder, "nodes.conf")) && !hasData(folder) && readInstanceRecord(folder) === undefined
  );
}

/** Takes over the server that runs on the node's data, if it is what is wanted; ends it if it is not. */
async function adopt(folder: string, node: NodeInputs): Promise<boolean> {
  const server = serverOf(folder);
  if (!server) return false;
  if (lostUnder(folder)) {
    throw new Error(
      `${node.name}: its data folder ${folder} was removed while its server (pid ${server.pid}) runs, so its keys are in memory only; it was left alone. Where its shard has another node in sync (see \`redis-cluster status\`), \`kill -9 ${server.pid}\` and run \`up\` again: the other one leads, and this one follows it. Else copy its keys first`,
    );
  }
  if (readInstanceRecord(folder)?.fingerprint === fingerprint(node)) {
    if (!(await comesToListen(node, server))) return false;
    writeInstanceRecord(folder, recordOf(node, server));
    return true;
  }
  say(node.name, "ending a server that an interrupted run left on this node's data", { pid: server.pid });
  await stopServer(node.name, server);
  return false;
}

function requireVolume(folder: string, node: NodeInputs): void {
  const volume = readVolumeRecord(folder);
  if (!volume)
    throw new Error(
      `${node.name} did not start: its data folder ${folder} is missing; run \`pulumi refresh\`, then \`pulumi up\` to make it again`,
    );
  if (volume.token !== node.volume.token)
    throw new Error(
      `${node.name} did not start: ${folder} belongs to another volume (${volume.owner}); set \`directory\` to another folder`,
    );
}
