import { createPrivateKey, type KeyObject } from "node:crypto";
import type { ParsedKey, utils } from "ssh2";
import { fingerprintOf } from "./hostKeys";

/** A private key that can be used, and how it may be called in an error. */
export interface ReadKey {
  readonly key: ParsedKey;
  /** `ssh-ed25519 SHA256:…`, of its public half. */
  readonly shown: string;
}

/**
 * Reads a private key: OpenSSH's own format, PEM (PKCS#1, SEC 1, PKCS#8) or PuTTY's. No error holds anything of it.
 * @returns what is wrong and what to do, as text
 */
export function readPrivateKey(parse: typeof utils.parseKey, text: string, passphrase?: string): ReadKey | string {
  const problem = problemOfKeyText(text);
  if (problem !== undefined) return `privateKey ${problem}`;
  const given = text.trim();
  const pkcs8 = /-----BEGIN (ENCRYPTED )?PRIVATE KEY-----/.test(given);
  const read = pkcs8 ? fromPkcs8(given, passphrase) : given;
  if (typeof read !== "string") return read.problem;
  const parsed = parse(read, passphrase);
  if (parsed instanceof Error) return explain(parsed.message, passphrase);
  const key = Array.isArray(parsed) ? parsed[0] : parsed;
  if (!key?.isPrivateKey()) return "privateKey holds no private key; give the text of the private key's file";
  return { key, shown: `${key.type} ${fingerprintOf(key.getPublicSSH())}` };
}

/** What cannot be a private key, without reading it. Nothing of it is in the answer; undefined where it may be one. */
export function problemOfKeyText(text: string): string | undefined {
  const given = text.trim();
  if (given === "") return "is empty; give the text of the key, not the name of its file";
  if (/^(ssh|ecdsa|sk)-|^-----BEGIN (RSA )?PUBLIC KEY|^---- BEGIN SSH2 PUBLIC/.test(given))
    return "is a public key; give its private half (the file without .pub)";
  if (!given.includes("\n") && !given.includes("BEGIN"))
    return "is no key (it is a single line; a file's name, perhaps?); give the text of the key";
  return undefined;
}

const NO_PASSPHRASE = "privateKey is encrypted; give privateKeyPassword, or a key without passphrase";
const BAD_PASSPHRASE = "privateKey cannot be decrypted; check privateKeyPassword (or the key is damaged)";

function explain(message: string, passphrase: string | undefined): string {
  if (/no passphrase/i.test(message)) return NO_PASSPHRASE;
  if (passphrase !== undefined && /integrity|decrypt|malformed/i.test(message)) return BAD_PASSPHRASE;
  const kind =
    /^Unsupported (?:OpenSSH private key type|cipher|kdf|key cipher)\b.{0,60}|Cipher \([\w-]+\) not supported/i.exec(
      message,
    );
  if (kind)
    return `privateKey cannot be used (${kind[0]}); give one of type ed25519, ECDSA or RSA, as ssh-keygen makes them`;
  return "privateKey cannot be read: it is damaged, or no OpenSSH or PEM key; give the whole text with its BEGIN and END lines";
}

/** PKCS#8, which ssh2 does not know, in a form that it does. */
function fromPkcs8(text: string, passphrase: string | undefined): string | { readonly problem: string } {
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: text, format: "pem", ...(passphrase === undefined ? {} : { passphrase }) });
  } catch {
    // Its own message is left out, since it might quote what it read.
    if (!text.includes("ENCRYPTED")) return { problem: explain("", undefined) };
    return { problem: passphrase === undefined ? NO_PASSPHRASE : BAD_PASSPHRASE };
  }
  if (key.asymmetricKeyType === "rsa") return key.export({ type: "pkcs1", format: "pem" }) as string;
  if (key.asymmetricKeyType === "ec") return key.export({ type: "sec1", format: "pem" }) as string;
  if (key.asymmetricKeyType === "ed25519") return openSshEd25519(key);
  return { problem: explain(`Unsupported OpenSSH private key type: ${key.asymmetricKeyType}`, undefined) };
}

/** OpenSSH's own format, without encryption, which never leaves this process (PROTOCOL.key of OpenSSH). */
function openSshEd25519(key: KeyObject): string {
  const { d = "", x = "" } = key.export({ format: "jwk" });
  const [seed, open] = [Buffer.from(d, "base64url"), Buffer.from(x, "base64url")];
  const type = string("ssh-ed25519");
  const check = Buffer.alloc(4);
  const secret = Buffer.concat([check, check, type, string(open), string(Buffer.concat([seed, open])), string("")]);
  const padding = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, i) => i + 1));
  const body = Buffer.concat([
    Buffer.from("openssh-key-v1\0"),
    ...[string("none"), string("none"), string(""), Buffer.from([0, 0, 0, 1])],
    string(Buffer.concat([type, string(open)])),
    string(Buffer.concat([secret, padding])),
  ]);
  const lines = body.toString("base64").match(/.{1,70}/g) ?? [];
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join("\n")}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

/** A string as SSH writes it: its length before it. */
function string(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
