import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startTime } from "../../../infra/platforms/local/runner/processes";
import { LocalVolume } from "../../../infra/platforms/local/runner/volume";
import { findServer } from "../../../infra/platforms/local/server";
import { Bench, pidOf } from "./support";

let bench: Bench;
beforeEach(() => {
  bench = new Bench(findServer());
});
afterEach(() => bench.clean());

describe("a data folder", () => {
  test("is private, and unchanged inputs change nothing", async () => {
    const declared = bench.volume();
    const volume = await bench.createVolume(declared);
    expect(fs.statSync(volume.path).mode & 0o777).toBe(0o700);
    const { inputs } = await LocalVolume.check(volume, declared);
    expect(await LocalVolume.diff("id", volume, inputs)).toMatchObject({ changes: false, replaces: [] });
  });

  test("goes only with consent", async () => {
    const kept = await bench.createVolume(bench.volume("kept", { dataOnDestroy: "keep" }));
    const lost = await bench.createVolume(bench.volume("lost"));
    await LocalVolume.delete("id", kept);
    await LocalVolume.delete("id", lost);
    expect([fs.existsSync(kept.path), fs.existsSync(lost.path)]).toEqual([true, false]);
  });

  test("takes the empty folders of cluster and stack with it, and no others", async () => {
    const volume = await bench.createVolume();
    await LocalVolume.delete("id", volume);
    expect(fs.readdirSync(bench.root)).toEqual([]);
  });

  test("is left alone when it belongs to a successor", async () => {
    const declared = bench.volume();
    const first = await bench.createVolume(declared);
    fs.writeFileSync(path.join(first.path, "dump.rdb"), "data");
    const second = await bench.createVolume(declared);
    expect(second.token).not.toBe(first.token);
    await LocalVolume.delete("id", first);
    expect(fs.existsSync(path.join(second.path, "dump.rdb"))).toBe(true);
  });

  test("that disappeared is seen by read and made again", async () => {
    const volume = await bench.createVolume();
    fs.rmSync(volume.path, { recursive: true });
    const { props } = await LocalVolume.read("id", volume);
    expect(props.present).toBe(false);
    expect(await LocalVolume.diff("id", props, volume)).toMatchObject({ changes: true, replaces: [] });
    await LocalVolume.update("id", props, volume);
    expect((await LocalVolume.read("id", volume)).props).toEqual(volume);
  });

  test("of someone else is refused, with its name", async () => {
    const declared = bench.volume();
    fs.mkdirSync(declared.path, { recursive: true });
    fs.writeFileSync(path.join(declared.path, "precious"), "");
    await expect(bench.createVolume(declared)).rejects.toThrow(/holds files that this program did not make/);
    fs.rmSync(path.join(declared.path, "precious"));
    await bench.createVolume(declared);
    await expect(bench.createVolume({ ...declared, owner: "other/stack/cluster/node-0" })).rejects.toThrow(
      /belongs to project\/stack/,
    );
  });

  test("ends a server that was left on it before it goes", async () => {
    const volume = await bench.createVolume();
    const node = await bench.createNode(bench.node(volume));
    const pid = pidOf(node);
    await LocalVolume.delete("id", volume);
    expect(startTime(pid)).toBeUndefined();
    expect(fs.existsSync(volume.path)).toBe(false);
  });
});

const canMount = process.platform === "linux" && process.getuid?.() === 0 && mounts();
if (!canMount) process.stderr.write("SKIPPED, full disk: needs root and Linux, to mount a small disk\n");

describe.skipIf(!canMount)("a full disk", () => {
  let disk: string;
  beforeEach(() => {
    disk = path.join(bench.root, "disk");
    fs.mkdirSync(disk);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]);
  });
  afterEach(() => execFileSync("umount", ["-l", disk]));

  test("is named by folder, and nothing is left running", async () => {
    const volume = await bench.createVolume(
      bench.volume("node-0", { path: path.join(disk, "stack", "cluster", "node-0") }),
    );
    try {
      fs.writeFileSync(path.join(disk, "ballast"), Buffer.alloc(1 << 20));
    } catch {
      // full now, as wanted
    }
    await expect(bench.createNode(bench.node(volume))).rejects.toThrow(
      /no space left on the disk that holds .*; free some, or set `directory`/,
    );
    await expect(
      bench.createVolume(bench.volume("node-1", { path: path.join(disk, "stack", "cluster", "node-1") })),
    ).rejects.toThrow(/no space left on the disk/);
  });
});

function mounts(): boolean {
  const folder = fs.mkdtempSync("/tmp/mount-");
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], { stdio: "ignore" });
    execFileSync("umount", [folder]);
    return true;
  } catch {
    return false;
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}
