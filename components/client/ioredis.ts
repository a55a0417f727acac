import { setTimeout } from "node:timers/promises";
import { keySlot } from "../spec/keySlot";

/**
 * Options for ioredis's `new Cluster(seeds, ioredisOptions)`, versions 5 and 6. The load that runs in this library's tests
 * while clusters change uses exactly these. What is not named here is ioredis's own default.
 */
export const ioredisOptions = {
  /**
   * How many answers "not here, not now" one command may get, before it fails. ioredis counts every kind together, and takes
   * three for each TRYAGAIN; its default of 16 is over after half a second. This is 15 s of TRYAGAIN and 100 s of CLUSTERDOWN.
   */
  maxRedirections: 1000,
  /** Milliseconds until a command with several keys, on a slot of which one half has moved, is tried again. */
  retryDelayOnTryAgain: 50,
  /** Milliseconds until a command whose connection was lost is sent again. It may have been carried out the first time. */
  retryDelayOnFailover: 100,
  /** Milliseconds until a command is tried again that a node without a majority has refused. */
  retryDelayOnClusterDown: 100,
  /** Milliseconds between two looks at who owns which slot, so that replicas which restarted are used again. */
  slotsRefreshInterval: 5000,
  /** Milliseconds that such a look may take before another node is asked. */
  slotsRefreshTimeout: 2000,
} as const;

/** What `handleChanges` needs of ioredis's Cluster and of its connections to single nodes. */
interface LookingNode {
  // biome-ignore lint/suspicious/noExplicitAny: a method of many overloads, handed on as it is
  cluster: (...args: any[]) => any;
  on(event: "error", listener: (error: Error) => void): unknown;
}
interface ClusterNode {
  asking(): Promise<unknown>;
  duplicate(...how: never[]): LookingNode;
}
interface ClusterClient {
  on(event: "+node", listener: (node: ClusterNode) => void): unknown;
  nodes(): unknown[];
}
type SlotsCallback = (error: Error | null | undefined, slots?: unknown) => void;

/**
 * To be called on every ioredis Cluster right after it was made: three things that ioredis does not expect of a cluster whose nodes
 * come and go. While a slot is on its way it sends ASKING before a command, and nobody looks at the answer; when that
 * connection closes first, as that to a master which owns no slot yet does whenever slots are looked up, the rejection is
 * nobody's and Node ends the process. The command itself is repeated. And when a node that has just left the cluster is
 * the one that it asks for the slots, it believes that there are none, drops all its connections and begins anew; here such a node
 * counts as one that did not answer, and another one is asked. And where a node cannot be asked, it forgets why (a certificate, a
 * login) and says that the connection is closed; here `node error` and the last error of `error` (`lastNodeError`) carry the reason.
 * @returns the same client
 */
export function handleChanges<Client extends ClusterClient>(client: Client): Client {
  const gone = new WeakSet<object>();
  client.on("+node", (node) => {
    const asking = node.asking.bind(node);
    node.asking = () => {
      const answer = asking();
      answer.catch(() => {});
      return answer;
    };
    const duplicate = node.duplicate.bind(node);
    node.duplicate = (...how) =>
      refusingNoSlots(duplicate(...how), (none) => {
        none ? gone.add(node) : gone.delete(node);
        // Where all have left, beginning anew from the seeds is right.
        return none && !client.nodes().every((each) => gone.has(each as object));
      });
  });
  return client;
}

/** ioredis asks for slots on a connection of its own, with a callback. */
function refusingNoSlots(looking: LookingNode, refuses: (none: boolean) => boolean): LookingNode {
  const cluster = looking.cluster.bind(looking);
  let reason: Error | undefined;
  looking.on("error", (error) => {
    reason = error;
  });
  looking.cluster = (...args) => {
    const callback: unknown = args.at(-1);
    if (String(args[0]).toUpperCase() !== "SLOTS" || typeof callback !== "function") return cluster(...args);
    const answered: SlotsCallback = (error, slots) =>
      callback(
        Array.isArray(slots) && refuses(slots.length === 0)
          ? new Error("this node is in no cluster")
          : error && (reason ?? error),
        slots,
      );
    return cluster(...args.slice(0, -1), answered);
  };
  return looking;
}

/** What `transact` needs of ioredis's Cluster. */
interface Transacting<Multi> {
  multi(): Multi;
  exists(key: string): Promise<number>;
}

/** How long one transaction may be redirected, in milliseconds. */
const PATIENCE_MILLISECONDS = 15_000;

/**
 * A transaction on keys of one hash slot that also gets through while that slot moves. ioredis follows one redirection of a
 * transaction, and only to a node that it knows; the answers after that, and those of a master that has just joined, end
 * in an error although nothing was carried out. This repeats exactly those.
 *
 * @param key any key of the transaction
 * @param commands queues the commands: `(multi) => multi.set(a, 1).incr(b)`; called again for each attempt
 * @returns what `exec()` answers
 * @throws Error what `exec()` throws, when it is no redirection, or when redirections go on for 15 s
 */
export async function transact<Multi, Queued extends { exec(): Promise<unknown> }>(
  client: Transacting<Multi>,
  key: string,
  commands: (multi: Multi) => Queued,
): Promise<Awaited<ReturnType<Queued["exec"]>>> {
  const deadline = Date.now() + PATIENCE_MILLISECONDS;
  for (let attempt = 0; ; attempt++) {
    try {
      return (await commands(client.multi()).exec()) as Awaited<ReturnType<Queued["exec"]>>;
    } catch (error) {
      if (!mayRepeat(error) || Date.now() > deadline) throw error;
    }
    // A single command follows a redirection to a node that the client did not know, and so makes it known. For a key that
    // exists nowhere that happens at every point of a move.
    await client.exists(neighbourOf(key));
    await setTimeout(Math.min(ioredisOptions.retryDelayOnTryAgain, 5 * 2 ** attempt));
  }
}

const REDIRECTION = /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN)\b/;
const GIVEN_UP = "Too many Cluster redirections. Last error: ReplyError: ";

/**
 * Whether an error of a transaction says that servers redirected it, and so carried out none of its commands. A lost
 * connection is no such error: nobody can tell what was carried out.
 */
export function mayRepeat(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const message = error.message.startsWith(GIVEN_UP) ? error.message.slice(GIVEN_UP.length) : error.message;
  if (REDIRECTION.test(message)) return true;
  // Refused while it was queued: every reason has to be a redirection.
  const reasons = (error as { previousErrors?: readonly unknown[] }).previousErrors ?? [];
  return message.startsWith("EXECABORT") && reasons.length > 0 && reasons.every(mayRepeat);
}

/** A key of the same slot that nobody has. */
function neighbourOf(key: string): string {
  const tag = /\{([^}]+)\}/.exec(key)?.[1] ?? key;
  const neighbour = `{${tag}}:pulumi-redis-cluster:nobody`;
  return keySlot(neighbour) === keySlot(key) ? neighbour : key;
}
