import type { Engine, UserSpec, UsersSpec } from "../spec/spec";
import { withoutDangerous } from "./commandRules";
import { type CommandTable, commandTable } from "./commands";
import type { AclUser } from "./types";
import { replicationUser } from "./usersAcl";

/** A user as every node is to have it, but for its passwords. */
export type UserRules = Omit<AclUser, "passwordHashes">;

/** Whom formation, guards and the operations command log in as. */
export const ADMIN = "admin";
export const MONITOR = "monitor";
/** Whom replicas log in as, `masteruser`. */
export const REPLICATION = "replication";

/** What cluster clients send by themselves, whatever the application asks of them. HELLO, AUTH and QUIT need no rule. */
const CLIENT_NEEDS = [
  "asking",
  "client|getname",
  "client|id",
  "client|reply",
  "client|setinfo",
  "client|setname",
  "cluster|info",
  "cluster|keyslot",
  "cluster|myid",
  "cluster|nodes",
  "cluster|shards",
  "cluster|slots",
  "command",
  "echo",
  "info",
  "ping",
  "readonly",
  "readwrite",
];

/** Reads of what a server is doing. Not CONFIG GET, which prints the password of replicas. */
const MONITOR_NEEDS = [
  ...CLIENT_NEEDS,
  "cluster|countkeysinslot",
  "cluster|links",
  "cluster|slot-stats",
  "commandlog|get",
  "commandlog|len",
  "dbsize",
  "lastsave",
  "latency|doctor",
  "latency|graph",
  "latency|histogram",
  "latency|history",
  "latency|latest",
  "memory|doctor",
  "memory|stats",
  "role",
  "slowlog|get",
  "slowlog|len",
  "time",
];

/** Every user of a closed cluster, the component's own among them, sorted by name. */
export function usersOf({ declared }: UsersSpec, engine: Engine): UserRules[] {
  const table = commandTable(engine);
  const { passwordHashes: _none, ...replication } = replicationUser(engine, REPLICATION, []);
  const users: UserRules[] = [
    { name: ADMIN, keys: ["*"], channels: ["*"], commands: ["+@all"] },
    { name: MONITOR, commands: allow(MONITOR_NEEDS, table) },
    replication,
    ...declared.map((user) => applicationUser(user, table)),
  ];
  return users.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function applicationUser({ name, keys, channels, commands }: UserSpec, table: CommandTable): UserRules {
  const denied = new Set(commands.flatMap((rule) => (rule.startsWith("-") ? [rule.slice(1).toLowerCase()] : [])));
  const needs = CLIENT_NEEDS.filter((need) => !denied.has(need) && !denied.has(need.split("|")[0] ?? need));
  return { name, keys, channels, commands: [...withoutDangerous(commands), ...allow(needs, table)] };
}

/** Names come and go between versions, and an unknown one is refused. */
function allow(commands: readonly string[], table: CommandTable): string[] {
  return commands.filter((name) => table.categories.has(name)).map((name) => `+${name}`);
}
