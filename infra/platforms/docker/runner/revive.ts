import type Docker from "dockerode";
import { BUS_PORT_OFFSET, type NodeEndpoint } from "../../../../components/config/types";
import { startApart } from "../../../../components/formation/runner/apart";
import type { Revived } from "../../../../components/formation/runner/knowledge";
import type { Access } from "../../../../components/formation/wire";
import { startContainer } from "./container";
import { containersOf, letReplicaLead } from "./lastCopy";

/** Starts every container of a cluster that has run before and does not run now, with its own files and data. */
export async function startDead(
  docker: Docker,
  cluster: string,
  owner: string,
  { port }: Pick<NodeEndpoint, "port">,
  access?: Access,
): Promise<Revived> {
  const started: Revived["started"][number][] = [];
  const failures: string[] = [];
  await Promise.all(
    (await containersOf(docker, owner)).map(async ({ id, name, address, state }) => {
      if (state === "dead")
        failures.push(
          `${name}: Docker could not remove its container and calls it dead; \`docker rm -f ${id.slice(0, 12)}\`, then \`up\` makes it again`,
        );
      // One that was only created has no files yet: it waits for its turn.
      if (state !== "exited" || stopping.has(id)) return;
      const endpoint = { address, port, busPort: port + BUS_PORT_OFFSET };
      try {
        await letReplicaLead(docker, { name, owner, containerId: id, endpoint }, access);
        await startApart(cluster, () => startContainer(docker, name, id));
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
