import { createHash, createHmac } from "node:crypto";

/** What a server has to show: this key, a key with this fingerprint, or one that known_hosts has. */
export type ExpectedHostKey =
  | { readonly kind: "key"; readonly type: string; readonly key: Buffer }
  | { readonly kind: "fingerprint"; readonly fingerprint: string }
  | { readonly kind: "known"; readonly known: KnownHosts };

/** What known_hosts says of one server. */
export interface KnownHosts {
  readonly keys: readonly KnownKey[];
  /** Under the plain name, where the server has a port of its own: they count where there is none with its port. */
  readonly withoutPort: readonly KnownKey[];
  readonly revoked: readonly KnownKey[];
  /** Lines for this server that are skipped, since they name an authority and no key. */
  readonly authorities: readonly string[];
  /** The files that were read, as they are shown. */
  readonly files: readonly string[];
}

export interface KnownKey {
  readonly type: string;
  readonly key: Buffer;
  /** File and line. */
  readonly where: string;
}

/** Host key types and the algorithms that go with each, in the order of preference. */
const ALGORITHMS: Readonly<Record<string, readonly string[]>> = {
  "ssh-ed25519": ["ssh-ed25519"],
  "ecdsa-sha2-nistp256": ["ecdsa-sha2-nistp256"],
  "ecdsa-sha2-nistp384": ["ecdsa-sha2-nistp384"],
  "ecdsa-sha2-nistp521": ["ecdsa-sha2-nistp521"],
  "ssh-rsa": ["rsa-sha2-512", "rsa-sha2-256"],
};
export const HOST_KEY_TYPES = Object.keys(ALGORITHMS);
const FINGERPRINT = /^SHA256:[A-Za-z0-9+/]{43}=?$/;

/** As `ssh-keygen -l` shows it. */
export function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash("sha256").update(key).digest("base64").replace(/=+$/, "")}`;
}

/** Type of a public key as it goes over the wire: its first string. */
export function typeOf(key: Buffer): string {
  const length = key.length >= 4 ? key.readUInt32BE(0) : 0;
  return key.length >= 4 + length ? key.toString("latin1", 4, 4 + length) : "";
}

/** The argument `hostKey`: a public key or a fingerprint. @returns what is wrong with it, as text */
export function readHostKey(text: string): ExpectedHostKey | string {
  const given = text.trim();
  if (/^SHA256:/i.test(given)) {
    if (!FINGERPRINT.test(given))
      return "is no SHA-256 fingerprint: `SHA256:` and 43 characters are; take it from `ssh-keygen -lf` of the server's public key";
    return { kind: "fingerprint", fingerprint: given.replace(/=$/, "") };
  }
  if (/^(MD5:)?([0-9a-f]{2}:){15}[0-9a-f]{2}$/i.test(given))
    return "is an MD5 fingerprint, which can be forged; give the SHA-256 one, from `ssh-keygen -lf` of the server's public key";
  const [type = "", base64 = ""] = given.split(/\s+/);
  if (given.startsWith("-----BEGIN") || !/^(ssh|ecdsa|sk)-/.test(type))
    return "is neither a public key as known_hosts has it without the host (`ssh-ed25519 AAAA…`) nor a fingerprint (`SHA256:…`)";
  const key = keyOf(type, base64);
  if (!key) return `is no whole ${type} key; give type and key as in known_hosts, or the fingerprint (\`SHA256:…\`)`;
  if (!HOST_KEY_TYPES.includes(type))
    return `is of type ${type}, which is not supported; give the server's key of one of ${HOST_KEY_TYPES.join(", ")}`;
  return { kind: "key", type, key };
}

function keyOf(type: string, base64: string): Buffer | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return undefined;
  const key = Buffer.from(base64, "base64");
  return typeOf(key) === type && key.length > 4 + type.length ? key : undefined;
}

/**
 * What files in the format of known_hosts say of one server.
 * @param files text of each file by its name as shown
 */
export function readKnownHosts(files: ReadonlyMap<string, string>, host: string, port: number): KnownHosts {
  const plain = host.toLowerCase();
  const full = port === 22 ? plain : `[${plain}]:${port}`;
  const keys: KnownKey[] = [];
  const withoutPort: KnownKey[] = [];
  const revoked: KnownKey[] = [];
  const authorities: string[] = [];
  for (const [file, text] of files) {
    for (const [i, line] of text.split(/\r?\n/).entries()) {
      const words = line.trim().split(/\s+/);
      if (!words[0] || words[0].startsWith("#")) continue;
      const marker = words[0].startsWith("@") ? words.shift() : undefined;
      const [patterns = "", type = "", base64 = ""] = words;
      const exact = matches(patterns, full);
      if (!exact && !(full !== plain && matches(patterns, plain))) continue;
      const where = `${file}:${i + 1}`;
      if (marker === "@cert-authority") {
        authorities.push(where);
        continue;
      }
      const key = keyOf(type, base64);
      if (!key) continue;
      const entry = { type, key, where };
      if (marker === "@revoked") revoked.push(entry);
      else if (marker === undefined) (exact ? keys : withoutPort).push(entry);
    }
  }
  return { keys, withoutPort, revoked, authorities, files: [...files.keys()] };
}

/** Whether a list of patterns, or one hashed name, is about this name. A pattern that negates decides alone. */
function matches(patterns: string, name: string): boolean {
  if (patterns.startsWith("|1|")) {
    const [, , salt = "", hash = ""] = patterns.split("|");
    return createHmac("sha1", Buffer.from(salt, "base64")).update(name).digest("base64") === hash;
  }
  let found = false;
  for (const pattern of patterns.toLowerCase().split(",")) {
    const negated = pattern.startsWith("!");
    if (!wildcard(negated ? pattern.slice(1) : pattern).test(name)) continue;
    if (negated) return false;
    found = true;
  }
  return found;
}

function wildcard(pattern: string): RegExp {
  const escaped = pattern.replace(/[.*+?^${}()|[\]\\]/g, (c) => (c === "*" ? ".*" : c === "?" ? "." : `\\${c}`));
  return new RegExp(`^${escaped}$`);
}

/**
 * Algorithms to ask for: those of keys that are known first, as OpenSSH does, so that one entry is enough; the others after them, so
 * that a server without such a key shows which one it has.
 * @param without types that a server has shown already
 */
export function hostKeyAlgorithms(expected: ExpectedHostKey, without: readonly string[] = []): string[] {
  const known =
    expected.kind === "key"
      ? [expected.type]
      : expected.kind === "known"
        ? [...expected.known.keys, ...expected.known.withoutPort].map((k) => k.type)
        : [];
  const types = HOST_KEY_TYPES.filter((type) => !without.includes(type));
  const first = types.filter((type) => known.includes(type));
  return [...first, ...types.filter((type) => !first.includes(type))].flatMap((type) => ALGORITHMS[type] ?? []);
}

/**
 * Whether the key that a server shows is the one that it has to show.
 * @param offered every key that it has shown, the one to judge last
 * @returns what is wrong and what to do; undefined where nothing is
 */
export function judgeHostKey(
  expected: ExpectedHostKey,
  offered: readonly Buffer[],
  host: string,
  port: number,
): string | undefined {
  const key = offered.at(-1);
  if (!key) return "it showed no host key; nobody can tell whose it is";
  const shows = `it shows ${offered.map((k) => `${typeOf(k)} ${fingerprintOf(k)}`).join(" and ")}`;
  if (expected.kind === "known") return judgeKnown(expected.known, key, shows, host, port);
  const right = expected.kind === "key" ? expected.key.equals(key) : expected.fingerprint === fingerprintOf(key);
  if (right) return undefined;
  const wanted = expected.kind === "key" ? `${expected.type} ${fingerprintOf(expected.key)}` : expected.fingerprint;
  return `its host key is another one than \`hostKey\`: ${shows}, expected is ${wanted}; ${OTHER} replace \`hostKey\``;
}

const OTHER = "somebody may be in between, or the server was set up anew: find out which, and only then";

function judgeKnown(
  { keys, withoutPort, revoked, authorities, files }: KnownHosts,
  key: Buffer,
  shows: string,
  host: string,
  port: number,
): string | undefined {
  const same = (known: KnownKey) => known.key.equals(key);
  const bad = revoked.find(same);
  if (bad)
    return `its host key is revoked (${bad.where}): ${shows}; whoever has it is not to be trusted: give the server a new one`;
  if (keys.some(same) || (keys.length === 0 && withoutPort.some(same))) return undefined;
  const name = port === 22 ? host : `[${host}]:${port}`;
  if (keys.length > 0) {
    const known = keys.map((k) => `${k.type} ${fingerprintOf(k.key)} (${k.where})`).join(", ");
    return `its host key is another one than known: ${shows}, known is ${known}; ${OTHER} take the former out (ssh-keygen -R '${name}') and put the new one in`;
  }
  const silent = files.length > 0 ? `nothing is known of ${name} in ${files.join(" and ")}` : "there is no known_hosts";
  const skipped =
    authorities.length > 0 ? ` (certificate authorities are not supported: ${authorities.join(", ")} skipped)` : "";
  return `its host key is not known: ${shows}, and ${silent}${skipped}; compare it with the server's own (\`ssh-keygen -lf\` of its public key there), then give hostKey: "${fingerprintOf(key)}", or add to ~/.ssh/known_hosts: ${name} ${typeOf(key)} ${key.toString("base64")}`;
}
