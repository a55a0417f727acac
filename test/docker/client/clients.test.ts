import { execFile } from "node:child_process";
import { rmSync } from "node:fs";
import { resolve } from "node:path";
import { PassThrough } from "node:stream";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ClientSettings, connectionFacts } from "../../../components/client";
import { TAGS } from "../../cluster/client/use";
import { Authority } from "../../support/certificates";
import { clientTls, loginOf, redisCli, tlsFiles } from "../../support/clients";
import { dockerClient, dockerHost } from "../../support/docker";
import { DockerProject, freePorts, nodesOf, type Outputs } from "../../support/dockerProject";
import { hostImage, nodeGuest, pythonGuest, runGuest } from "../../support/guest";
import { python, redisPy } from "../../support/redisPy";
import { testServers } from "../../support/servers";

// Proves that applications reach a cluster in Docker in each of the ways that the README names, with ioredis, redis-py and redis-cli, and
// that none takes a node of somebody else's for one of the cluster.

const servers = await testServers();
const py = dockerHost === undefined ? undefined : await redisPy();
const linux = process.platform === "linux";

const PLAIN = ["news plain"];
const SHARDED = TAGS.map((tag) => `news:${tag} sharded`).sort();
const HEARD = { ioredis: { heard: [...PLAIN, ...SHARDED].sort() }, redisPy: { plain: PLAIN, sharded: SHARDED } };
const PROGRAM = resolve(__dirname, "use.cjs");

const SHAPES = {
  "an open cluster": {},
  "a cluster with mutual TLS and users": {
    tls: {},
    users: { app: { keys: ["*"], channels: ["*"], commands: ["+@all", "-@dangerous", "+info"] } },
  },
};

/** Where the client is, and how it comes to the nodes. */
const WAYS = {
  "on the host, at the nodes' own addresses": { published: false, guest: false },
  "on the host, through published ports": { published: true, guest: false },
  "in a container of the cluster's network": { published: false, guest: true },
};

describe.skipIf(dockerHost === undefined || !servers).each(Object.entries(SHAPES))("%s", (_kind, shape) => {
  let project: DockerProject;
  let outputs: Outputs;
  const closed = "tls" in shape;

  beforeAll(async () => {
    const publish = { firstPort: await freePorts(24) };
    project = await DockerProject.create(closed ? "strict" : "open", { ...shape, publish });
    await project.mustUp();
    outputs = await project.outputs();
  }, 300_000);
  afterAll(() => project?.dispose());

  async function ioredis(settings: ClientSettings, guest: boolean, given: Outputs = outputs): Promise<unknown> {
    const stdin = JSON.stringify({ ...given, settings, tags: TAGS });
    if (!guest) return JSON.parse((await run(process.execPath, [PROGRAM], stdin)).stdout);
    const { program, folders } = nodeGuest();
    const { stdout, stderr } = await runGuest({
      image: await hostImage(),
      network: project.network,
      command: [program, PROGRAM],
      folders,
      stdin,
    });
    expect(stderr).toBe("");
    return JSON.parse(stdout);
  }

  async function redisPython(settings: ClientSettings, guest: boolean, given: Outputs = outputs): Promise<unknown> {
    if (!py) throw new Error("no redis-py");
    const facts = connectionFacts(given.inventory, given.credentials, settings);
    if (!guest) return python(py, facts, { work: "use", tags: TAGS }).outcome;
    const { program, folders } = await pythonGuest(py.python);
    const path = [py.folder, resolve("examples/redis-py")].join(":");
    const { stdout, stderr } = await runGuest({
      image: await hostImage(),
      network: project.network,
      command: [program, resolve("test/cluster/client/redis-py/use.py"), "use"],
      env: { PYTHONPATH: path, PYTHONDONTWRITEBYTECODE: "1", TAGS: JSON.stringify(TAGS) },
      folders,
      stdin: `${JSON.stringify(facts)}\n`,
    });
    expect(stderr).toBe("");
    return JSON.parse(stdout);
  }

  /** Asks one node alone for a key of every shard. */
  async function commandLine(way: { published: boolean; guest: boolean }, given: Outputs = outputs): Promise<string[]> {
    const login = loginOf(given.credentials);
    const [node] = nodesOf(given.inventory);
    const place = way.published ? node?.published : node;
    const answers: string[] = [];
    for (const tag of TAGS) {
      const args = ["-c", "-h", place?.address ?? "", "-p", String(place?.port), "SET", `cli:${tag}`, "x"];
      answers.push(
        way.guest
          ? await cliGuest(project.network, args, login)
          : (await redisCli(servers?.["redis-8.0"].cliPath ?? "", args, login)).text,
      );
    }
    return answers.map((answer) => answer.trim());
  }

  describe.each(Object.entries(WAYS))("%s", (_way, { published, guest }) => {
    // What runs there is this machine's own Node and Python, which want a Linux.
    test.skipIf(guest && !linux)("ioredis: keys and messages", async () => {
      expect(await ioredis({ published }, guest)).toEqual(HEARD.ioredis);
    });

    test.skipIf(!py || (guest && !linux))("redis-py: keys and messages", async () => {
      expect(await redisPython({ published }, guest)).toEqual(HEARD.redisPy);
    });

    // Redirections lead to the nodes' own addresses, which a host that is no Linux does not reach.
    test.skipIf(published && !linux)("redis-cli -c: keys of every shard, asked of one node", async () => {
      expect(await commandLine({ published, guest })).toEqual(["OK", "OK", "OK"]);
    });

    if (!closed) return;

    test.skipIf(guest && !linux)("another authority is refused by each of them", async (context) => {
      const other = new Authority("another authority");
      context.onTestFinished(() => other.dispose());
      const given = structuredClone(outputs);
      if (given.credentials.tls) given.credentials.tls.caCertificatePem = other.caCertificatePem;
      expect(await ioredis({ published }, guest, given)).toEqual({
        error: expect.stringMatching(/self-signed|verify/),
      });
      if (py)
        expect(await redisPython({ published }, guest, given)).toEqual({
          error: expect.stringMatching(/CERTIFICATE_VERIFY_FAILED/),
        });
      for (const answer of await commandLine({ published, guest }, given))
        expect(answer).toMatch(/certificate verify failed/);
    });

    test.skipIf(guest && !linux)("a node in the place of another one is refused by ioredis and redis-py", async () => {
      // Every way leads to a node of the cluster, with a certificate of its authority, but to the one after it.
      const nodes = nodesOf(outputs.inventory);
      const ways = nodes.map(({ address, port, published: open }) => (published && open ? open : { address, port }));
      const tunnels = Object.fromEntries(
        nodes.map(({ address, port }, i) => {
          const way = ways[(i + 1) % ways.length];
          return [`${address}:${port}`, `${way?.address}:${way?.port}`];
        }),
      );
      expect(await ioredis({ tunnels }, guest)).toEqual({ error: expect.stringMatching(/does not match certificate/) });
      if (py)
        expect(await redisPython({ tunnels }, guest)).toEqual({ error: expect.stringMatching(/IP address mismatch/) });
    });
  });

  test.skipIf(!closed)(
    "the host's own names are in every certificate, for clients that check where they connect to",
    async () => {
      for (const { published } of nodesOf(outputs.inventory)) {
        const tls = clientTls(outputs.credentials.tls ?? {});
        for (const host of ["127.0.0.1", "localhost"])
          await new Promise<void>((settled, failed) => {
            const socket = connect({ ...tls, host, port: published?.port ?? 0 }, () => {
              socket.end();
              settled();
            });
            socket.once("error", failed);
          });
      }
    },
  );

  test("redis-cli -c in a node's own container, by what is in there", async () => {
    const [container = ""] = (await project.containers()).values();
    const { username, password } = outputs.credentials;
    const tls = "--tls --cacert /data/tls/ca-*.crt --cert /data/tls/node-*.crt --key /data/tls/node-*.key";
    const how = closed ? `--user ${username} ${tls}` : "";
    for (const tag of TAGS)
      expect(await inContainer(container, `redis-cli -c ${how} SET cli:${tag} x`, password)).toBe("OK");
  });
});

function run(program: string, args: readonly string[], stdin: string): Promise<{ stdout: string }> {
  return new Promise((settled, failed) => {
    const child = execFile(program, args, (error, stdout, stderr) =>
      error || stderr ? failed(new Error(stderr || error?.message)) : settled({ stdout }),
    );
    child.stdin?.end(stdin);
  });
}

/** `redis-cli` of the image, in a container that joins the network. */
async function cliGuest(network: string, args: readonly string[], login: ReturnType<typeof loginOf>): Promise<string> {
  const { username, password, tls } = login;
  const files = tls && tlsFiles(tls);
  try {
    const how = [
      ...(username === undefined ? [] : ["--user", username]),
      ...(files ? ["--tls", "--cacert", files.ca, "--cert", files.cert, "--key", files.key] : []),
      ...args,
    ];
    const { stdout, stderr } = await runGuest({
      image: "redis:8.0",
      network,
      command: ["redis-cli", ...how],
      env: password === undefined ? {} : { REDISCLI_AUTH: password },
      folders: files ? [files.folder] : [],
    });
    return stdout + stderr;
  } finally {
    if (files) rmSync(files.folder, { recursive: true, force: true });
  }
}

async function inContainer(id: string, command: string, password: string | undefined): Promise<string> {
  const exec = await dockerClient()
    .getContainer(id)
    .exec({
      Cmd: ["/bin/sh", "-c", command],
      Env: password === undefined ? [] : [`REDISCLI_AUTH=${password}`],
      AttachStdout: true,
      AttachStderr: true,
    });
  const [answer, stream] = [new PassThrough(), await exec.start({})];
  dockerClient().modem.demuxStream(stream, answer, answer);
  stream.once("end", () => answer.end());
  let text = "";
  for await (const piece of answer) text += piece;
  return text.trim();
}
