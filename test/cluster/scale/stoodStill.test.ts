import { expect, test, vi } from "vitest";
import { type Command, Connections } from "../../../components/formation/wire";
import { until } from "../../support/formation";
import type { TestServerName } from "../../support/servers";
import { keyIn } from "./support";
import { Uneven } from "./uneven";

// A server that stands still for longer than a node timeout is replaced by its replica, and when it goes on, it carries out
// what has come meanwhile before it hears of that.

const SERVERS: readonly TestServerName[] = process.env.FULL
  ? ["redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1"]
  : ["redis-7.0"];
const NODE_TIMEOUT_MILLISECONDS = 1_000;
const KEYS = 50;

/** The first command that moves keys on the source, or that hands slots over on the target. */
function isFor(role: "source" | "target", [name, ...args]: Command): boolean {
  const turn = name === "EVAL" && /^(IMPORTING|MIGRATING)$/.test(String(args[3]));
  if (role === "source") return name === "MIGRATE" || (name === "EVAL" && !turn);
  return (turn && Number(args[6]) > 0) || (name === "CLUSTER" && args[0] === "SETSLOT" && args[2] === "NODE");
}

test.for(SERVERS.flatMap((server) => (["source", "target"] as const).map((role) => [server, role] as const)))(
  "%s: the %s of a move stands still until its replica leads: what that one has acknowledged since is there",
  { timeout: 120_000 },
  async ([server, role], context) => {
    const shape = { masters: 3, replicas: 1, zones: 3 };
    const uneven = await Uneven.start(context, server, shape, NODE_TIMEOUT_MILLISECONDS);
    const { cluster } = uneven;
    const slots = await uneven.unbalance();
    const [target = "", source = ""] = await cluster.leaders();
    await uneven.fill(slots, "before", KEYS);
    const own = cluster.goal.plan.shards[0]?.slots[0]?.end ?? 0;
    await uneven.fill([own], "before", KEYS);
    const victim = role === "source" ? source : target;
    const shard = cluster.goal.plan.shards.find(({ nodes }) => nodes.some((n) => n.name === victim));
    const replica = shard?.nodes.find((n) => n.name !== victim)?.name ?? "";
    const endpoint = cluster.endpoint(victim);
    const send = Connections.prototype.send;
    let stood = false;
    const spy = vi.spyOn(Connections.prototype, "send").mockImplementation(async function (
      this: Connections,
      to,
      commands,
      options,
    ) {
      const now = to.port === endpoint.port && to.address === endpoint.address && commands.some((c) => isFor(role, c));
      if (stood || !now) return send.call(this, to, commands, options);
      stood = true;
      cluster.signal(victim, "SIGSTOP");
      const answers = send.call(this, to, commands, options);
      try {
        await until("the replica leads", async () => String(await cluster.call(replica, "ROLE")).startsWith("master"));
        for (const slot of role === "source" ? slots : [own])
          for (let n = 0; n < KEYS; n++) {
            const key = keyIn(slot, n);
            await cluster.call(replica, "SET", key, "since");
            uneven.written.set(key, "since");
          }
      } finally {
        cluster.signal(victim, "SIGCONT");
      }
      return answers;
    });
    const outcome = await cluster.reconcile({ way: "classic" }).then(
      () => "done",
      (error: Error) => error.message,
    );
    spy.mockRestore();
    expect(stood).toBe(true);
    // Copies that the source made of what had been its own are for a person to look at.
    expect(outcome).toMatch(role === "source" ? /^done$|exists? on both with different values/ : /^done$/);
    expect(await uneven.missing()).toEqual([]);
  },
);
