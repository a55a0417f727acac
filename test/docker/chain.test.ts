import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createWorkspace, enginesHere, type RunResult, type Workspace } from "../engine/workspace";
import { dockerClient, dockerHost } from "../support/docker";

// Proves that a change rolls node by node across providers: a node is a container of @pulumi/docker, then a dynamic resource that is
// replaced with it, then a guard, and the next node begins where the guard is done. The other way round it would not: a container whose
// argument becomes unknown is not replaced by that, so what it depends on would go while it runs.

const program = `
const pulumi = require("@pulumi/pulumi");
const docker = require("@pulumi/docker");
const note = (text) => require("fs").appendFileSync(process.env.CALLS, text + "\\n");
const files = {
  async check(olds, news) { return { inputs: news }; },
  async diff(id, olds, news) { return { changes: olds.container !== news.container, replaces: olds.container !== news.container ? ["container"] : [] }; },
  async create(inputs) { require("fs").appendFileSync(process.env.CALLS, "+files " + inputs.node + "\\n"); const instance = require("crypto").randomUUID(); return { id: instance, outs: { ...inputs, instance } }; },
  async delete(id, props) { require("fs").appendFileSync(process.env.CALLS, "-files " + props.node + "\\n"); },
};
const guard = {
  async check(olds, news) { return { inputs: news }; },
  async diff(id, olds, news) { return { changes: olds.instance !== news.instance, replaces: olds.instance !== news.instance ? ["instance"] : [] }; },
  async create(inputs) { require("fs").appendFileSync(process.env.CALLS, "+guard " + inputs.node + "\\n"); return { id: inputs.node, outs: inputs }; },
  async delete(id, props) {
    if (process.env.KEEP === props.node) throw new Error("node " + props.node + " is needed");
    require("fs").appendFileSync(process.env.CALLS, "-guard " + props.node + "\\n");
  },
};
class Dynamic extends pulumi.dynamic.Resource {}
let before = [];
const network = new docker.Network("net", {});
for (const node of ["a", "b"]) {
  const options = { deleteBeforeReplace: true };
  const version = process.env["VERSION_" + node] || process.env.VERSION;
  const box = new docker.Container("box-" + node, {
    image: "redis:7.0", command: ["sleep", "1000"], networksAdvanced: [{ name: network.name }],
    labels: [{ label: "version", value: version }],
  }, { ...options, dependsOn: before });
  const made = new Dynamic(files, "files-" + node, { node, container: box.id, instance: undefined }, options);
  before = [new Dynamic(guard, "guard-" + node, { node, instance: made.instance }, options)];
}
const formation = new Dynamic({ ...guard, async diff(id, olds, news) { return { changes: false }; } }, "formation", { node: "all" }, { dependsOn: before });
module.exports = {};
void note;
`;

const rolled = (node: string) => [
  `pre delete-replaced guard-${node}`,
  `pre delete-replaced files-${node}`,
  `pre delete-replaced box-${node}`,
  `pre create-replacement box-${node}`,
  `pre create-replacement files-${node}`,
  `pre create-replacement guard-${node}`,
];

describe.skipIf(dockerHost === undefined).each(enginesHere("docker"))(
  "a change of all nodes, on %s",
  { timeout: 120_000 },
  (engine) => {
    let workspace: Workspace;
    const run = (command: "up" | "preview" | "destroy", env: Record<string, string>) => workspace[command]({ env });
    /** Deletions and creations, in the order of the engine's steps. */
    const steps = ({ operations }: RunResult) =>
      operations
        .filter((line) => /^pre (delete|create)/.test(line))
        .map((line) => line.replace(/ \S+::/, " "))
        .filter((line) => !line.includes("default"));
    const boxes = async () =>
      (await dockerClient().listContainers({ all: true }))
        .filter(({ Names }) => Names.some((name) => /^\/box-[ab]-/.test(name)))
        .map(({ Id }) => Id)
        .sort();

    beforeAll(async () => {
      workspace = await createWorkspace({
        program: { source: program, name: "chain" },
        engine,
        env: { DOCKER_HOST: dockerHost ?? "", CALLS: "/dev/null", VERSION: "1" },
      });
      expect((await run("up", {})).ok).toBe(true);
    });
    afterAll(async () => {
      const result = await run("destroy", {});
      workspace.dispose();
      expect(result.ok).toBe(true);
      expect(await boxes()).toEqual([]);
    });

    test("is previewed as it will be done", async () => {
      const preview = steps(await run("preview", { VERSION: "2" }));
      for (const node of ["a", "b"])
        expect(preview.filter((line) => line.endsWith(`-${node}`)).slice(0, 6)).toEqual(rolled(node));
    });

    test("is done node by node: each is gone and back before the next is touched", async () => {
      const before = await boxes();
      const result = await run("up", { VERSION: "2" });
      expect(result.ok).toBe(true);
      expect(steps(result)).toEqual([...rolled("a"), ...rolled("b")]);
      const done = result.operations.map((line) => line.replace(/ \S+::/, " "));
      expect(done.indexOf("out create-replacement guard-a")).toBeLessThan(done.indexOf("pre delete-replaced guard-b"));
      expect((await boxes()).filter((id) => before.includes(id))).toEqual([]);
      const again = await run("up", { VERSION: "2" });
      expect(steps(again)).toEqual([]);
    });

    test("of one node leaves the other alone", async () => {
      expect(steps(await run("up", { VERSION: "2", VERSION_b: "3" }))).toEqual(rolled("b"));
    });

    test("stops at a guard that keeps its node, whose container stays, and goes on from there", async () => {
      const before = await boxes();
      const kept = await run("up", { VERSION: "4", KEEP: "a" });
      expect(kept.ok).toBe(false);
      expect(await boxes()).toEqual(before);
      const resumed = await run("up", { VERSION: "4" });
      expect(resumed.ok).toBe(true);
      expect(steps(resumed)).toEqual([...rolled("a"), ...rolled("b")]);
    });
  },
);
