import { setTimeout } from "node:timers/promises";
import { beforeAll, describe, expect } from "vitest";
import type { InventoryNode } from "../../../components/cluster/inventory";
import { parseClusterNodes } from "../../../components/formation/clusterNodes";
import { adminLogin, type ClientLogin, withNode } from "../../support/clients";
import { onlyInFull } from "../../support/full";
import { Project } from "../../support/project";
import { type TestServerName, testServers } from "../../support/servers";

const SERVERS: readonly TestServerName[] = process.env.FULL
  ? ["redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1"]
  : ["redis-7.0"];
/** Between two looks at a node. */
const LOOK_MILLISECONDS = 20;

let servers: Awaited<ReturnType<typeof testServers>>;
beforeAll(async () => {
  servers = await testServers();
});

interface Told {
  readonly host: string;
  readonly id: string;
}

/** Whom a node sends clients to: the hosts of all nodes that CLUSTER SLOTS lists. */
const toldBy = (slots: unknown): Told[] =>
  (slots as [number, number, ...[string | null, number, string][]][]).flatMap(([, , ...nodes]) =>
    nodes.map(([host, , id]) => ({ host: host ?? "", id })),
  );

/** Asks nodes over and over where they send clients, and comes to each of these by the name that was told, as a client does. */
class Watch {
  readonly hosts = new Set<string>();
  /** Node that was asked, and what happened. */
  readonly faults: [node: string, what: string][] = [];
  #on = true;
  readonly #looking: Promise<unknown>;

  constructor(project: Project, nodes: readonly InventoryNode[], login: ClientLogin) {
    this.#looking = Promise.all(nodes.map((node) => this.#look(project, node, login)));
  }

  async end(): Promise<void> {
    this.#on = false;
    await this.#looking;
  }

  async #look(project: Project, node: InventoryNode, login: ClientLogin): Promise<void> {
    const client = await project.connect(node);
    for (let turn = 0; this.#on; turn++) {
      try {
        const [slots, view] = [await client.cluster("SLOTS"), await client.cluster("NODES")];
        const told = toldBy(slots);
        for (const { host } of told) this.hosts.add(host);
        const one = told[turn % told.length];
        const place = parseClusterNodes(String(view)).find(({ id }) => id === one?.id);
        if (one && place) await this.#come(place, one.host, login);
      } catch (error) {
        this.faults.push([node.name, error instanceof Error ? error.message : String(error)]);
        if (client.status !== "ready") return;
      }
      await setTimeout(LOOK_MILLISECONDS);
    }
    client.disconnect();
  }

  async #come(place: { address: string; port: number }, host: string, login: ClientLogin): Promise<void> {
    const tls = { ...login.tls, ...(host === place.address ? {} : { servername: host }) };
    await withNode(place, (client) => client.ping(), { ...login, tls });
  }
}

interface Change {
  readonly masters: number;
  readonly domain?: string;
}
const [ONE, OTHER] = ["one.internal", "other.internal"];
const CHANGES: readonly (readonly [what: string, changes: readonly Change[]])[] = [
  [
    "come, change and go",
    [
      { masters: 3, domain: ONE },
      { masters: 3, domain: OTHER },
      { masters: 3 },
      { masters: 3, domain: ONE },
      { masters: 3 },
    ],
  ],
  [
    "come and go together with nodes",
    [{ masters: 5, domain: ONE }, { masters: 3 }, { masters: 4 }, { masters: 3, domain: ONE }, { masters: 5 }],
  ],
];

describe.each(SERVERS)("host names of %s", (server) => {
  onlyInFull.for(CHANGES)(
    "%s: clients are only sent to names that the node has heard, and that certificates carry",
    { timeout: 600_000 },
    async ([, changes], { skip, onTestFinished }) => {
      if (!servers) return skip("no servers here");
      const project = await Project.create({ tls: {} }, servers[server]);
      onTestFinished(() => project.dispose());
      await project.mustUp();
      const login = adminLogin(await project.credentials());
      for (const change of changes) {
        const [former, pids] = [await project.nodes(), await project.pids()];
        const watch = new Watch(project, former, login);
        project.declare({ tls: {}, ...change });
        const { ok, stdout, stderr } = await project.up();
        await watch.end();
        const nodes = await project.nodes();
        const stayed = new Set(nodes.map(({ name }) => name));
        // Whoever left was asked until its end.
        const faults = watch.faults.filter(([node]) => stayed.has(node));
        expect([change, ok, faults], stdout + stderr).toEqual([change, true, []]);
        const hostOf = ({ hostname, address }: InventoryNode) => hostname ?? address;
        const known = new Set([...former, ...nodes].flatMap((node) => [node.address, hostOf(node)]));
        expect([...watch.hosts].filter((host) => !known.has(host))).toEqual([]);
        // All of it is done when `up` says so, on every node. A replica whose offset a node has not heard is in no list of it.
        const { domain } = change;
        expect(nodes.map(({ hostname }) => hostname)).toEqual(nodes.map(({ name }) => domain && `${name}.${domain}`));
        const declared = new Set(nodes.map(hostOf));
        for (const node of nodes) {
          const told = toldBy(await project.ask(node, "CLUSTER", "SLOTS"));
          expect([told.length >= change.masters, told.filter(({ host }) => !declared.has(host))]).toEqual([true, []]);
        }
        // Nothing was restarted for it.
        const now = await project.pids();
        for (const [name, pid] of pids) expect([undefined, pid]).toContain(now.get(name));
      }
    },
  );
});
