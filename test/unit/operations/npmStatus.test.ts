import { describe, expect, test } from "vitest";
import type { Console } from "../../../components/operations/cli/console";
import { findTarget, TARGET_OPTIONS } from "../../../components/operations/cli/target";
import { parseOptions } from "../../../components/operations/cli/verb";

const toolchain = import("../../../infra/toolchain/status.mjs");
const silent: Console = { out() {}, error() {}, isTerminal: false, width: 80, env: {}, cwd: "/" };

/** A stack that was up; what is left of the arguments without its name is `stackCommand`'s matter. */
const found = (given: readonly string[]) => ({ file: "/project/.local/local.inventory.json", rest: given });
const noStack = () => {
  throw new Error("stack local has no cluster yet");
};

describe("what `npm run status` asks `redis-cluster status` for", () => {
  test("the stack's inventory where nothing else is named", async () => {
    const { statusArguments } = await toolchain;
    expect(statusArguments([], found)).toEqual(["--inventory", "/project/.local/local.inventory.json"]);
    expect(statusArguments(["--json", "--no-color"], found)).toEqual([
      "--inventory",
      "/project/.local/local.inventory.json",
      "--json",
      "--no-color",
    ]);
  });

  test.each([
    [["--node", "127.0.1.1:7000"]],
    [["--node=127.0.1.1:7000"]],
    [["-n", "127.0.1.1:7000"]],
    [["-n127.0.1.1:7000"]],
  ])("%j: that node, and no stack is looked for", async (given) => {
    const { statusArguments } = await toolchain;
    const options = parseOptions(statusArguments(given, noStack), TARGET_OPTIONS);
    expect(await findTarget(options, silent)).toEqual({
      seeds: [{ address: "127.0.1.1", port: 7000, busPort: 17_000 }],
    });
  });

  test.each([[["--inventory", "-"]], [["-i", "cluster.json", "--json"]], [["--help"]]])(
    "%j goes on as it is",
    async (given) => {
      const { statusArguments } = await toolchain;
      expect(statusArguments(given, noStack)).toEqual(given);
    },
  );

  test("a stack and a node: the command itself says that they exclude each other", async () => {
    const { statusArguments } = await toolchain;
    const given = statusArguments(["--stack", "other", "--node", "127.0.1.1:7000"], noStack);
    await expect(findTarget(parseOptions(given, TARGET_OPTIONS), silent)).rejects.toThrow(
      "--node and --stack exclude each other",
    );
  });
});

describe("as whom `npm run status` logs in", () => {
  const credentials = '{"username":"app","password":"x"}';
  const known = async () => credentials;
  const nobody = async (): Promise<string> => {
    throw new Error("the stack was asked");
  };

  test("as the stack's own operator", async () => {
    const { statusCredentials } = await toolchain;
    expect(await statusCredentials(["--json"], known)).toBe(credentials);
  });

  test.each([
    [["--credentials", "-"]],
    [["-c", "file"]],
    [["--cacert", "ca.pem"]],
    [["--node", "a:1"]],
    [["--inventory", "-"]],
  ])("%j: as the caller says, and the stack is not asked", async (given) => {
    const { statusCredentials } = await toolchain;
    expect(await statusCredentials(given, nobody)).toBeUndefined();
  });
});
