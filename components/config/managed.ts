import { canonicalName } from "./directives";

/** Directives that `redisConfig` must not have, and what to do instead: the end of the sentence "… is managed: …". */
const MANAGED: Readonly<Record<string, string>> = {
  maxmemory: "use the argument maxmemory",
  "maxmemory-policy": "use the argument maxmemoryPolicy",
  save: "use persistence.savePoints, or persistence.mode",
  appendonly: "use persistence.mode",
  appendfsync: "use persistence.appendfsync",
  "aof-use-rdb-preamble": "use persistence.mode (`hybrid` or `aof`)",
  "min-replicas-to-write": "use the argument minReplicasToWrite",
  "min-replicas-max-lag": "use the argument minReplicasMaxLagSeconds",
  "cluster-node-timeout": "use the argument nodeTimeoutMilliseconds",
  "cluster-require-full-coverage": "use the argument requireFullCoverage",
  "cluster-allow-reads-when-down": "use the argument allowReadsWhenDown",
  "cluster-replica-validity-factor": "use the argument replicaValidityFactor",
  port: "use the argument port",
  "cluster-enabled": "every node is a cluster node; leave it out",
  "cluster-config-file": "its name is fixed inside the node's data folder; leave it out",
  "cluster-allow-replica-migration":
    "it stays `no`, because the server's own migration of replicas ignores zones; leave it out",
  "cluster-replica-no-failover": "it would keep replicas from taking over; leave it out",
  "cluster-preferred-endpoint-type": "it follows from whether nodes have host names; leave it out",
  "cluster-databases": "where slots move key by key, only keys of the first database move with them; leave it out",
  "cluster-port": "it follows from the port; leave it out",
  bind: "the platform knows where a node listens; leave it out",
  replicaof: "in a cluster, roles are set by formation; leave it out",
  "replica-announce-ip": "the announced address comes from the platform; leave it out",
  "replica-announce-port": "the announced port comes from the platform; leave it out",
  dir: "the data folder comes from the platform; leave it out",
  dbfilename: "restore and backup look for dump.rdb; leave it out",
  appendfilename: "restore and backup look for appendonly.aof; leave it out",
  appenddirname: "restore and backup look for appendonlydir; leave it out",
  daemonize: "the platform starts and watches the process; leave it out",
  pidfile: "the platform starts and watches the process; leave it out",
  supervised: "the platform starts and watches the process; leave it out",
  logfile: "the platform decides where logs go; leave it out",
  aclfile: "users are managed by the component; leave it out",
};

/** Values of these are secrets, and `redisConfig` is shown in previews and kept in plain text. */
const SECRET: Readonly<Record<string, string>> = {
  requirepass: "redisConfig is shown in previews and kept in plain text, and with a file of users it has no effect",
  masterauth: "redisConfig is shown in previews and kept in plain text; the component sets what replicas log in with",
  masteruser: "the component sets what replicas log in with",
  "tls-key-file-pass": "redisConfig is shown in previews and kept in plain text",
  "tls-client-key-file-pass": "redisConfig is shown in previews and kept in plain text",
  user: "redisConfig is shown in previews and kept in plain text, and with a file of users the server does not start",
};

/** Lines of redis.conf that are no settings: a server cannot report them, so that nobody could tell whether they hold. */
const NOT_SETTINGS: Readonly<Record<string, string>> = {
  include: "a file on the node is outside of what a preview can show; give the directives themselves",
  loadmodule:
    "modules are not supported: they must be on every node before it starts, and the server cannot report the line back",
  loadmoduleconfig: "modules are not supported",
  "rename-command":
    "formation and clients need the commands under their own names; restrict users by their command rules instead",
  sentinel: "it belongs to Sentinel, which a cluster does not use; leave it out",
};

/** Prefixes of families that belong to the platform or the component as a whole. */
const FAMILIES: readonly { readonly prefix: string; readonly reason: string }[] = [
  { prefix: "cluster-announce-", reason: "what a node announces comes from the platform; leave it out" },
];

/** TLS files and ports are the component's; how strict it is may be tuned. */
const TLS_OWN = new Set([
  "tls-ca-cert-dir",
  "tls-ca-cert-file",
  "tls-cert-file",
  "tls-client-cert-file",
  "tls-client-key-file",
  "tls-cluster",
  "tls-key-file",
  "tls-auth-clients",
  "tls-port",
  "tls-replication",
]);

/** These start like one of the families, and describe the node to people only. */
const FREE = new Set(["cluster-announce-human-nodename"]);

/** Why a directive is not for `redisConfig`; undefined where it is. */
export function refusal(name: string): string | undefined {
  const key = canonicalName(name);
  if (FREE.has(key)) return undefined;
  const of = (reasons: Readonly<Record<string, string>>) => (Object.hasOwn(reasons, key) ? reasons[key] : undefined);
  if (of(MANAGED)) return `is managed by the component: ${of(MANAGED)}`;
  if (of(SECRET)) return `does not belong here: ${of(SECRET)}; leave it out`;
  if (of(NOT_SETTINGS)) return `cannot be set here: ${of(NOT_SETTINGS)}`;
  const family = FAMILIES.find(({ prefix }) => key.startsWith(prefix));
  if (family) return `is managed by the component: ${family.reason}`;
  if (TLS_OWN.has(key)) return "is managed by the component: certificates and ports of TLS come from it; leave it out";
  return undefined;
}

/** True for directives that arguments or the component decide. */
export function isManaged(name: string): boolean {
  return refusal(name) !== undefined;
}
