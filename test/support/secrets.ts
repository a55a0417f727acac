import { createPrivateKey } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";

/** Texts by where they were found. */
export type Places = Map<string, string>;

/** Secrets by name: passwords, and private keys as PEM. */
export type Secrets = Readonly<Record<string, string>>;

const MARK = /-----(BEGIN|END) [A-Z ]+-----/;
/** So much of a line must be secret that a line counts: the rest of a key is the same in all of them, or public. */
const LEAST_BYTES = 8;
const LINE_BYTES = 48;

/** A secret, as it may lie around. Every form is something that only who has the secret can write. */
export function forms(secret: string): string[] {
  return MARK.test(secret) ? formsOfKey(secret) : formsOfText(secret);
}

function formsOfText(secret: string): string[] {
  const bytes = Buffer.from(secret);
  return [...escaped(secret), bytes.toString("hex"), ...inBase64(bytes)];
}

/** Of a key each line of its body counts that has secret bytes in it, in each of the forms in which keys are written, and its secret number alone. */
function formsOfKey(pem: string): string[] {
  const key = createPrivateKey(pem);
  const { d = "" } = key.export({ format: "jwk" }) as { d?: string };
  const secret = Buffer.from(d, "base64url");
  const old = key.asymmetricKeyType === "rsa" ? "pkcs1" : "sec1";
  const types = key.asymmetricKeyType === "rsa" || key.asymmetricKeyType === "ec" ? ["pkcs8", old] : ["pkcs8"];
  const ders = types.map((type) => (key.export as (options: object) => Buffer)({ type, format: "der" }));
  return [
    ...ders.flatMap(secretLines(secret)).flatMap(escaped),
    ...ders.flatMap((der) => [der.toString("base64"), der.toString("hex"), der.toString("latin1")]),
    d,
    secret.toString("hex"),
    secret.toString("latin1"),
    ...inBase64(secret),
  ];
}

function secretLines(secret: Buffer): (der: Buffer) => string[] {
  return (der) => {
    const begin = der.indexOf(secret);
    const end = begin + secret.length;
    const lines = Array.from({ length: Math.ceil(der.length / LINE_BYTES) }, (_, i) => i * LINE_BYTES);
    return lines
      .filter((at) => Math.min(end, at + LINE_BYTES) - Math.max(begin, at) >= LEAST_BYTES)
      .map((at) => der.subarray(at, at + LINE_BYTES).toString("base64"));
  };
}

/** As it stands in JSON, in JSON within JSON, in an address, between a shell's quotes, in redis.conf. */
function escaped(text: string): string[] {
  const inJson = JSON.stringify(text).slice(1, -1);
  return [
    text,
    inJson,
    JSON.stringify(inJson).slice(1, -1),
    encodeURIComponent(text),
    new URLSearchParams({ "": text }).toString().slice(1),
    text.replaceAll("'", `'\\''`),
    text.replaceAll("\n", "\\x0a"),
  ];
}

/** Inside of a longer text base64 depends on where it begins; the middle of each of the three is the same. */
function inBase64(bytes: Buffer): string[] {
  return [0, 1, 2].map((n) =>
    Buffer.concat([Buffer.alloc(n), bytes])
      .toString("base64")
      .slice(n === 0 ? 0 : 4, -4),
  );
}

/** `<secret> in <place>`, sorted. */
export function findings(places: Places, secrets: Secrets): string[] {
  const wanted = Object.entries(secrets).map(([name, secret]) => [name, [...new Set(forms(secret))]] as const);
  return [...places]
    .flatMap(([place, text]) =>
      wanted.flatMap(([name, all]) => (all.some((form) => text.includes(form)) ? [`${name} in ${place}`] : [])),
    )
    .sort();
}

/** Every file below a folder, byte by byte. */
export function addFiles(places: Places, folder: string, skip: (file: string) => boolean = () => false): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && !skip(`${path}/`)) addFiles(places, path, skip);
    else if (entry.isFile() && !skip(path)) places.set(path, readFileSync(path, "latin1"));
  }
}

/** Arguments and environments of everything that works in a folder or below: engine, program, providers, servers. */
export function addProcesses(places: Places, directory: string): void {
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      if (!readlinkSync(`/proc/${entry}/cwd`).startsWith(directory)) continue;
      const text = (file: string) => readFileSync(`/proc/${entry}/${file}`, "utf8").replaceAll("\0", " ");
      const command = text("cmdline");
      const name = `${/(dynamic-provider|redis-server|cmd\/run|main\.js)/.exec(command)?.[1] ?? "process"} ${entry}`;
      places.set(`arguments of ${name}`, command);
      places.set(`environment of ${name}`, text("environ"));
    } catch {
      // Gone meanwhile, or not ours to look at.
    }
  }
}

/** Files and folders below a folder that anybody but their owner may look into, sorted, each with its mode. */
export function openToOthers(folder: string, concerns: (path: string) => boolean): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) found.push(...openToOthers(path, concerns));
    const mode = entry.isSymbolicLink() ? 0 : statSync(path).mode & 0o777;
    if (concerns(path) && (mode & 0o077) !== 0) found.push(`${path} ${mode.toString(8)}`);
  }
  return found.sort();
}
