import { setTimeout } from "node:timers/promises";
import { Connections } from "../../formation/wire";
import { discover } from "../discover";
import { drawStatus } from "../draw";
import { observeStatus } from "../observeInventory";
import { coloured, plain } from "../paint";
import type { StatusReport } from "../status";
import { ACCESS_HELP, ACCESS_OPTIONS, readAccess } from "./access";
import { type Console, EXIT } from "./console";
import { PROXY_HELP, PROXY_OPTIONS, readProxy } from "./proxy";
import { findTarget, TARGET_HELP, TARGET_OPTIONS, type Target } from "./target";
import { parseOptions, UsageError, type Verb } from "./verb";

const WATCH_MILLISECONDS = 2_000;
const CLIENT_NAME = "pulumi-redis-cluster:status";
const CLEAR_SCREEN = "\u001b[H\u001b[2J";

export const status: Verb = {
  name: "status",
  summary: "how the cluster is: nodes, roles, zones, slots, memory, lag, and what is wrong",
  help: [
    "redis-cluster status: asks every node and draws the cluster as it is; changes nothing",
    "",
    "  --json                 one object (a list where the inventory names several clusters)",
    "  --watch                draw again every two seconds, until Ctrl-C",
    "  --no-color             no colours; also with NO_COLOR, and where the output is no terminal",
    "",
    TARGET_HELP,
    "",
    ACCESS_HELP,
    "",
    PROXY_HELP,
    "",
    "Lines with ! are warnings of host settings, which do not count for the exit code.",
    "Exit code: 0 healthy, 1 degraded, 2 could not tell (no inventory, nobody answers, wrong options).",
  ].join("\n"),
  async run(args, console) {
    const options = parseOptions(args, {
      ...TARGET_OPTIONS,
      ...ACCESS_OPTIONS,
      ...PROXY_OPTIONS,
      json: { type: "boolean" },
      watch: { type: "boolean" },
      "no-color": { type: "boolean" },
    });
    if (options.json && options.watch) throw new UsageError("--json and --watch exclude each other");
    const proxy = await readProxy(options, console);
    if (options.inventory === "-" && options.credentials === "-")
      throw new UsageError("--inventory and --credentials cannot both come from standard input");
    const target = await findTarget(options, console);
    const canvas = {
      paint: console.isTerminal && !options["no-color"] && !console.env.NO_COLOR ? coloured : plain,
      width: console.width,
    };
    const show = (reports: readonly StatusReport[]) =>
      options.json
        ? JSON.stringify(reports.length === 1 ? reports[0] : reports, null, 2)
        : reports.map((report) => drawStatus(report, canvas).join("\n")).join("\n\n");
    const known = "access" in target ? target.access : undefined;
    const connections = new Connections(CLIENT_NAME, {
      ...(await readAccess(options, known, console)),
      ...(proxy === undefined ? {} : { proxy }),
    });
    try {
      for (;;) {
        const reports = await look(target, connections);
        console.out(options.watch && console.isTerminal ? CLEAR_SCREEN + show(reports) : show(reports));
        if (!options.watch) return conclude(reports, console);
        await setTimeout(WATCH_MILLISECONDS);
      }
    } finally {
      connections.close();
    }
  },
};

async function look(target: Target, connections: Connections): Promise<StatusReport[]> {
  const inventories = "seeds" in target ? [await discover(target.seeds, connections)] : target.inventories;
  return Promise.all(inventories.map((inventory) => observeStatus(inventory, connections)));
}

function conclude(reports: readonly StatusReport[], console: Console): number {
  const silent = reports.filter((r) => r.nodes.answering === 0);
  for (const { name, nodes, issues } of silent) {
    const way = /cannot be reached: (proxy .*)/.exec(issues.find((i) => i.kind === "silent-node")?.message ?? "")?.[1];
    const why = way ? `: ${way}` : "; are they running, and can this machine reach them?";
    console.error(`redis-cluster status: none of the ${nodes.total} nodes of ${name} answers${why}`);
  }
  if (silent.length > 0) return EXIT.unknown;
  return reports.every((r) => r.healthy) ? EXIT.healthy : EXIT.degraded;
}
