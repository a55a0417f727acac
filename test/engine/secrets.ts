import * as crypto from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";

/**
 * Pulumi's passphrase secrets: AES-256-GCM under a key from PBKDF2 (SHA-256, one million rounds). Values read
 * `v1:<nonce>:<ciphertext and tag>`; the salt reads `v1:<salt>:<the word "pulumi", encrypted>`, which tells a wrong
 * passphrase at once. The same format as the CLI's, so state and configuration move between the two.
 */
export class Passphrase {
  readonly salt: string;
  readonly #key: Buffer;

  private constructor(salt: string, key: Buffer) {
    this.salt = salt;
    this.#key = key;
  }

  static create(passphrase: string): Passphrase {
    const salt = crypto.randomBytes(8);
    const key = derive(passphrase, salt);
    return new Passphrase(`v1:${salt.toString("base64")}:${encryptWith(key, "pulumi")}`, key);
  }

  static open(passphrase: string, state: string): Passphrase {
    const [version, salt, ...probe] = state.split(":");
    if (version !== "v1" || !salt)
      throw new Error("unknown form of encryption salt: only passphrase secrets (v1) work here");
    const key = derive(passphrase, Buffer.from(salt, "base64"));
    let word: string;
    try {
      word = decryptWith(key, probe.join(":"));
    } catch {
      word = "";
    }
    if (word !== "pulumi") throw new Error("incorrect passphrase");
    return new Passphrase(state, key);
  }

  encrypt(text: string): string {
    return encryptWith(this.#key, text);
  }

  decrypt(text: string): string {
    return decryptWith(this.#key, text);
  }
}

/** The passphrase from the environment, read as the CLI reads it. */
export function passphraseFromEnvironment(env: NodeJS.ProcessEnv): string {
  if (env.PULUMI_CONFIG_PASSPHRASE !== undefined) return env.PULUMI_CONFIG_PASSPHRASE;
  if (env.PULUMI_CONFIG_PASSPHRASE_FILE) return fs.readFileSync(env.PULUMI_CONFIG_PASSPHRASE_FILE, "utf8").trim();
  throw new Error(
    "passphrase must be set with PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE environment variables",
  );
}

/**
 * Deriving takes half a second of every run. For tests, HERMETIC_ENGINE_KEYS names a folder that keeps what was derived, under names
 * that are keyed by the test workspace's own mark: who gets the folder has nothing to try passphrases on but the slow way.
 */
function derive(passphrase: string, salt: Buffer): Buffer {
  const { HERMETIC_ENGINE_KEYS: folder, WORKSPACE_MARK: mark } = process.env;
  if (!folder || !mark) return crypto.pbkdf2Sync(passphrase, salt, 1_000_000, 32, "sha256");
  const name = crypto.createHmac("sha256", mark).update(salt).update(passphrase).digest("hex");
  const file = path.join(folder, name);
  try {
    return fs.readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const key = crypto.pbkdf2Sync(passphrase, salt, 1_000_000, 32, "sha256");
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  // Written aside: another run may read at the same time.
  fs.writeFileSync(`${file}.${process.pid}`, key, { mode: 0o600 });
  fs.renameSync(`${file}.${process.pid}`, file);
  return key;
}

function encryptWith(key: Buffer, text: string): string {
  const nonce = crypto.randomBytes(12);
  const cipher = crypto.createCipheriv("aes-256-gcm", key, nonce);
  const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
  return `v1:${nonce.toString("base64")}:${sealed.toString("base64")}`;
}

function decryptWith(key: Buffer, text: string): string {
  const [version, nonce, sealed] = text.split(":");
  if (version !== "v1" || !nonce || !sealed) throw new Error("unknown form of ciphertext");
  const bytes = Buffer.from(sealed, "base64");
  const decipher = crypto.createDecipheriv("aes-256-gcm", key, Buffer.from(nonce, "base64"));
  decipher.setAuthTag(bytes.subarray(bytes.length - 16));
  return Buffer.concat([decipher.update(bytes.subarray(0, bytes.length - 16)), decipher.final()]).toString("utf8");
}
