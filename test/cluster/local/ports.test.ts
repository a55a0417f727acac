import { spawn } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { PortTaken } from "../../../infra/platforms/local/runner/failures";
import { readInstanceRecord, writeInstanceRecord } from "../../../infra/platforms/local/runner/folder";
import { LocalNode } from "../../../infra/platforms/local/runner/node";
import { findMarked, processMark, startTime } from "../../../infra/platforms/local/runner/processes";
import { recordOf } from "../../../infra/platforms/local/runner/server";
import { CLIENT_PORT_LIMIT, type NodeDeclaration, PORT_STRIDE } from "../../../infra/platforms/local/runner/types";
import { findServer } from "../../../infra/platforms/local/server";
import { GatedServer } from "../../support/gate";
import { type RunningServer, startServer } from "../../support/servers";
import { ask, Bench, eventually, hasData, killHard, pidOf, withData } from "./support";

// Drives the runner against real servers, the way Pulumi drives it, and interrupts it the ways a machine does.

let bench: Bench;
beforeEach(() => {
  bench = new Bench(findServer());
});
afterEach(() => bench.clean());

/** A server that is not ours, and would answer in place of ours. */
async function foreignAt({ address, port }: { address: string; port: number }): Promise<RunningServer> {
  const { path, engine } = bench.server;
  const server = { path, engine: engine.name, version: engine.version };
  const foreign = await startServer({ server, address, port, conf: "" });
  onTestFinished(() => foreign.stop());
  return foreign;
}

describe("a server that was ended, and whose successor was not made: the run was killed on the way", () => {
  /** At the second place that it may have: another one is at the first when it is made, and gone when it is ended. */
  async function endedNode() {
    const declared = bench.node(await bench.createVolume());
    const first = await foreignAt(await bench.checkNode(declared));
    const node = await bench.createNode(declared);
    await withData(node);
    await first.stop();
    await LocalNode.delete("id", node);
    const { hints } = declared;
    return { declared, node, usual: hints.firstPort + hints.offset };
  }

  /** Another node of the cluster, of which a record tells. */
  async function fellow(name: string, zone: string, { address, port }: { address: string; port: number }) {
    const { path: folder } = await bench.createVolume(bench.volume(name));
    writeInstanceRecord(folder, { instance: name, fingerprint: "", zone, address, port });
  }

  /** Of another zone, which has the next address. */
  async function elsewhere({ address, port }: { address: string; port: number }) {
    const next = address.split(".").map((part, i) => (i === 2 ? String(Number(part) + 1) : part));
    await fellow("node-9", "zone-z", { address: next.join("."), port: port + 9 });
  }

  test("it comes back where the others know it, with its data", async () => {
    const { declared, node, usual } = await endedNode();
    await elsewhere(node);
    expect(node.port).not.toBe(usual);
    const back = await bench.createNode(declared);
    expect([back.address, back.port, back.busPort]).toEqual([node.address, node.port, node.busPort]);
    await hasData(back);
  });

  test("unless somebody else is there by now: then anywhere else, with its data", async () => {
    const { declared, node } = await endedNode();
    await elsewhere(node);
    await foreignAt(node);
    const back = await bench.createNode(declared);
    expect(back.port).not.toBe(node.port);
    await hasData(back);
  });

  test("unless a node that is down has it by now: then anywhere else", async () => {
    const { declared, node } = await endedNode();
    await fellow("node-1", declared.zone, node);
    expect((await bench.checkNode(declared)).port).not.toBe(node.port);
  });

  test("unless something else is declared by now", async () => {
    const { declared, node, usual } = await endedNode();
    await elsewhere(node);
    const { hints } = declared;
    const placeFor = async (changes: Partial<NodeDeclaration>) => {
      const { address, port } = await bench.checkNode({ ...declared, ...changes });
      return [address, port];
    };
    expect(await placeFor({})).toEqual([node.address, node.port]);
    expect(await placeFor({ hints: { ...hints, fixedPorts: true } })).toEqual([node.address, usual]);
    expect((await placeFor({ hints: { ...hints, firstPort: node.port + 1 - hints.offset } }))[1]).toBe(node.port + 1);
    expect((await placeFor({ hints: { ...hints, address: "127.0.0.1" } }))[0]).toBe("127.0.0.1");
    expect((await placeFor({ hints: { ...hints, address: "127.0.0.1", addressPerZone: false } }))[0]).toBe("127.0.0.1");
    expect((await placeFor({ zone: "zone-b" }))[1]).toBe(usual);
  });

  test("unless all of the cluster has gone: what is made of kept data has places of its own", async () => {
    const { declared, usual } = await endedNode();
    expect((await bench.checkNode(declared)).port).toBe(usual);
  });

  test("a note that cannot be read is none, and one that cannot be written holds up nothing", async () => {
    const { declared, node, usual } = await endedNode();
    await elsewhere(node);
    const note = path.join(node.volume.path, "place.json");
    fs.writeFileSync(note, "");
    const back = await bench.createNode(declared);
    expect(back.port).toBe(usual);
    // As on a full disk.
    fs.mkdirSync(`${note}.new`);
    await LocalNode.delete("id", back);
    expect(readInstanceRecord(node.volume.path)).toBeUndefined();
  });
});

describe("ports that somebody else takes between their choice and the start", () => {
  test("a new node gets others in the same run, and the next run knows them", async () => {
    const gated = await GatedServer.create(bench.root, bench.server.path);
    const declared = bench.node(await bench.createVolume(), { serverPath: gated.path });
    const inputs = await bench.checkNode(declared);
    const creation = LocalNode.create(inputs);
    await gated.reached();
    const foreign = await foreignAt(inputs);
    await gated.open();
    const { outs } = await creation;
    expect([outs.address, outs.port, outs.busPort]).not.toEqual([inputs.address, inputs.port, inputs.busPort]);
    expect(await ask(outs, "INFO server")).toContain(`process_id:${pidOf(outs)}\r`);
    expect(pidOf(outs)).not.toBe(foreign.process.pid);

    // Pulumi hands over the inputs of the last run, which the node did not come to have.
    const news = await bench.checkNode(declared, inputs);
    const { running: _, ...had } = outs;
    expect(news).toEqual(had);
    expect(await LocalNode.diff("id", outs, news)).toMatchObject({ changes: false, replaces: [] });
  });

  test("where no others are left, a new node is not bound to what it had chosen", async () => {
    const declared = bench.node(await bench.createVolume());
    const { port: usual } = await bench.checkNode(declared);
    const firstPort = CLIENT_PORT_LIMIT - PORT_STRIDE + (process.pid % PORT_STRIDE);
    const last = { ...declared, hints: { ...declared.hints, firstPort, offset: 0 } };
    const inputs = await bench.checkNode(last);
    await foreignAt(inputs);
    await expect(LocalNode.create(inputs)).rejects.toThrow(
      /is in use by .*; there is no free port .*, or free that one, then run `up` again/,
    );
    expect(readInstanceRecord(inputs.volume.path)).toBeUndefined();
    expect((await bench.checkNode(declared)).port).toBe(usual);
  });

  test("a new node has no other ports than those that were asked for, and gets others once others are asked for", async () => {
    const gated = await GatedServer.create(bench.root, bench.server.path);
    const declared = bench.node(await bench.createVolume(), { serverPath: gated.path });
    const { port, address } = await bench.checkNode(declared);
    const from = (firstPort: number) => ({
      ...declared,
      hints: { ...declared.hints, firstPort, offset: 0, fixedPorts: true },
    });
    const creation = LocalNode.create(await bench.checkNode(from(port)));
    const refusal = expect(creation).rejects.toThrow(
      new RegExp(`port ${address}:${port} is in use by .*; free it, or choose another \`port\`, then run \`up\` again`),
    );
    await gated.reached();
    await foreignAt({ address, port });
    await gated.open();
    await refusal;
    expect((await bench.createNode(from(port + 1))).port).toBe(port + 1);
  });

  test("a bus port counts as well", async () => {
    const inputs = await bench.checkNode(bench.node(await bench.createVolume()));
    await foreignAt({ address: inputs.address, port: inputs.busPort });
    const { outs } = await LocalNode.create(inputs);
    expect(outs.port).not.toBe(inputs.port);
    expect(await ask(outs, "PING")).toBe("+PONG\r\n");
  });

  test("a node with data keeps them: who has them is named, and once they are free it has its data", async () => {
    const gated = await GatedServer.create(bench.root, bench.server.path);
    const node = await bench.createNode(bench.node(await bench.createVolume()));
    await withData(node);
    const refusedBy = async (foreign: RunningServer, run: Promise<unknown>) => {
      const error = await run;
      expect(error).toBeInstanceOf(PortTaken);
      const told = `port ${node.address}:${node.port} is in use by .*\\(pid ${foreign.process.pid}\\); .*it keeps them: free this one`;
      expect(String(error)).toMatch(new RegExp(`node-0 did not start: ${told}, then run \`up\` again`));
      await foreign.stop();
      const { outs } = await LocalNode.update("id", node, node);
      expect(outs.port).toBe(node.port);
      await hasData(outs);
    };

    await killHard(pidOf(node));
    const update = LocalNode.update("id", node, { ...node, serverPath: gated.path }).catch((error: unknown) => error);
    await gated.reached();
    const foreign = await foreignAt(node);
    await gated.open();
    await refusedBy(foreign, update);

    // As in a roll, which creates the successor on the same data.
    await killHard(pidOf(node));
    await refusedBy(
      await foreignAt(node),
      LocalNode.create(node).catch((error: unknown) => error),
    );
  });

  test("a node that others know keeps them, though its own folder is empty", async () => {
    const first = await bench.createNode(bench.node(await bench.createVolume()));
    const other = await bench.createNode(bench.node(await bench.createVolume(bench.volume("node-1"))));
    await ask(other, `CLUSTER MEET ${first.address} ${first.port}`);
    await eventually("both have met", async () => (await ask(other, "CLUSTER NODES")).includes(`:${first.port}@`));
    await eventually("that is on disk", async () =>
      fs.readFileSync(path.join(other.volume.path, "nodes.conf"), "utf8").includes(`:${first.port}@`),
    );
    await killHard(pidOf(first));
    for (const name of fs.readdirSync(first.volume.path))
      if (name !== "volume.json") fs.rmSync(path.join(first.volume.path, name), { recursive: true });
    await foreignAt(first);
    await expect(LocalNode.create(first)).rejects.toThrow(PortTaken);
  });

  test("a server that an interrupted run left is not taken over where it ends, since somebody else listens", async () => {
    const inputs = await bench.checkNode(bench.node(await bench.createVolume()));
    const foreign = await foreignAt(inputs);
    const left = spawn("sleep", ["600"], { stdio: "ignore" });
    if (left.pid === undefined) throw new Error("no process");
    writeInstanceRecord(inputs.volume.path, {
      ...recordOf(inputs),
      pid: left.pid,
      startTime: startTime(left.pid) ?? "",
    });
    const creation = LocalNode.create(inputs);
    left.kill("SIGKILL");
    const { outs } = await creation;
    expect(outs.port).not.toBe(inputs.port);
    expect(pidOf(outs)).not.toBe(foreign.process.pid);
    expect(await ask(outs, "PING")).toBe("+PONG\r\n");
  });

  test("a script may start the server as its child", async () => {
    const script = path.join(bench.root, "server.sh");
    fs.writeFileSync(script, `#!/bin/sh\n'${bench.server.path}' "$@"\n`, { mode: 0o755 });
    const node = await bench.createNode(bench.node(await bench.createVolume(), { serverPath: script }));
    expect(await ask(node, "PING")).toBe("+PONG\r\n");
    // The script waits for it: neither was ended, and taken over without the other, as a start that failed would be.
    expect(findMarked(processMark(node.volume.path))).toHaveLength(2);
  });
});
