import { setTimeout as delay } from "node:timers/promises";
import type Docker from "dockerode";
import { Reach } from "../../../../components/access/reach";
import {
  type FileChanges,
  filesOfNewServer,
  filesOfReturningServer,
  NODE_FILES,
  type NodeFolder,
} from "../../../../components/cluster/nodeFiles";
import type { CompletingRunner } from "../../../../components/cluster/shim";
import { deriveToken, hasUnknown, same } from "../../../../components/cluster/values";
import { upgradeProblem } from "../../../../components/config";
import { busProblem } from "../../../../components/config/bus";
import type { Directive } from "../../../../components/config/types";
import { parseVersion } from "../../../../components/config/versions";
import { startApart } from "../../../../components/formation/runner/apart";
import { EngineWatch, leaveIfOrphaned } from "../../../../components/formation/runner/engineWatch";
import { noteAccess, noteRevive } from "../../../../components/formation/runner/knowledge";
import { sayWhyItRolls } from "../../../../components/formation/runner/rollText";
import type { Access } from "../../../../components/formation/wire";
import { renamed } from "../../../../components/spec/renamed";
import { lastLines, removeOthers, startContainer, stateOf, stopContainer, versionOf } from "./container";
import { answered, NoDaemon, orGone } from "./daemon";
import { changeFolder, readFolder } from "./files";
import { HEALTH_FILES, healthLogins, healthScript } from "./health";
import { letReplicaLead } from "./lastCopy";
import { noteStarted, noteStopping, startDead } from "./revive";
import { DATA_FOLDER, LABELS, type NodeDeclaration, type NodeInputs, type NodeOutputs } from "./types";

type Runner = CompletingRunner<NodeDeclaration, NodeInputs, NodeOutputs>;

/** What a server is made of: a change of any of these replaces it, in place and one node at a time. */
const ROLLING = ["boot", "engine", "endpoint", "volume", "containerId"] as const;

/**
 * @param gone its container is there no more: another one in its place is no roll, since there is nothing to take leave from
 * @returns names of what differs; what is not known yet is of a container about to be replaced
 */
function rolledBy(olds: Partial<NodeInputs>, news: NodeDeclaration, gone: boolean): string[] {
  return ROLLING.filter((name) => {
    if (name === "containerId") return !gone && (hasUnknown(news.containerId) || olds.containerId !== news.containerId);
    // Names and plain ports are for formation to set on a server that runs.
    const [was, is] = name === "endpoint" ? [placeOf(olds), placeOf(news)] : [olds[name], news[name]];
    return !hasUnknown(is) && !same(was, is);
  });
}

function placeOf({ endpoint }: Partial<NodeDeclaration>): unknown {
  return endpoint && [endpoint.address, endpoint.port, endpoint.busPort];
}

/** Nodes that this process plans: an engine also asks for a diff while it refreshes, which is not the plan yet. */
const planned = new Set<string>();

/** The server in a container: its files, and that it runs. The container is made by Docker's own provider and never started by it. */
export const DockerNode: Runner = {
  async check(olds, news) {
    planned.add(news.name);
    const undecided = { inputs: news as NodeInputs, failures: [] };
    const fail = (property: string, reason: string) => ({ ...undecided, failures: [{ property, reason }] });
    const downgrade = olds.engine && upgradeProblem(olds.engine, news.engine);
    if (downgrade) return fail("engine", `${news.name}: ${downgrade}`);
    // Here too, since a node changes before formation is asked.
    const name = renamed(olds.cluster, news.cluster);
    if (name) return fail("cluster", name);
    const bus = olds.instance === undefined ? undefined : busProblem(news.cluster, olds.tls, news.tls);
    if (bus) return fail("tls", bus);
    const access = accessOf(news);
    // The guard of a machine that rolls is deleted before any guard is checked, and knows what was declared last time only.
    if (access) noteAccess(news.cluster, access);
    const { owner, dockerHost, endpoint } = news;
    // Containers come back by themselves where that is safe; where it is not, and after they were stopped, a roll may need them.
    if (!hasUnknown(endpoint))
      noteRevive(news.cluster, () =>
        answered(dockerHost, (docker) => startDead(docker, news.cluster, owner, endpoint, access)),
      );
    if (olds.instance !== undefined && rolledBy(olds, news, await isGone(olds)).length === 0)
      return { inputs: { ...news, instance: olds.instance }, failures: [] };
    if ([news.containerId, news.endpoint, news.boot].some(hasUnknown)) return undecided;
    return {
      inputs: { ...news, instance: deriveToken(news.owner, news.name, ...ROLLING.map((part) => news[part])) },
      failures: [],
    };
  },

  async diff(_id, olds, news) {
    const replaces = rolledBy(olds, news, olds.state === "gone" || (await isGone(olds)));
    if (planned.has(news.name)) sayWhyItRolls(olds, news, replaces);
    const changes =
      replaces.length > 0 ||
      olds.state !== "running" ||
      !same([olds.containerId, olds.image], [news.containerId, news.image]) ||
      !same(besides(olds), besides(news));
    return { changes, replaces, deleteBeforeReplace: true };
  },

  async create(inputs) {
    await answered(inputs.dockerHost, (docker) => ensureRunning(docker, inputs, "new"));
    return { id: `${inputs.name}-${inputs.instance}`, outs: { ...inputs, state: "running" } };
  },

  async read(id, props) {
    const state = await answered(props.dockerHost, (docker) => stateOf(docker, props.containerId));
    return { id, props: { ...props, state } };
  },

  async update(_id, _olds, news) {
    await answered(news.dockerHost, (docker) => ensureRunning(docker, news, "kept"));
    return { outs: { ...news, state: "running" } };
  },

  async delete(_id, props) {
    await answered(props.dockerHost, async (docker) => {
      noteStopping(props.containerId);
      if ((await stateOf(docker, props.containerId)) === "gone") return;
      await stopContainer(docker, props.name, props.containerId);
    });
  },
};

/** Of the files beside redis.conf: what they are made of. */
function besides({ tls, login }: NodeDeclaration): unknown {
  return [Object.keys(tls?.files ?? {}).sort(), login && !hasUnknown(login) ? login.monitor : undefined];
}

/** How this platform itself speaks to the cluster's nodes. */
function accessOf({ login, tls }: Pick<NodeDeclaration, "login" | "tls">): Access | undefined {
  return [login, tls].find((each) => each !== undefined && !hasUnknown(each))?.access;
}

/** A preview where no daemon answers goes by what was recorded. */
async function isGone({ containerId, dockerHost = "" }: Partial<NodeInputs>): Promise<boolean> {
  if (containerId === undefined) return false;
  try {
    return (await answered(dockerHost, (docker) => stateOf(docker, containerId))) === "gone";
  } catch (error) {
    if (error instanceof NoDaemon) return false;
    throw error;
  }
}

/**
 * Brings the node's server up, from wherever the last run got to: it may run already (a run was killed before it could say
 * so), run with files that were given up, or never have been started.
 *
 * @param file `new`: write redis.conf anew. `kept`: CONFIG REWRITE has put live settings into it, so use it as it is.
 */
async function ensureRunning(docker: Docker, node: NodeInputs, file: "new" | "kept"): Promise<void> {
  const watch = new EngineWatch().start();
  try {
    await removeOthers(docker, node);
    await requireOwnVolume(docker, node);
    await requireEngine(docker, node);
    leaveIfOrphaned(watch);
    const container = docker.getContainer(node.containerId);
    const before = await readFolder(
      container,
      [NODE_FILES.config, NODE_FILES.users, HEALTH_FILES.script, HEALTH_FILES.logins, INSTANCE_FILE],
      [NODE_FILES.tls],
    );
    const runs = await stateOf(docker, node.containerId);
    const written = before.read(INSTANCE_FILE) === node.instance && before.read(NODE_FILES.config) !== "";
    if (file === "new" && runs !== "stopped" && !written) await stopContainer(docker, node.name, node.containerId);
    const isNew = !written && (file === "new" || before.read(NODE_FILES.config) === "");
    const changes = isNew
      ? filesOfNewServer(before, { ...node, own: ownDirectives(node) }, DATA_FOLDER)
      : filesOfReturningServer(before, node, DATA_FOLDER);
    await changeFolder(container, withHealth(changes, before, node));
    leaveIfOrphaned(watch);
    const now = await stateOf(docker, node.containerId);
    if (now === "paused") await container.unpause();
    if (now === "stopped") await letReplicaLead(docker, node, accessOf(node));
    leaveIfOrphaned(watch);
    await startApart(node.cluster, async () => {
      leaveIfOrphaned(watch);
      await startContainer(docker, node.name, node.containerId);
      noteStarted(node.containerId);
      await comesToListen(docker, node);
    });
  } finally {
    watch.stop();
  }
}

/**
 * Beside its address a node listens for those inside its container, who type `redis-cli` and no address. In an open cluster the server
 * would let in nobody else: here others are in the same network, and nobody is who was not put there.
 */
function ownDirectives({ endpoint }: NodeInputs): Directive[] {
  return [
    { name: "bind", value: `${endpoint.address} 127.0.0.1` },
    { name: "protected-mode", value: "no" },
  ];
}

/** Which server the files are of. */
const INSTANCE_FILE = "instance";

function withHealth({ write, remove }: FileChanges, before: NodeFolder, node: NodeInputs): FileChanges {
  const wanted = new Map([
    [HEALTH_FILES.script, healthScript(node.engine, node.endpoint, node.tls !== undefined)],
    ...(node.login ? [[HEALTH_FILES.logins, healthLogins(node.login)] as const] : []),
    [INSTANCE_FILE, node.instance],
  ]);
  const missing = [...wanted].filter(([name, text]) => before.read(name) !== text);
  return { write: new Map([...write, ...missing]), remove };
}

/** @throws Error where the volume is not this node's: Docker gives out any that has the name */
async function requireOwnVolume(docker: Docker, { name, volume, owner }: NodeInputs): Promise<void> {
  const there = await orGone(docker.getVolume(volume).inspect());
  const whose = there?.Labels?.[LABELS.owner];
  if (whose === owner) return;
  throw new Error(
    `${name}: the volume ${volume} ${whose === undefined ? "was not made by this stack" : `belongs to ${whose}, not to ${owner}`}; rename it, or give the cluster another name`,
  );
}

/** @throws Error where the image has another server than what is declared */
async function requireEngine(docker: Docker, { name, image, engine }: NodeInputs): Promise<void> {
  const server = `${engine.name}-server`;
  const said = await versionOf(docker, image, server);
  const found = parseVersion(said);
  const is = found && `${found.name} ${found.version}`;
  if (found?.name === engine.name && `${found.version}.`.startsWith(`${engine.version}.`)) return;
  throw new Error(
    `${name}: ${engine.name} ${engine.version} is declared, and the image has ${is ?? `no ${server} that tells its version (${said.slice(0, 200) || "it wrote nothing"})`}; set \`engine\` to what the image has, or \`image\` to one of ${engine.name} ${engine.version}`,
  );
}

const START_MILLISECONDS = 60_000;
const TRY_MILLISECONDS = 1_000;

/** @throws Error with what the server wrote last where it ends, or does not come to listen */
async function comesToListen(docker: Docker, node: NodeInputs): Promise<void> {
  const { name, containerId, endpoint } = node;
  const container = docker.getContainer(containerId);
  const { published } = endpoint;
  const place = node.reachesPublished && published ? published : endpoint;
  const reach = new Reach({}, TRY_MILLISECONDS);
  try {
    for (const deadline = Date.now() + START_MILLISECONDS; ; await delay(50)) {
      const problem = await reach.tryPort(place, TRY_MILLISECONDS);
      if (problem === undefined) return;
      const { State, RestartCount } = await container.inspect();
      const ended = !State.Running || RestartCount > 0;
      if (!ended && Date.now() < deadline) continue;
      const how = ended
        ? `its server ended (exit code ${State.ExitCode})`
        : `nothing listens on ${place.address}:${place.port} (${problem})`;
      throw new Error(`${name} did not start: ${how}. Its last words:\n${await lastLines(container)}`);
    }
  } finally {
    reach.close();
  }
}
