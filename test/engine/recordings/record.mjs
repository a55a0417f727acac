#!/usr/bin/env node
// Runs every scenario of scenarios.json on the `pulumi` on PATH and writes recorded/<scenario>.json.
// usage: SDK=<folder whose node_modules holds @pulumi/pulumi> node record.mjs [scenario…]
// Each scenario runs three times; a step whose calls came in another order in one of them is marked "ordered": false.
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const sdk = resolve(process.env.SDK ?? here, "node_modules");
const wanted = process.argv.slice(2);
const scenarios = JSON.parse(readFileSync(join(here, "scenarios.json"), "utf8"));
const short = urn => urn.split("::").slice(2).map(p => p.split("$").pop()).join("::");
const strip = v => {
  if (Array.isArray(v)) return v.map(strip);
  if (v && typeof v === "object") {
    if (v["4dabf18193072939515e22adb298388d"]) return { "<secret>": v.plaintext ? JSON.parse(v.plaintext) : "encrypted" };
    return Object.fromEntries(Object.entries(v).filter(([k]) => k !== "__provider").sort().map(([k, x]) => [k, strip(x)]));
  }
  return v;
};

function run(scenario) {
  const work = mkdtempSync(join(tmpdir(), "rec-"));
  try {
    cpSync(join(here, "program.js"), join(work, "program.js"));
    cpSync(join(here, "Pulumi.yaml"), join(work, "Pulumi.yaml"));
    writeFileSync(join(work, "package.json"), '{"name":"rec","main":"program.js"}');
    symlinkSync(sdk, join(work, "node_modules"));
    mkdirSync(join(work, "state"));
    const base = { ...process.env, PULUMI_BACKEND_URL: `file://${work}/state`, PULUMI_CONFIG_PASSPHRASE: "x", PULUMI_SKIP_UPDATE_CHECK: "1", PULUMI_DEBUG_COMMANDS: "true", PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true", PULUMI_HOME: join(work, "home") };
    const pulumi = (args, env = {}) => spawnSync("pulumi", args, { cwd: work, env: { ...base, ...env }, encoding: "utf8" });
    pulumi(["stack", "init", "dev"]);
    if (scenario.password) pulumi(["config", "set", "--secret", "rec:password", scenario.password]);
    return scenario.steps.map((step, i) => {
      if (step.shape) pulumi(["config", "set", "rec:shape", JSON.stringify(step.shape)]);
      const calls = join(work, `calls-${i}`), events = join(work, `events-${i}`);
      writeFileSync(calls, "");
      const args = [step.do, ...(step.do === "preview" ? [] : ["--yes", "--skip-preview"]), ...(step.flags ?? []), "--non-interactive", "--event-log", events];
      const out = pulumi(args, { ...step.env, CALLS: calls });
      if (process.env.DEBUG && out.status !== 0) console.error(out.stdout, out.stderr);
      const ops = !existsSync(events) ? [] : readFileSync(events, "utf8").trim().split("\n").filter(Boolean).map(l => JSON.parse(l)).flatMap(e => {
        const m = e.resourcePreEvent?.metadata ?? undefined, o = e.resOutputsEvent?.metadata ?? undefined, f = e.resOpFailedEvent?.metadata ?? undefined;
        if (m) return [`pre ${m.op} ${short(m.urn)}`];
        if (o) return [`out ${o.op} ${short(o.urn)}`];
        if (f) return [`failed ${f.op} ${short(f.urn)}`];
        return [];
      });
      const exported = JSON.parse(execFileSync("pulumi", ["stack", "export", "--show-secrets"], { cwd: work, env: base, encoding: "utf8" }));
      const resources = (exported.deployment.resources ?? []).map(r => ({
        urn: short(r.urn), id: r.type.startsWith("pulumi:providers") ? "<uuid>" : r.id, inputs: strip(r.inputs ?? {}), outputs: strip(r.outputs ?? {}),
        parent: r.parent && short(r.parent), dependencies: (r.dependencies ?? []).map(short).sort(),
        propertyDependencies: Object.fromEntries(Object.entries(r.propertyDependencies ?? {}).filter(([, d]) => d?.length).map(([k, d]) => [k, d.map(short).sort()])),
        initErrors: r.initErrors, delete: r.delete, protect: r.protect,
      }));
      return { do: step.do, flags: step.flags, env: step.env, ok: out.status === 0, calls: readFileSync(calls, "utf8").trim().split("\n").filter(Boolean), operations: ops, state: JSON.parse(JSON.stringify(resources)) };
    });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

mkdirSync(join(here, "recorded"), { recursive: true });
const version = spawnSync("pulumi", ["version"], { encoding: "utf8" }).stdout.trim() || process.env.PULUMI_VERSION_NOTE || "unknown";
const sdkVersion = JSON.parse(readFileSync(join(sdk, "@pulumi/pulumi/package.json"), "utf8")).version;
for (const scenario of scenarios.filter(s => !wanted.length || wanted.includes(s.name))) {
  const [first, ...others] = [run(scenario), run(scenario), run(scenario)];
  const sorted = l => JSON.stringify([...l].sort());
  const steps = first.map((s, i) => ({
    ...s,
    ordered: others.every(o => JSON.stringify(o[i].calls) === JSON.stringify(s.calls) && JSON.stringify(o[i].operations) === JSON.stringify(s.operations)),
    sameSet: others.every(o => sorted(o[i].calls) === sorted(s.calls) && sorted(o[i].operations) === sorted(s.operations)),
  }));
  writeFileSync(join(here, "recorded", `${scenario.name}.json`), JSON.stringify({ scenario: scenario.name, cli: version, sdk: sdkVersion, steps }, null, 1) + "\n");
  console.log(scenario.name, steps.map(s => `${s.do}:${s.ok ? "ok" : "failed"}${s.ordered ? "" : s.sameSet ? "~" : "!"}`).join(" "));
}
