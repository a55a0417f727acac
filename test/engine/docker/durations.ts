/** Durations as Go writes them, in nanoseconds: Docker's health checks are told in these. */

const units: Record<string, bigint> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

/** `undefined` for what is no duration. */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  const match = /^([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+)$/.exec(text);
  if (!match) return undefined;
  let sum = 0;
  for (const [, amount, unit] of (match[2] ?? "").matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)/g))
    sum += Number(amount) * Number(units[unit ?? ""] ?? 0n);
  return match[1] === "-" ? -Math.round(sum) : Math.round(sum);
}

/** As Go prints one: `1m0s`, `1.5s`, `500ms`. */
export function formatDuration(nanoseconds: number): string {
  if (nanoseconds === 0) return "0s";
  if (nanoseconds < 0) return `-${formatDuration(-nanoseconds)}`;
  if (nanoseconds < 1000) return `${nanoseconds}ns`;
  if (nanoseconds < 1_000_000) return `${nanoseconds / 1000}µs`;
  if (nanoseconds < 1_000_000_000) return `${nanoseconds / 1_000_000}ms`;
  const seconds = nanoseconds / 1_000_000_000;
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const rest = `${Number((seconds % 60).toFixed(9))}s`;
  return hours > 0 ? `${hours}h${minutes}m${rest}` : minutes > 0 ? `${minutes}m${rest}` : rest;
}

/** Docker counts processors in billionths. `undefined` for what is no such number. */
export function parseCpus(text: string): number | undefined {
  const nano = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1e9 : Number.NaN;
  return Number.isInteger(Math.round(nano)) && Math.abs(nano - Math.round(nano)) < 1e-3 ? Math.round(nano) : undefined;
}

/**
 * As the provider writes them back, oddities kept: `"1"` comes back as `"1.0"`, which is another text and so replaces the container,
 * and ten processors come back as `"10."`.
 */
export function formatCpus(nano: number): string {
  if (nano === 0) return "0";
  const text = (nano / 1e9).toFixed(9);
  if (text.split("0").length - 1 === 9) return (nano / 1e9).toFixed(1);
  return text.replace(/0+$/, "");
}
