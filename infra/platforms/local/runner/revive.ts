import * as fs from "node:fs";
import * as path from "node:path";
import { BUS_PORT_OFFSET } from "../../../../components/config/types";
import { startApart } from "../../../../components/formation/runner/apart";
import type { Revived } from "../../../../components/formation/runner/knowledge";
import type { Access } from "../../../../components/formation/wire";
import { FILES, readInstanceRecord, subfolders } from "./folder";
import { letReplicaLead } from "./lastCopy";
import { isStopping, serverOf, startServer } from "./server";

/**
 * Starts every machine of a cluster that should run and does not, with its own file and data: what a service manager does on
 * other platforms. One whose process was ended on purpose has no instance record any more.
 * @param cluster the folder of all its nodes
 */
export async function startDead(cluster: string, serverPath: string, access?: Access): Promise<Revived> {
  const started: Revived["started"][number][] = [];
  const failures: string[] = [];
  await Promise.all(
    subfolders(cluster).map(async (folder) => {
      const record = readInstanceRecord(folder);
      const config = path.join(folder, FILES.config);
      if (!record || serverOf(folder) || isStopping(folder) || !fs.existsSync(config)) return;
      const name = path.basename(folder);
      const { address, port } = record;
      try {
        await letReplicaLead(folder, { name, address, port }, access);
        await startApart(path.basename(cluster), () => startServer(folder, { name, serverPath, record }));
        started.push({ name, endpoint: { address, port, busPort: port + BUS_PORT_OFFSET } });
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
      }
    }),
  );
  return { started: started.sort((a, b) => (a.name < b.name ? -1 : 1)), failures };
}
