import { endpointDirectives, storageDirectives } from "../../config/nodeDirectives";
import { renderRedisConf } from "../../config/redisConf";
import type { Directive, DirectiveSplit, NodeEndpoint } from "../../config/types";
import type { NodeLogin, NodeTls } from "../platform";
import { type FileChanges, NODE_FILES, type NodeFolder } from "./folder";
import { filesInstead, filesToStartWith, tlsFiles } from "./tls";
import { usersToStartWith } from "./users";

export { type FileChanges, NODE_FILES, type NodeFolder } from "./folder";
export { tlsFiles } from "./tls";

/** What a node's server is started with, as its platform knows it. */
export interface NodeToStart extends DirectiveSplit {
  /** Where it listens, and what it announces. */
  readonly endpoint: NodeEndpoint;
  /** What the platform itself needs, in place of whatever else says so. Default: nothing. */
  readonly own?: readonly Directive[];
  readonly login?: NodeLogin;
  readonly tls?: NodeTls;
}

/**
 * Everything that a new server needs in its data folder: what boots it, and the live settings as they are declared now. Users and
 * certificates are those that were in force, where there was a server of this cluster before.
 * @param dir the data folder, as the server sees it
 */
export function filesOfNewServer(before: NodeFolder, node: NodeToStart, dir: string): FileChanges {
  const { tls, login } = node;
  const endpoint = endpointDirectives(node.endpoint, tls && filesToStartWith(before, tls, dir));
  // Ours last: of two lines with the same name the later one holds.
  const directives = [
    ...node.boot,
    ...node.live,
    ...endpoint.boot,
    ...endpoint.live,
    ...storageDirectives({ dir }),
    ...(node.own ?? []),
  ];
  const certificates = tls ? tlsFiles(before, tls) : NONE;
  const start = login && usersToStartWith(before, login);
  const write = new Map(certificates.write);
  if (start) write.set(NODE_FILES.users, start.users);
  write.set(NODE_FILES.config, renderRedisConf(directives) + (start?.lines ?? ""));
  return { write, remove: certificates.remove };
}

/**
 * For a server that comes back as it was. CONFIG REWRITE has put live settings into its file, so that stays, but for certificates
 * that are of no use any more.
 */
export function filesOfReturningServer(
  before: NodeFolder,
  { tls }: Pick<NodeToStart, "tls">,
  dir: string,
): FileChanges {
  if (!tls) return NONE;
  const { write, remove } = tlsFiles(before, tls);
  const instead = filesInstead(before, tls, dir);
  if (!instead) return { write, remove };
  const directives = [
    { name: "tls-cert-file", value: instead.certFile },
    { name: "tls-key-file", value: instead.keyFile },
    { name: "tls-ca-cert-file", value: instead.caFile },
  ];
  const text = `${before.read(NODE_FILES.config).trimEnd()}\n${renderRedisConf(directives)}`;
  return { write: new Map([...write, [NODE_FILES.config, text]]), remove };
}

const NONE: FileChanges = { write: new Map(), remove: [] };
