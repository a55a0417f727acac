import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { renderUsersAcl, replicationUser } from "../../../components/config/usersAcl";
import type { ServerProgram } from "../../support/servers";
import { type RunningServer, startServer, TEST_SERVER_NAMES, testServers } from "../../support/servers";

const hash = (password: string) => createHash("sha256").update(password).digest("hex");
const OPERATOR = { username: "operator", password: "all" };

function startNode(server: ServerProgram): Promise<RunningServer> {
  const users = renderUsersAcl([
    { name: "operator", passwordHashes: [hash("all")], keys: ["*"], channels: ["*"], commands: ["+@all"] },
    replicationUser({ name: server.engine, version: server.version }, "replication", [hash("repl")]),
  ]);
  return startServer({
    server,
    files: { "users.acl": users },
    directives: [
      { name: "cluster-enabled", value: "yes" },
      { name: "cluster-node-timeout", value: "2000" },
      { name: "repl-diskless-sync-delay", value: "0" },
      { name: "aclfile", value: "users.acl" },
      { name: "masteruser", value: "replication" },
      { name: "masterauth", value: "repl" },
    ],
  });
}

async function eventually(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`not within 20 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test.for(TEST_SERVER_NAMES)("%s replicates with the replication user's rights", async (name, { skip }) => {
  const servers = (await testServers()) ?? skip("no test servers");
  const [master, replica] = [await startNode(servers[name]), await startNode(servers[name])];
  try {
    const [a, b] = [master.connect(OPERATOR), replica.connect(OPERATOR)];
    await a.call("CLUSTER", "ADDSLOTSRANGE", "0", "16383");
    await b.call("CLUSTER", "MEET", master.address, String(master.port));
    const id = (await a.call("CLUSTER", "MYID")) as string;
    await eventually("REPLICATE", async () => (await b.call("CLUSTER", "REPLICATE", id).catch(() => "")) === "OK");
    await eventually("the replica's link is up", async () =>
      (await b.info("replication")).includes("master_link_status:up"),
    );
    await eventually("cluster_state:ok", async () =>
      String(await a.call("CLUSTER", "INFO")).includes("cluster_state:ok"),
    );
    await a.multi().set("{k}1", "v").incr("{k}n").exec();
    expect(await a.wait(1, 5_000)).toBe(1);
  } finally {
    await Promise.all([master.stop("SIGKILL"), replica.stop("SIGKILL")]);
  }
});

test("valkey-9.1 hands over slots with the replication user's rights, under transactions", async ({ skip }) => {
  const servers = (await testServers()) ?? skip("no test servers");
  const [from, to] = [await startNode(servers["valkey-9.1"]), await startNode(servers["valkey-9.1"])];
  let writing = true;
  let writer: Promise<unknown> = Promise.resolve();
  try {
    const [a, b] = [from.connect(OPERATOR), to.connect(OPERATOR)];
    await a.call("CLUSTER", "ADDSLOTSRANGE", "0", "16000");
    await b.call("CLUSTER", "ADDSLOTSRANGE", "16001", "16383");
    await b.call("CLUSTER", "MEET", from.address, String(from.port));
    await eventually("cluster_state:ok", async () =>
      (await Promise.all([a, b].map((node) => node.call("CLUSTER", "INFO")))).every((text) =>
        String(text).includes("cluster_state:ok"),
      ),
    );
    // {k1} is in slot 12706; enough around it that the stream of changes is read, not only the copy.
    await a.eval("for i = 1, 200000 do redis.call('set', '{k1}' .. i, string.rep('x', 50)) end", 1, "{k1}");
    writer = (async () => {
      while (writing)
        await a
          .multi()
          .incr("{k1}n")
          .hincrby("{k1}h", "f", 1)
          .exec()
          .catch(() => {});
    })();
    expect(
      await a.call(
        "CLUSTER",
        "MIGRATESLOTS",
        "SLOTSRANGE",
        "12706",
        "12706",
        "NODE",
        (await b.call("CLUSTER", "MYID")) as string,
      ),
    ).toBe("OK");
    // The new owner sleeps a little, so that writes of the meantime follow the copy.
    to.process.kill("SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, 300));
    to.process.kill("SIGCONT");
    const outcome = async () =>
      /"state","(success|failed|canceled)"/.exec(JSON.stringify(await a.call("CLUSTER", "GETSLOTMIGRATIONS")))?.[1];
    await eventually("the job ends", async () => (await outcome()) !== undefined);
    expect(await b.call("ACL", "LOG")).toEqual([]);
    expect(await outcome()).toBe("success");
    expect(await b.call("CLUSTER", "COUNTKEYSINSLOT", "12706")).toBe(200_002);
  } finally {
    writing = false;
    await writer;
    await Promise.all([from.stop("SIGKILL"), to.stop("SIGKILL")]);
  }
});
