import type Docker from "dockerode";
import { NODE_FILES } from "../../../../components/cluster/nodeFiles";
import type { NodeEndpoint } from "../../../../components/config/types";
import type { Revived } from "../../../../components/formation/runner/knowledge";
import {
  announcedName,
  DUMP_HEADER_BYTES,
  dumpBegan,
  type Fellow,
  letReplicaLead as letReplicaLeadInstead,
} from "../../../../components/formation/runner/lastCopy";
import type { Access } from "../../../../components/formation/wire";
import { startContainer, stateOf } from "./container";
import { orGone } from "./daemon";
import { readFolder, readHead } from "./files";
import { BUS_PORT_OFFSET, DATA_FOLDER, LABELS, type NodeInputs } from "./types";

const NODES_CONF = "nodes.conf";

/** What is to be known of a node here. */
type Stopped = Pick<NodeInputs, "name" | "owner" | "containerId" | "endpoint">;

/**
 * Waits until the server may come back without making its replicas copy less than they have. Its container does not run, and no other
 * has its address.
 * @throws Error where a replica goes on following: the server must not be started then
 */
export async function letReplicaLead(docker: Docker, node: Stopped, access?: Access): Promise<void> {
  const container = docker.getContainer(node.containerId);
  const folder = await readFolder(container, [NODE_FILES.config], []);
  const header = await readHead(container, "dump.rdb", DUMP_HEADER_BYTES);
  const returning = {
    name: node.name,
    endpoint: node.endpoint,
    config: folder.read(NODE_FILES.config),
    appendOnlyFile: (await orGone(container.infoArchive({ path: `${DATA_FOLDER}/appendonlydir` }))) !== undefined,
    // A dump that does not tell may be as late as now: whoever heard of its server since then keeps it away.
    dumpBegan: header ? (dumpBegan(header) ?? Date.now()) : Number.NEGATIVE_INFINITY,
  };
  await letReplicaLeadInstead(returning, () => fellowsOf(docker, node), access);
}

async function fellowsOf(docker: Docker, { name, owner, endpoint }: Stopped): Promise<Fellow[]> {
  const others = (await containersOf(docker, owner)).filter((other) => other.name !== name);
  const found = await Promise.all(
    others.map(async ({ id, name: node, address, running }): Promise<Fellow[]> => {
      if (address === "") return [];
      const folder = await readFolder(docker.getContainer(id), [NODE_FILES.config, NODES_CONF], []);
      const { port, busPort } = endpoint;
      return [
        {
          name: node,
          endpoint: { address, port, busPort, ...announcedName(folder.read(NODE_FILES.config)) },
          nodesConf: folder.read(NODES_CONF),
          runs: running,
        },
      ];
    }),
  );
  return found.flat();
}

interface NodeContainer {
  readonly id: string;
  readonly name: string;
  /** In the cluster's network; empty where it was never in it. */
  readonly address: string;
  readonly running: boolean;
}

async function containersOf(docker: Docker, owner: string): Promise<NodeContainer[]> {
  const listed = await docker.listContainers({ all: true, filters: { label: [`${LABELS.owner}=${owner}`] } });
  return listed.map(({ Id, Labels, NetworkSettings, State }) => ({
    id: Id,
    name: Labels[LABELS.node] ?? "",
    address: Object.values(NetworkSettings?.Networks ?? {})
      .map(({ IPAMConfig }) => (IPAMConfig as { IPv4Address?: string } | null)?.IPv4Address ?? "")
      .join(""),
    running: State === "running",
  }));
}

/** Starts every container of a cluster that has run before and does not run now, with its own files and data. */
export async function startDead(
  docker: Docker,
  owner: string,
  { port }: Pick<NodeEndpoint, "port">,
  access?: Access,
): Promise<Revived> {
  const started: Revived["started"][number][] = [];
  const failures: string[] = [];
  await Promise.all(
    (await containersOf(docker, owner)).map(async ({ id, name, address }) => {
      if ((await stateOf(docker, id)) !== "stopped" || isStopping(id)) return;
      const there = await orGone(docker.getContainer(id).inspect());
      // One that was never started has no files yet: it waits for its turn.
      if (!there || there.State.Status === "created") return;
      const endpoint = { address, port, busPort: port + BUS_PORT_OFFSET };
      try {
        await letReplicaLead(docker, { name, owner, containerId: id, endpoint }, access);
        await startContainer(docker, name, id);
        started.push({ name, endpoint });
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
      }
    }),
  );
  return { started: started.sort((a, b) => (a.name < b.name ? -1 : 1)), failures };
}

/** Containers whose server was ended on purpose: nobody starts them but their own node. */
const stopping = new Set<string>();

export function noteStopping(containerId: string): void {
  stopping.add(containerId);
}

/** It runs again, so from here on it may be revived. */
export function noteStarted(containerId: string): void {
  stopping.delete(containerId);
}

function isStopping(containerId: string): boolean {
  return stopping.has(containerId);
}
