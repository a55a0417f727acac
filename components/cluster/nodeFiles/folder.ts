/** Names of what a platform puts into a node's data folder. Nothing of it is written by anybody else but the server itself. */
export const NODE_FILES = {
  config: "redis.conf",
  users: "users.acl",
  /** A folder: certificates, keys, and what is trusted. */
  tls: "tls",
} as const;

/** What lies in a node's data folder before its server starts; names are relative to it. */
export interface NodeFolder {
  /** Text of a file; empty where there is none. */
  read(name: string): string;
  /** Names of the files in a folder below; empty where there is none. */
  list(folder: string): readonly string[];
}

/** What is to be written, in this order, and taken away after it. All of it is for the owner's eyes alone. */
export interface FileChanges {
  readonly write: ReadonlyMap<string, string>;
  readonly remove: readonly string[];
}
