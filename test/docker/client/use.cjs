// What an application does with ioredis, by the stack's outputs: they come on stdin with the settings, the outcome goes to stdout as JSON.
// A program of its own, since it runs on the host and in a container alike.

const { Cluster } = require("ioredis");
const { clusterOptions, handleChanges, watchCluster } = require("../../../dist/components/client");

async function use(client, tags) {
  for (const tag of tags) {
    const value = `${Math.random()}`;
    await client.set(`session:${tag}`, value);
    const read = await client.get(`session:${tag}`);
    if (read !== value) throw new Error(`wrote ${value}, read ${read}`);
  }
  const heard = new Set();
  client.on("message", (channel, message) => heard.add(`${channel} ${message}`));
  client.on("smessage", (channel, message) => heard.add(`${channel} ${message}`));
  await client.subscribe("news");
  for (const tag of tags) await client.ssubscribe(`news:${tag}`);
  await client.publish("news", "plain");
  for (const tag of tags) await client.spublish(`news:${tag}`, "sharded");
  for (const end = Date.now() + 10_000; heard.size < 1 + tags.length && Date.now() < end; )
    await new Promise((resolve) => setTimeout(resolve, 10));
  return { heard: [...heard].sort() };
}

async function main() {
  let text = "";
  for await (const piece of process.stdin) text += piece;
  const { inventory, credentials, settings, tags } = JSON.parse(text);
  const { seeds, options, nodes } = clusterOptions(inventory, credentials, settings);
  const client = handleChanges(new Cluster(seeds, { ...options, shardedSubscribers: true }));
  // A client goes on trying; here the first reason why a node is none is the outcome.
  const refused = new Promise((resolve) =>
    watchCluster(client, nodes, { nodeError: (error) => resolve({ error: error.message }) }),
  );
  const outcome = await Promise.race([use(client, tags).catch((error) => ({ error: error.message })), refused]);
  client.disconnect();
  process.stdout.write(JSON.stringify(outcome), () => process.exit(0));
}
main();
