import { countSlots, SLOT_COUNT } from "../formation/slots";
import { parseRange } from "./goal";
import { hostLines } from "./hosts/draw";
import { formatBytes, formatCount, type Paint } from "./paint";
import type { NodeStatus, ShardStatus, StatusReport } from "./status";
import { type Cell, type Column, drawTable } from "./table";
import { wrap } from "./wrap";

export interface Canvas {
  readonly paint: Paint;
  /** Columns of the terminal. */
  readonly width: number;
}

const ISSUES_SHOWN = 12;
const BAR_LONGEST = 64;

/** A cluster at a glance, for a terminal: how it is, where its slots are, one line a node, and what to do. */
export function drawStatus(report: StatusReport, canvas: Canvas): string[] {
  return [
    heading(report, canvas.paint),
    coverage(report, canvas),
    "",
    ...nodeTable(report, canvas),
    ...issueLines(report, canvas),
    ...authorityLines(report, canvas),
    ...hostLines(report.hosts, canvas),
  ];
}

function authorityLines({ authorityChange: change }: StatusReport, { width }: Canvas): string[] {
  if (!change) return [];
  const text = `authority: stage ${change.stage} of 3 of its change; the first \`up\` from ${change.nextFrom} takes the next one`;
  return ["", ...wrap(text, width, "", "  ")];
}

function heading(report: StatusReport, paint: Paint): string {
  const { name, engine, shards, nodes, healthy, issues, certificatesExpire } = report;
  const zones = new Set(shards.flatMap((s) => s.nodes.map((n) => n.zone)).filter((zone) => zone !== "-"));
  const verdict =
    nodes.answering === 0
      ? paint.bad("✗ nobody answers")
      : healthy
        ? paint.good("✔ healthy")
        : paint.bad(`✗ degraded, ${count(issues.length, "issue")}`);
  const parts = [
    `${engine.name} ${engine.version}`,
    count(shards.length, "shard"),
    nodes.answering === nodes.total
      ? count(nodes.total, "node")
      : `${nodes.answering} of ${count(nodes.total, "node")} answering`,
    ...(zones.size > 0 ? [count(zones.size, "zone")] : []),
    ...(certificatesExpire === undefined ? [] : [`TLS until ${certificatesExpire.slice(0, 10)}`]),
  ];
  return `${paint.bold(name)}  ${parts.join(" · ")}  ${verdict}`;
}

/** One character a stretch of slots: neighbouring shards in different shades, `░` where some slot of it has no owner that answers. */
function coverage({ slots, shards }: StatusReport, { paint, width }: Canvas): string {
  const numbers =
    slots.ok === SLOT_COUNT
      ? `${SLOT_COUNT} of ${SLOT_COUNT} slots served`
      : `${slots.ok} of ${SLOT_COUNT} slots served (${slots.assigned} assigned)`;
  const length = Math.max(8, Math.min(BAR_LONGEST, width - numbers.length - 2));
  const owner = new Int16Array(SLOT_COUNT).fill(-1);
  shards.forEach((shard, index) => {
    if (!shard.nodes.some(leads)) return;
    for (const { start, end } of shard.slots.map(parseRange)) owner.fill(index, start, end + 1);
  });
  let bar = "";
  for (let cell = 0; cell < length; cell++) {
    const from = Math.floor((cell * SLOT_COUNT) / length);
    const stretch = owner.slice(from, Math.floor(((cell + 1) * SLOT_COUNT) / length));
    const shard = stretch[0] ?? -1;
    bar += stretch.includes(-1) ? paint.bad("░") : paint.tint(shard % 2 === 0 ? "█" : "▓", shard);
  }
  return `${bar}  ${slots.ok === SLOT_COUNT ? numbers : paint.bad(numbers)}`;
}

const leads = (node: NodeStatus) => node.answers && node.role === "master";

interface Row {
  readonly shard: ShardStatus;
  readonly node: NodeStatus;
  readonly first: boolean;
}

function nodeTable({ shards, issues }: StatusReport, { paint, width }: Canvas): string[] {
  const inTrouble = new Set(issues.map((i) => i.subject));
  const rows = shards.flatMap((shard) =>
    // The master on top, as it leads now.
    [...shard.nodes]
      .sort((a, b) => Number(leads(b)) - Number(leads(a)))
      .map((node, index): Row => ({ shard, node, first: index === 0 })),
  );
  const columns: Column<Row>[] = [
    { title: "shard", optional: 0, cell: ({ shard, first }) => ({ text: first ? shard.name : "" }) },
    { title: "slots", optional: 3, cell: ({ shard, first }) => ({ text: first ? slotsText(shard) : "" }) },
    {
      title: "node",
      optional: 0,
      cell: ({ node }) => ({ text: node.name, ...(inTrouble.has(node.name) ? { paint: paint.bad } : {}) }),
    },
    { title: "zone", optional: 2, cell: ({ node }) => ({ text: node.zone === "-" ? "" : node.zone }) },
    { title: "role", optional: 0, cell: ({ node }) => roleCell(node, paint) },
    {
      title: "address",
      optional: 5,
      cell: ({ node }) => ({
        text: `${node.address}:${node.port}` === node.name ? "" : `${node.address}:${node.port}`,
      }),
    },
    {
      title: "keys",
      optional: 6,
      right: true,
      cell: ({ node }) => ({ text: node.keys === undefined ? "" : formatCount(node.keys) }),
    },
    { title: "memory", optional: 4, right: true, cell: ({ node }) => memoryCell(node, paint) },
    { title: "lag", optional: 1, right: true, cell: ({ node }) => lagCell(node, paint) },
    { title: "link", optional: 0, cell: ({ node }) => linkCell(node, paint) },
  ];
  return drawTable(columns, rows, width, paint.dim);
}

function slotsText({ slots }: ShardStatus): string {
  if (slots.length === 0) return "none";
  const ranges = slots.length > 3 ? `${slots.slice(0, 2).join(" ")} …` : slots.join(" ");
  return `${ranges} (${countSlots(slots.map(parseRange))})`;
}

function roleCell(node: NodeStatus, paint: Paint): Cell {
  if (!node.answers) return { text: `✗ ${node.role === "unknown" ? "silent" : node.role}`, paint: paint.bad };
  return node.role === "master" ? { text: "◆ master", paint: paint.bold } : { text: "◇ replica" };
}

function memoryCell({ memory }: NodeStatus, paint: Paint): Cell {
  if (!memory) return { text: "" };
  if (memory.maxBytes === 0) return { text: formatBytes(memory.usedBytes) };
  const share = memory.usedBytes / memory.maxBytes;
  const text = `${formatBytes(memory.usedBytes)} / ${formatBytes(memory.maxBytes)}`;
  return share >= 0.95 ? { text, paint: paint.bad } : share >= 0.8 ? { text, paint: paint.warn } : { text };
}

/** A master speaks at least every ten seconds; silence beyond that is worth a word. */
const QUIET_SECONDS = 12;

function lagCell({ lag }: NodeStatus, paint: Paint): Cell {
  if (!lag) return { text: "" };
  const quiet = lag.seconds > QUIET_SECONDS ? `, ${lag.seconds} s` : "";
  const text = `${formatBytes(lag.bytes)}${quiet}`;
  return lag.bytes > 1_000_000 || quiet !== "" ? { text, paint: paint.warn } : { text };
}

function linkCell({ answers, link, state }: NodeStatus, paint: Paint): Cell {
  if (!answers) return { text: "no answer", paint: paint.bad };
  const text = state === "fail" ? `${link}, cluster down` : link;
  return {
    text,
    paint: state === "fail" || link === "down" ? paint.bad : link === "syncing" ? paint.warn : paint.good,
  };
}

function issueLines({ issues }: StatusReport, { paint, width }: Canvas): string[] {
  if (issues.length === 0) return [];
  const shown = issues.slice(0, issues.length > ISSUES_SHOWN ? ISSUES_SHOWN - 1 : ISSUES_SHOWN);
  const lines = [""];
  shown.forEach(({ message, remedy }, index) => {
    lines.push(...wrap(message, width, "✗ ", "  ").map((line) => paint.bad(line)));
    // The same advice once, below the last issue that it is for.
    if (shown[index + 1]?.remedy !== remedy)
      lines.push(...wrap(remedy, width, "  → ", "    ").map((line) => paint.dim(line)));
  });
  if (shown.length < issues.length)
    lines.push(paint.bad(`✗ and ${issues.length - shown.length} more (see them all with --json)`));
  return lines;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
