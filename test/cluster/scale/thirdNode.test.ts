import { expect, test, vi } from "vitest";
import { type Command, Connections } from "../../../components/formation/wire";
import { keyIn } from "./support";
import { SHAPE, Uneven } from "./uneven";

test.for([
  ["scripts", []],
  ["no scripts", ['rename-command EVAL ""']],
] as const)(
  "a slot that somebody else hands to a third node between the look and the move (%s): it stays there with what was written since, and ends where it is planned",
  { timeout: 120_000 },
  async ([, lines], context) => {
    const uneven = await Uneven.start(context, "redis-7.0", SHAPE, 5_000, lines);
    const { cluster } = uneven;
    const [, source = "", third = ""] = await cluster.leaders();
    const slots = await uneven.unbalance(6);
    const [taken = 0] = slots;
    await uneven.fill(slots.slice(1), "before");

    const send = Connections.prototype.send;
    let handed = false;
    const spy = vi.spyOn(Connections.prototype, "send").mockImplementation(async function (
      this: Connections,
      endpoint,
      commands: readonly Command[],
      options,
    ) {
      const changes = commands.some(([name, what]) => name === "EVAL" || (name === "CLUSTER" && what === "SETSLOT"));
      if (changes && !handed) {
        handed = true;
        const id = async (name: string) => String(await cluster.call(name, "CLUSTER", "MYID"));
        await cluster.call(third, "CLUSTER", "SETSLOT", taken, "IMPORTING", await id(source));
        await cluster.call(third, "CLUSTER", "SETSLOT", taken, "NODE", await id(third));
        const client = cluster.connect(third);
        for (let n = 0; n < 20; n++) {
          await client.set(keyIn(taken, n), `${n}`);
          uneven.written.set(keyIn(taken, n), `${n}`);
        }
        client.disconnect();
      }
      return send.call(this, endpoint, commands, options);
    });
    try {
      await cluster.reconcile({ way: "classic" }).catch(() => undefined);
    } finally {
      spy.mockRestore();
    }
    expect([handed, await uneven.missing()]).toEqual([true, []]);
    await cluster.reconcile({ way: "classic" });
    expect([await cluster.faults(), await uneven.missing(), await uneven.plannedSlots()]).toEqual([[], [], []]);
  },
);
