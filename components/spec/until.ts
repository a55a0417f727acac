/**
 * When moves of slots stop, as a user writes it: a time of day with its time zone, which comes again every day, or an
 * instant. A time of day alone is no time: the machine that runs `up` is in one zone today and in another tomorrow.
 */
export type Until =
  | { readonly kind: "instant"; readonly milliseconds: number }
  | { readonly kind: "timeOfDay"; readonly minutes: number; readonly zone: string };

export const UNTIL_SYNTAX =
  'a time of day with its time zone, such as "05:30 Europe/Berlin", "05:30 UTC" or "05:30+02:00", or an instant, such as "2027-01-31T05:30:00Z"';

const TIME_OF_DAY = /^([01]\d|2[0-3]):([0-5]\d) ?(Z|UTC|[+-]\d\d:\d\d|[A-Za-z]\w*(?:[/_+-]\w+)*)?$/;
const INSTANT = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,3})?)?(Z|[+-]\d\d:\d\d)?$/;
const DAY_MINUTES = 24 * 60;

/** @returns what is meant, or in words why it cannot be known */
export function parseUntil(text: string): Until | string {
  const day = TIME_OF_DAY.exec(text);
  if (day) {
    const [, hours, minutes, zone] = day;
    if (zone === undefined) return `"${text}" does not say in which time zone`;
    const known = zone === "Z" ? "UTC" : zone;
    if (!isZone(known)) return `"${zone}" is no time zone that is known here`;
    return { kind: "timeOfDay", minutes: Number(hours) * 60 + Number(minutes), zone: known };
  }
  const instant = INSTANT.exec(text);
  if (!instant) return `"${text}" is no time`;
  if (instant[7] === undefined) return `"${text}" does not say in which time zone`;
  const milliseconds = Date.parse(text);
  if (Number.isNaN(milliseconds) || !sameDate(text)) return `"${text}" is no date of the calendar`;
  return { kind: "instant", milliseconds };
}

/** The instant that is meant: for a time of day the first one after `from` (both in milliseconds of the epoch). */
export function untilAfter(until: Until, from: number): number {
  if (until.kind === "instant") return until.milliseconds;
  // Minute by minute is what is right on days of 23 and 25 hours as well; a time that a day leaves out is its first later one.
  const start = Math.floor(from / 60_000) * 60_000 + 60_000;
  let before = minutesOfDay(start - 60_000, until.zone);
  for (let at = start; ; at += 60_000) {
    const now = minutesOfDay(at, until.zone);
    const passed = (until.minutes - before + DAY_MINUTES) % DAY_MINUTES;
    const step = (now - before + DAY_MINUTES) % DAY_MINUTES;
    if (passed > 0 && passed <= step && step < DAY_MINUTES / 2) return at;
    before = now;
  }
}

function minutesOfDay(at: number, zone: string): number {
  const parts = formatterOf(zone).formatToParts(at);
  const part = (type: string) => Number(parts.find((p) => p.type === type)?.value);
  return part("hour") * 60 + part("minute");
}

const formatters = new Map<string, Intl.DateTimeFormat>();

function formatterOf(zone: string): Intl.DateTimeFormat {
  const known = formatters.get(zone);
  if (known) return known;
  const made = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  formatters.set(zone, made);
  return made;
}

function isZone(zone: string): boolean {
  try {
    formatterOf(zone);
    return true;
  } catch {
    return false;
  }
}

/** `Date.parse` takes the 31st of February for a day of March. */
function sameDate(text: string): boolean {
  const [date = ""] = text.split("T");
  const parsed = new Date(`${date}T00:00:00Z`);
  return !Number.isNaN(parsed.getTime()) && parsed.toISOString().startsWith(date);
}
