// up, preview, refresh, destroy: with the right engine, state and server, and what a person needs afterwards.

import { existsSync, readdirSync, rmSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { chooseEngine, engineEnvironment } from "./engine.mjs";
import { capture, foreground, LOCAL, PROJECT, readJson, say, Trouble, writeFileAtomic } from "./project.mjs";
import { ensureRedisServer } from "./servers.mjs";
import { projectName, pulumiSettings } from "./settings.mjs";

const DEFAULT_STACK = "local";

/** @param {"up" | "preview" | "refresh" | "destroy" | "cancel"} command */
export async function stackCommand(command, given) {
  const { stack, rest } = splitStack(given);
  const { env, state, ownBackend } = pulumiSettings(stack);
  const server = await ensureRedisServer({ log: say });
  env.REDIS_SERVER ??= server.path;
  const engine = await chooseEngine({ stack, state });
  const run = { engine, env: engineEnvironment(engine, env) };
  if (engine.isNew) await createStack(run, stack, state);
  if (command === "cancel") return cancel(run, stack);
  if (ownBackend) await releaseDeadLock(run, stack, state);
  const flags = ["--stack", stack, ...rest];
  // One command is enough where state and cluster are this checkout's own; elsewhere the CLI shows a preview and asks, as
  // it does for everyone. Formation prints its plan in any case; `npm run preview` looks first.
  const decided = rest.some((flag) => ["--yes", "-y", "--skip-preview", "-f", "--preview-only"].includes(flag));
  if (ownBackend && command !== "preview" && !decided) flags.push("--yes", "--skip-preview");
  const code = await foreground(engine.file, [...engine.args, command, ...flags], { env: run.env });
  if (command === "destroy" && code === 0) rmSync(inventoryFile(stack), { force: true });
  // A run that failed or was interrupted left something too, which `status` should find.
  if (command === "up" && !rest.includes("--preview-only")) await afterUp(run, stack, server, code === 0);
  return code;
}

const cancel = ({ engine, env }, stack) =>
  foreground(engine.file, [...engine.args, "cancel", "--stack", stack, ...(engine.kind === "cli" ? ["--yes"] : [])], {
    env,
  });

/** A run that was killed leaves the stack locked. In this checkout's own state it is plain whether its process is gone. */
async function releaseDeadLock(run, stack, state) {
  const project = projectName();
  const file = join(state, ".hermetic", "locks", project, `${stack}.json`);
  const folder = join(state, ".pulumi", "locks", "organization", project, stack);
  const files =
    run.engine.kind === "hermetic"
      ? [file]
      : existsSync(folder)
        ? readdirSync(folder)
            .filter((name) => name.endsWith(".json"))
            .map((name) => join(folder, name))
        : [];
  const holders = files.map(readJson).filter(Boolean);
  const gone = ({ pid, host, hostname: name }) => (host ?? name) === hostname() && !isAlive(pid);
  if (holders.length === 0 || !holders.every(gone)) return;
  say(
    `The last run on stack ${stack} was killed (pid ${holders.map(({ pid }) => pid).join(", ")}) and left it locked; taking the lock away.`,
  );
  await cancel(run, stack);
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code !== "ESRCH";
  }
}

/** @returns the inventory that the last `up` of a stack left for `status` */
export function inventoryOf(given) {
  const { stack, rest } = splitStack(given);
  const file = inventoryFile(stack);
  if (!existsSync(file))
    throw new Trouble(
      `stack ${stack} has no cluster yet; npm run up${stack === DEFAULT_STACK ? "" : ` -- --stack ${stack}`} makes one`,
    );
  return { file, rest };
}

/** @returns the output `credentials` of a stack as JSON; undefined where its cluster is open, or the engine does not tell */
export async function credentialsOf(given) {
  const { stack } = splitStack(given);
  const { env, state } = pulumiSettings(stack);
  const engine = await chooseEngine({ stack, state });
  if (engine.isNew) return undefined;
  const text = await capture(
    engine.file,
    [...engine.args, "stack", "output", "credentials", "--json", "--show-secrets", "--stack", stack],
    { env: engineEnvironment(engine, env) },
  );
  const { password, tls } = text ? JSON.parse(text) : {};
  return password === undefined && tls === undefined ? undefined : text;
}

export function inventoryFile(stack) {
  return join(LOCAL, `${stack}.inventory.json`);
}

function splitStack(given) {
  let stack = process.env.PULUMI_STACK || DEFAULT_STACK;
  const rest = [];
  for (let i = 0; i < given.length; i++) {
    const match = /^(?:--stack|-s)(?:=(.+))?$/.exec(given[i]);
    if (!match) rest.push(given[i]);
    else if (match[1]) stack = match[1];
    else if (given[i + 1] !== undefined) stack = given[++i];
    else throw new Trouble(`${given[i]} needs a name, as in --stack ${DEFAULT_STACK}`);
  }
  if (!/^[A-Za-z0-9_.-]+(\/[A-Za-z0-9_.-]+){0,2}$/.test(stack))
    throw new Trouble(`"${stack}" cannot be a stack's name; letters, digits, "-", "_" and "." can be in one`);
  return { stack, rest };
}

async function createStack({ engine, env }, stack, state) {
  const args =
    engine.kind === "cli" ? ["stack", "select", "--create", stack, "--non-interactive"] : ["stack", "init", stack];
  const code = await foreground(engine.file, [...engine.args, ...args], { env, stdio: ["inherit", 2, 2] });
  if (code !== 0)
    throw new Trouble(
      `stack ${stack} could not be made${state ? ` in ${state}` : ""}; the engine's messages are above`,
    );
}

async function afterUp({ engine, env }, stack, server, whole) {
  const text = await capture(
    engine.file,
    [...engine.args, "stack", "output", "inventory", "--json", "--stack", stack],
    { env },
  );
  if (!text) return;
  writeFileAtomic(inventoryFile(stack), text, 0o600);
  const inventory = readJson(inventoryFile(stack));
  const node = inventory?.shards?.[0]?.nodes?.[0];
  if (!node || !whole) return;
  const cli = cliOf(inventory, node, server, stack);
  const known = await credentialsOf(["--stack", stack]);
  process.stdout.write(`
To use it:
${known ? closedUse(cli, node, JSON.parse(known), { engine, stack, env }) : openUse(cli, node, inventory)}

npm run status shows it, npm run destroy removes it.
`);
}

/** A node in a container brings its own client. */
function cliOf({ platform, engine, name: cluster }, { name }, server, stack) {
  const label = (key, value) => `-f label=pulumi-redis-cluster.${key}=${value}`;
  const owner = `${projectName()}/${stack.split("/").at(-1)}/${cluster}`;
  if (platform === "docker")
    return `docker exec -it $(docker ps -q ${label("owner", owner)} ${label("node", name)}) ${engine.name}-cli`;
  return server.cliPath ? shorten(server.cliPath) : "redis-cli";
}

function openUse(cli, { address, port }, { shards }) {
  const all = shards
    .flatMap((shard) => shard.nodes.slice(0, 1))
    .map((node) => `{ host: "${node.address}", port: ${node.port} }`);
  return `  ${cli} -c -h ${address} -p ${port}

  import { Cluster } from "ioredis";
  const redis = new Cluster([${all.join(", ")}]);
  await redis.set("greeting", "hello");
`;
}

/** Passwords and keys stay where they are: it says how to have them. */
function closedUse(cli, { address, port }, { username, password, tls }, { engine, stack, env }) {
  const login = password === undefined ? "" : ` --user ${username} --askpass`;
  const files = tls ? " --tls --cacert ca.pem --cert client.pem --key client.key" : "";
  const program = engine.kind === "cli" ? "pulumi" : ["node", ...engine.args.map(shorten)].join(" ");
  // As the quick start has set it; where the user did, it is in their environment.
  const file = process.env.PULUMI_CONFIG_PASSPHRASE_FILE ? undefined : env.PULUMI_CONFIG_PASSPHRASE_FILE;
  const passphrase = file ? `PULUMI_CONFIG_PASSPHRASE_FILE=${shorten(file)} ` : "";
  const output = (name, more = "") => `${passphrase}${program} stack output ${name} --json${more} --stack ${stack}`;
  return `  ${cli} -c -h ${address} -p ${port}${login}${files}

  import { Cluster } from "ioredis";
  import { clusterOptions } from "pulumi-redis-cluster/client";
  const { seeds, options } = clusterOptions(inventory, credentials);
  const redis = new Cluster(seeds, options);

  inventory:   ${output("inventory")}
  credentials: ${output("credentials", " --show-secrets")}${tls ? "   (certificates under `tls`)" : ""}
`;
}

function shorten(path) {
  return path.startsWith(`${PROJECT}/`) ? path.slice(PROJECT.length + 1) : path;
}
