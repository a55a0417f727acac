import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isBlank } from "../../../infra/platforms/local/runner/lastCopy";

let cluster: string;
beforeEach(() => {
  cluster = fs.mkdtempSync(path.join(os.tmpdir(), "blank-"));
});
afterEach(() => fs.rmSync(cluster, { recursive: true, force: true }));

const place = { name: "node-0", address: "127.0.1.1", port: 7000 };

function holds(node: string, files: Record<string, string>): string {
  const folder = path.join(cluster, node);
  fs.mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(folder, name), text);
  return folder;
}

const VARS = "vars currentEpoch 0 lastVoteEpoch 0\n";
const itself = (rest = "") => `${"a".repeat(40)} :0@0,,tls-port=0 myself,master - 0 0 0 connected${rest}\n`;
const member = `${"b".repeat(40)} 127.0.1.1:7000@17000 master - 0 1 1 connected\n`;

describe("a node was never of a cluster", () => {
  test.each([
    ["nothing was started in its folder", {}, true],
    ["its server ended before it wrote its file", { "nodes.conf": "" }, true],
    ["its file names only itself, without slots", { "nodes.conf": itself() + VARS }, true],
    ["not where it owns slots", { "nodes.conf": itself(" 0-5460") + VARS }, false],
    ["not where it knows another member", { "nodes.conf": itself() + member + VARS }, false],
    ["not where it has data", { "dump.rdb": "" }, false],
  ])("%s", (_what, files, blank) => {
    const folder = holds("node-0", files);
    holds("node-1", { "nodes.conf": itself() + VARS });
    expect(isBlank(folder, place)).toBe(blank);
  });

  test("not where another node knows it by its address", () => {
    const folder = holds("node-0", {});
    holds("node-1", { "nodes.conf": itself() + member + VARS });
    expect(isBlank(folder, place)).toBe(false);
    expect(isBlank(folder, { ...place, port: 7001 })).toBe(true);
  });

  // As servers write it that speak TLS: Redis 7.0, and all later ones, without and with a plain port beside it.
  test.each([":7000@17000", ":0@17000,,tls-port=7000", ":7100@17000,,tls-port=7000"])(
    "nor where one does that has it at %s",
    (port) => {
      const folder = holds("node-0", {});
      const line = `${"b".repeat(40)} 127.0.1.1${port} master - 0 1 1 connected\n`;
      holds("node-1", { "nodes.conf": itself() + line + VARS });
      expect(isBlank(folder, place)).toBe(false);
      expect(isBlank(folder, { ...place, port: 7001 })).toBe(true);
    },
  );
});
