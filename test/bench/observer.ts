import { parentPort, Worker, workerData } from "node:worker_threads";
import type { Redis } from "ioredis";
import { parseClusterNodes } from "../../components/formation/clusterNodes";
import { countSlots, formatRanges, SLOT_COUNT } from "../../components/formation/slots";
import { type ClientLogin, nodeClient } from "../support/clients";

/** How often the first node that is not there yet is asked, whoever forms the cluster. */
const POLL_MILLISECONDS = 10;

export interface Addresses {
  readonly address: string;
  readonly port: number;
}

export interface Seen {
  /** When every node was seen in the end state for the first time, in milliseconds of the wall clock. */
  readonly at: number;
  /** Votes asked for and failures announced on the way: a formation needs none. */
  readonly elections: number;
  readonly failures: number;
}

/**
 * Watches a cluster form, in a thread of its own and knowing nothing of who forms it. The end: every node says
 * `cluster_state:ok` with all slots, and all hold the same picture of the expected members, roles and slot owners.
 */
export class Observer {
  readonly #worker: Worker;
  readonly #ready: Promise<void>;
  readonly #seen: Promise<Seen>;

  constructor(nodes: readonly Addresses[], timeoutMilliseconds: number, login?: ClientLogin) {
    this.#worker = new Worker(__filename, { workerData: { nodes, timeoutMilliseconds, login } satisfies Watched });
    this.#ready = new Promise((resolve, reject) => {
      this.#worker.once("message", () => resolve());
      this.#worker.once("error", reject);
    });
    this.#seen = this.#ready.then(
      () =>
        new Promise((resolve, reject) => {
          this.#worker.once("message", resolve);
          this.#worker.once("error", reject);
        }),
    );
    this.#seen.catch(() => {});
  }

  /** Connected to every node: from here on its work is the same for whoever forms the cluster. */
  ready(): Promise<void> {
    return this.#ready;
  }

  /** @throws Error when the end is not reached in time */
  seen(): Promise<Seen> {
    return this.#seen;
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}

interface Watched {
  readonly nodes: readonly Addresses[];
  readonly timeoutMilliseconds: number;
  readonly login: ClientLogin | undefined;
}

async function watch({ nodes, timeoutMilliseconds, login }: Watched): Promise<void> {
  const clients = nodes.map((node) => nodeClient(node, login));
  await Promise.all(clients.map((client) => client.connect()));
  parentPort?.postMessage("ready");
  const deadline = Date.now() + timeoutMilliseconds;
  // One node at a time until it is ready, and all of them only then: to ask every node over and over would be work for
  // the very servers that are measured.
  let ready = 0;
  for (;;) {
    const began = Date.now();
    while (ready < clients.length && (await isOk(clients[ready] as Redis))) ready++;
    if (ready === clients.length && (await formed(clients))) {
      parentPort?.postMessage({ at: Date.now(), ...(await troubles(clients)) } satisfies Seen);
      for (const client of clients) client.disconnect();
      return;
    }
    if (began > deadline) throw new Error(`not formed within ${timeoutMilliseconds / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, Math.max(1, POLL_MILLISECONDS - (Date.now() - began))));
  }
}

async function isOk(client: Redis): Promise<boolean> {
  const info = String(await client.cluster("INFO"));
  return /cluster_state:ok/.test(info) && info.includes(`cluster_slots_assigned:${SLOT_COUNT}`);
}

async function formed(clients: readonly Redis[]): Promise<boolean> {
  const states = await Promise.all(clients.map(isOk));
  if (states.includes(false)) return false;
  const views = (await Promise.all(clients.map((client) => client.call("CLUSTER", "NODES")))).map((text) =>
    parseClusterNodes(String(text)),
  );
  const [first] = views;
  if (!first || first.length !== clients.length) return false;
  const masters = first.filter((e) => e.role === "master" && e.slots.length > 0);
  if (masters.length * 2 !== clients.length || countSlots(masters.flatMap((e) => e.slots)) !== SLOT_COUNT) return false;
  const pictures = views.map((view) =>
    view
      .map((e) => `${e.handshake ? "?" : ""}${e.id} ${e.role} ${e.masterId ?? "-"} ${formatRanges(e.slots)}`)
      .sort()
      .join("\n"),
  );
  return pictures.every((picture) => picture === pictures[0]);
}

async function troubles(clients: readonly Redis[]): Promise<Pick<Seen, "elections" | "failures">> {
  const infos = await Promise.all(clients.map((client) => client.cluster("INFO")));
  const sum = (name: string) =>
    infos.reduce((total, info) => total + Number(new RegExp(`${name}:(\\d+)`).exec(info)?.[1] ?? 0), 0);
  return { elections: sum("cluster_stats_messages_auth-req_sent"), failures: sum("cluster_stats_messages_fail_sent") };
}

if (parentPort) void watch(workerData as Watched);
