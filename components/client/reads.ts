/** What the choice needs of ioredis's connection to a node. */
interface NodeConnection {
  readonly status: string;
  readonly options: { readonly host?: string; readonly port?: number };
}

/** Chooses one of a slot's nodes for a read, master first; undefined stands for a node without a connection. */
export type ReadBalancer = (nodes: readonly (NodeConnection | undefined)[]) => NodeConnection | undefined;

/** How long commands wait in a connection that is being made, and how long a node that could not be reached is left alone. */
const OPENING_MILLISECONDS = 250;
const LEFT_ALONE_MILLISECONDS = 2_000;

/**
 * ioredis's own `"slave"` insists on a replica: while one is gone and not yet known to be, it asks any other node, is sent to the
 * master, and asks again, until its redirections are used up. This takes the master instead.
 * @param all whether masters answer reads beside replicas
 */
export function readBalancer(all: boolean, now: () => number = Date.now): ReadBalancer {
  // By host:port, since ioredis makes a new connection whenever one has failed.
  const opening = new Map<string, { readonly connection: NodeConnection; readonly since: number }>();

  const usable = (node: NodeConnection | undefined): node is NodeConnection => {
    if (!node) return false;
    const key = `${node.options.host}:${node.options.port}`;
    if (node.status === "ready") {
      opening.delete(key);
      return true;
    }
    // A connection is made with the first command that it gets.
    if (!["wait", "connecting", "connect"].includes(node.status)) return false;
    const attempt = opening.get(key);
    if (attempt?.connection === node) return now() - attempt.since < OPENING_MILLISECONDS;
    return !attempt || now() - attempt.since >= LEFT_ALONE_MILLISECONDS;
  };

  return (nodes) => {
    const [master, ...replicas] = nodes;
    const candidates = (all ? nodes : replicas).filter(usable);
    const chosen = candidates[Math.floor(Math.random() * candidates.length)] ?? master;
    if (chosen && chosen.status !== "ready") {
      const key = `${chosen.options.host}:${chosen.options.port}`;
      if (opening.get(key)?.connection !== chosen) opening.set(key, { connection: chosen, since: now() });
    }
    return chosen;
  };
}
