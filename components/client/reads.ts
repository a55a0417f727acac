/** What the choice needs of ioredis's connection to a node. */
interface NodeConnection {
  readonly status: string;
  readonly options: { readonly host?: string; readonly port?: number };
}

/** Chooses one of a slot's nodes for a read, master first; undefined stands for a node without a connection. */
export type ReadBalancer = (nodes: readonly (NodeConnection | undefined)[]) => NodeConnection | undefined;

/** How long commands wait in a connection that is being made, and how long a node is left alone whose connection was lost. */
const OPENING_MILLISECONDS = 250;
const LEFT_ALONE_MILLISECONDS = 2_000;

/**
 * ioredis's own `"slave"` insists on a replica: while one is gone and not yet known to be, it asks any other node, is sent to the
 * master, and asks again, until its redirections are used up. This takes the master instead.
 * @param all whether masters answer reads beside replicas
 */
export function readBalancer(all: boolean, now: () => number = Date.now): ReadBalancer {
  // By host:port, since ioredis makes a new connection whenever one was lost or could not be made.
  const known = new Map<string, { connection: NodeConnection; since: number; lostAt?: number }>();
  const note = (connection: NodeConnection) => {
    const key = keyOf(connection);
    if (known.get(key)?.connection !== connection) known.set(key, { connection, since: now() });
  };

  const usable = (node: NodeConnection | undefined): node is NodeConnection => {
    if (!node) return false;
    if (node.status === "ready") {
      note(node);
      return true;
    }
    // A connection is made with the first command that it gets.
    if (!["wait", "connecting", "connect"].includes(node.status)) return false;
    const last = known.get(keyOf(node));
    if (!last) return true;
    if (last.connection === node) return now() - last.since < OPENING_MILLISECONDS;
    last.lostAt ??= now();
    return now() - last.lostAt >= LEFT_ALONE_MILLISECONDS;
  };

  return (nodes) => {
    const [master, ...replicas] = nodes;
    const candidates = (all ? nodes : replicas).filter(usable);
    const chosen = candidates[Math.floor(Math.random() * candidates.length)] ?? master;
    if (chosen) note(chosen);
    return chosen;
  };
}

function keyOf({ options: { host, port } }: NodeConnection): string {
  return `${host}:${port}`;
}
