import { lookup } from "node:dns";
import { Cluster } from "ioredis";
import type { TestContext } from "vitest";
import { type ClusterClientSetup, handleChanges, watchCluster } from "../../../components/client";
import { keySlot } from "../../../components/spec/keySlot";
import { until } from "../../support/formation";
import type { ClientCluster } from "./support";

/** One hash tag of each shard. */
export const TAGS = [0, 5461, 10923].map((first, shard) => {
  const last = [5460, 10922, 16383][shard] ?? 0;
  for (let i = 0; ; i++) if (keySlot(`${i}`) >= first && keySlot(`${i}`) <= last) return `{${i}}`;
});

export interface Used {
  readonly client: Cluster;
  /** Errors of single nodes: node, then text. */
  readonly errors: [string, string][];
}

/** As an application makes its client. */
export function open(
  { onTestFinished }: TestContext,
  setup: ClusterClientSetup,
  more: { shardedSubscribers?: boolean; slotsRefreshInterval?: number } = {},
): Used {
  const client = handleChanges(new Cluster(setup.seeds, { ...setup.options, ...more }));
  onTestFinished(() => client.disconnect());
  const errors: [string, string][] = [];
  watchCluster(client, setup.nodes, { nodeError: (error, node) => errors.push([node.name, error.message]) });
  return { client, errors };
}

/** Stands for DNS, which has no say in who a node is: only the way there comes from it. */
export function resolving(setup: ClusterClientSetup, cluster: ClientCluster): ClusterClientSetup {
  const tls = setup.options.redisOptions.tls;
  if (!tls) throw new Error("host names here are those of certificates");
  const resolve: typeof lookup = ((
    hostname: string,
    options: { all?: boolean },
    callback: (...found: unknown[]) => void,
  ) => {
    const node = cluster.nodes.find((each) => each.hostname === hostname);
    if (!node) return lookup(hostname, options, callback as never);
    options.all ? callback(null, [{ address: node.address, family: 4 }]) : callback(null, node.address, 4);
  }) as never;
  return {
    ...setup,
    options: {
      ...setup.options,
      redisOptions: { ...setup.options.redisOptions, tls: { ...tls, lookup: resolve } as never },
    },
  };
}

/** Writes and reads in every shard, then a message through pub/sub, and one in every shard through sharded pub/sub. */
export async function use(client: Cluster): Promise<void> {
  for (const tag of TAGS) {
    const value = `${Math.random()}`;
    const written = await client.set(`session:${tag}`, value);
    const read = await client.get(`session:${tag}`);
    if (written !== "OK" || read !== value) throw new Error(`wrote ${value}, read ${read}`);
  }
  const heard = new Set<string>();
  client.on("message", (channel, message) => heard.add(`${channel} ${message}`));
  client.on("smessage", (channel, message) => heard.add(`${channel} ${message}`));
  await client.subscribe("news");
  for (const tag of TAGS) await client.ssubscribe(`news:${tag}`);
  await client.publish("news", "plain");
  for (const tag of TAGS) await client.spublish(`news:${tag}`, "sharded");
  const expected = ["news plain", ...TAGS.map((tag) => `news:${tag} sharded`)];
  await until("all messages came", () => expected.every((each) => heard.has(each)), 10_000);
}

/** The first error of a node that the client meets; it has to have served nothing. */
export async function refusal({ client, errors }: Used, text: RegExp): Promise<void> {
  let served = false;
  void client.set("session:refused", "never").then(
    () => {
      served = true;
    },
    () => {},
  );
  await until(`a node is refused with ${text}`, () => errors.some(([, message]) => text.test(message)), 10_000).catch(
    (error: Error) => {
      throw new Error(`${error.message}; seen: ${JSON.stringify(errors)}`);
    },
  );
  client.disconnect();
  if (served) throw new Error("a command was served");
}
