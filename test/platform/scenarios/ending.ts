import { expect, test } from "vitest";
import type { Subject } from "../subject";

/** The end, which takes the load with it. */
export function ending(subject: () => Subject): void {
  test("destroyed, its data stay where they are to stay, and are there when it is made again; else nothing is left", async () => {
    const { cluster, load } = subject();
    await subject().change("data are to stay", { dataOnDestroy: "keep" });
    const { wrong, keys } = await load.end();
    expect([wrong, keys > 0]).toEqual([[], true]);
    await subject().mustDestroy();
    expect(await cluster.left()).toEqual({ machines: 0, data: 6, other: 0 });
    await subject().mustUp();
    expect(await subject().wrongAfterwards()).toEqual([]);
    subject().declare({ dataOnDestroy: "delete" });
    await subject().mustUp();
    await subject().mustDestroy();
    expect(await cluster.left()).toEqual({ machines: 0, data: 0, other: 0 });
  });
}
