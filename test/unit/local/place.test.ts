import * as fs from "node:fs";
import * as net from "node:net";
import * as os from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { zoneAddress } from "../../../infra/platforms/local/platform";
import { type InstanceRecord, writeInstanceRecord } from "../../../infra/platforms/local/runner/folder";
import { choosePlace } from "../../../infra/platforms/local/runner/place";
import type { PlacementHints } from "../../../infra/platforms/local/runner/types";

const LINUX = process.platform === "linux";
let root: string;
beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), "place-"));
});
afterEach(() => fs.rmSync(root, { recursive: true, force: true }));

const folderOf = (node: string, cluster = "stack/cluster") => path.join(root, cluster, node);

/** A node that is there, running or not: its record on disk is what counts. */
function stopped(node: string, record: Partial<InstanceRecord>, cluster?: string): void {
  const folder = folderOf(node, cluster);
  fs.mkdirSync(folder, { recursive: true });
  writeInstanceRecord(folder, {
    instance: node,
    fingerprint: "",
    zone: "zone-a",
    address: "127.77.1.1",
    port: 1,
    ...record,
  });
}

function hints(changes: Partial<PlacementHints> = {}): PlacementHints {
  const { address, addressPerZone } = LINUX
    ? { address: "127.77.1.1", addressPerZone: true }
    : { address: "127.0.0.1", addressPerZone: false };
  return { address, addressPerZone, firstPort: 19_500, fixedPorts: false, offset: 7, ...changes };
}

describe("ports", () => {
  test("the first try is the first port plus the node's number, the bus 10000 above", async () => {
    const place = await choosePlace(folderOf("new"), "zone-a", hints());
    expect(place).toMatchObject({ port: 19_507, busPort: 29_507, portBase: 0 });
  });

  test("a stopped node of any stack keeps its port to itself", async () => {
    stopped("other", { address: hints().address, port: 19_507 }, "stack-2/cluster");
    expect((await choosePlace(folderOf("new"), "zone-a", hints())).port).toBe(20_507);
  });

  test("what a node has, it keeps; ports that the user names anew win", async () => {
    const kept = { address: "127.77.1.1", port: 15_000, portBase: 0 };
    expect(await choosePlace(folderOf("n"), "zone-a", hints(), kept)).toMatchObject({ port: 15_000, busPort: 25_000 });
    const fixed = hints({ fixedPorts: true });
    expect(await choosePlace(folderOf("n"), "zone-a", fixed, kept)).toMatchObject({ port: 19_507, portBase: 19_500 });
    expect((await choosePlace(folderOf("n"), "zone-a", fixed, { ...kept, portBase: 19_500 })).port).toBe(15_000);
  });

  test("none below the limit is an error that says so", async () => {
    stopped("a", { address: hints().address, port: 22_507 });
    await expect(choosePlace(folderOf("n"), "zone-a", hints({ firstPort: 22_500 }))).rejects.toThrow(
      /no free port among 22507, 23507, … below 22768/,
    );
  });
});

describe.skipIf(!LINUX)("addresses", () => {
  test("a zone is where its nodes already are", async () => {
    stopped("a", { zone: "zone-b", address: "127.77.4.1" });
    expect((await choosePlace(folderOf("n"), "zone-b", hints())).address).toBe("127.77.4.1");
  });

  test("a zone that sorts before others does not take their address", async () => {
    stopped("b", { zone: "zone-b", address: "127.77.1.1" });
    stopped("c", { zone: "zone-c", address: "127.77.2.1" });
    expect((await choosePlace(folderOf("n"), "zone-a", hints())).address).toBe("127.77.3.1");
  });

  test("another cluster's addresses are no matter", async () => {
    stopped("b", { zone: "zone-b", address: "127.77.1.1" }, "stack/other");
    expect((await choosePlace(folderOf("n"), "zone-a", hints())).address).toBe("127.77.1.1");
  });
});

test("Linux has an address a zone, other systems have one", () => {
  expect([0, 2].map((index) => zoneAddress(index, "linux").address)).toEqual(["127.0.1.1", "127.0.3.1"]);
  expect([0, 2].map((index) => zoneAddress(index, "darwin").address)).toEqual(["127.0.0.1", "127.0.0.1"]);
});

test.runIf(process.platform === "linux")(
  "a block where another cluster listens is left to it: a gap there may be a node that restarts",
  async () => {
    const other = net.createServer();
    const address = "127.77.9.1";
    const first = 15_000;
    await new Promise<void>((resolve) => other.listen(first + 3, address, resolve));
    try {
      const place = await choosePlace(folderOf("n"), "zone-a", { ...hints(), address, firstPort: first, offset: 1 });
      expect(place.port).toBe(first + 1 + 1000);
    } finally {
      other.close();
    }
  },
);
