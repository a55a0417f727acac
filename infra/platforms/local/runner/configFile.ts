import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { endpointDirectives, storageDirectives } from "../../../../components/config/nodeDirectives";
import { renderRedisConf } from "../../../../components/config/redisConf";
import { FILES, writeAtomic } from "./folder";
import { filesInstead, filesToStartWith, writeTlsFiles } from "./tlsFiles";
import type { NodeInputs } from "./types";
import { canonical } from "./unknown";
import { writeUsers } from "./usersFile";

/** Writes the file for a new process: what boots it, and the live settings as they are declared now. */
export function writeConfigFile(folder: string, node: NodeInputs): void {
  const { address, port, busPort, hostname, plainPort, tls } = node;
  const names = { ...(hostname === undefined ? {} : { hostname }), ...(plainPort === undefined ? {} : { plainPort }) };
  if (tls) writeTlsFiles(folder, tls);
  const endpoint = endpointDirectives({ address, port, busPort, ...names }, tls && filesToStartWith(folder, tls));
  // Ours last: of two lines with the same name the later one holds.
  const directives = [
    ...node.boot,
    ...node.live,
    ...endpoint.boot,
    ...endpoint.live,
    ...storageDirectives({ dir: folder }),
  ];
  const login = node.login ? writeUsers(folder, node.login) : "";
  writeAtomic(path.join(folder, FILES.config), renderRedisConf(directives) + login);
}

/** The file of a process that comes back: CONFIG REWRITE has put live settings into it, so it stays, but for certificates that are of no use any more. */
export function keepConfigFile(folder: string, { tls }: NodeInputs): void {
  const instead = tls && filesInstead(folder, tls);
  if (!instead) return;
  const directives = [
    { name: "tls-cert-file", value: instead.certFile },
    { name: "tls-key-file", value: instead.keyFile },
    { name: "tls-ca-cert-file", value: instead.caFile },
  ];
  const file = path.join(folder, FILES.config);
  writeAtomic(file, `${fs.readFileSync(file, "utf8").trimEnd()}\n${renderRedisConf(directives)}`);
}

/** Of everything that a running process cannot change any more; a process with the same one needs no replacement. */
export function fingerprint(node: NodeInputs): string {
  const { boot, engine, address, port, busPort } = node;
  const parts = { boot, engine, address, port, busPort, ...(node.tls ? { tls: true } : {}) };
  return createHash("sha256").update(canonical(parts)).digest("hex").slice(0, 16);
}
