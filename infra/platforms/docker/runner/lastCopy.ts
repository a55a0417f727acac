import type Docker from "dockerode";
import { NODE_FILES } from "../../../../components/cluster/nodeFiles";
import {
  announcedName,
  DUMP_HEADER_BYTES,
  dumpBegan,
  type Fellow,
  letReplicaLead as letReplicaLeadInstead,
} from "../../../../components/formation/runner/lastCopy";
import type { Access } from "../../../../components/formation/wire";
import { orGone } from "./daemon";
import { readFolder, readHead } from "./files";
import { DATA_FOLDER, LABELS, type NodeInputs } from "./types";

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
    others.map(async ({ id, name: node, address, state }): Promise<Fellow[]> => {
      if (address === "") return [];
      const folder = await readFolder(docker.getContainer(id), [NODE_FILES.config, NODES_CONF], []);
      const { port, busPort } = endpoint;
      return [
        {
          name: node,
          endpoint: { address, port, busPort, ...announcedName(folder.read(NODE_FILES.config)) },
          nodesConf: folder.read(NODES_CONF),
          runs: state === "running",
        },
      ];
    }),
  );
  return found.flat();
}

export interface NodeContainer {
  readonly id: string;
  readonly name: string;
  /** In the cluster's network; empty where it was never in it. */
  readonly address: string;
  /** As Docker lists it: `created`, `running`, `paused`, `restarting`, `exited`, `removing`, `dead`. */
  readonly state: string;
}

export async function containersOf(docker: Docker, owner: string): Promise<NodeContainer[]> {
  const listed = await docker.listContainers({ all: true, filters: { label: [`${LABELS.owner}=${owner}`] } });
  return listed.map(({ Id, Labels, NetworkSettings, State }) => ({
    id: Id,
    name: Labels[LABELS.node] ?? "",
    address: Object.values(NetworkSettings?.Networks ?? {})
      .map(({ IPAMConfig }) => (IPAMConfig as { IPv4Address?: string } | null)?.IPv4Address ?? "")
      .join(""),
    state: State,
  }));
}
