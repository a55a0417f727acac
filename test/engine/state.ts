import * as crypto from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { fileURLToPath } from "node:url";
import type { State } from "./resource";
import type { Sdk } from "./sdk";
import type { Passphrase } from "./secrets";
import { isObject, isSecret, type Properties, secret, type Value } from "./values";

export interface PendingOperation {
  resource: State;
  type: "creating" | "updating" | "deleting";
}

/** A stack's state in memory, secrets open. */
export interface Snapshot {
  resources: State[];
  pendingOperations: PendingOperation[];
}

/** A stack's state on disk: Pulumi's deployment, version 3. */
export interface Deployment {
  manifest: { time: string; magic: string; version: string };
  secrets_providers?: { type: string; state?: { salt?: string } };
  resources?: Record<string, unknown>[];
  pending_operations?: { resource: Record<string, unknown>; type: string }[];
  metadata?: Record<string, unknown>;
}
export interface Exported {
  version: number;
  deployment: Deployment;
}

/** The folder a `file://` backend URL names. */
export function backendFolder(url: string | undefined, relativeTo: string): string {
  if (!url)
    throw new Error("set PULUMI_BACKEND_URL=file://<folder>: the hermetic engine keeps state in a folder of its own");
  if (!url.startsWith("file://")) throw new Error(`backend ${url}: the hermetic engine knows file:// backends only`);
  const rest = url.slice("file://".length);
  if (rest.startsWith("~")) return path.join(process.env.HOME ?? "/", rest.slice(1));
  return rest.startsWith("/") ? fileURLToPath(url) : path.resolve(relativeTo, rest);
}

/**
 * The stacks of one project in one backend. They lie apart from the CLI's (`.pulumi/`), so that a stack belongs to the
 * engine that made it, and neither engine changes the other's by accident.
 */
export class Backend {
  readonly folder: string;
  readonly project: string;

  constructor(folder: string, project: string) {
    this.folder = folder;
    this.project = project;
  }

  file(stack: string): string {
    return path.join(this.folder, ".hermetic", "stacks", this.project, `${stack}.json`);
  }

  lockFile(stack: string): string {
    return path.join(this.folder, ".hermetic", "locks", this.project, `${stack}.json`);
  }

  get selectedFile(): string {
    return path.join(this.folder, ".hermetic", "selected", this.project);
  }

  list(): string[] {
    const folder = path.dirname(this.file("_"));
    if (!fs.existsSync(folder)) return [];
    return fs
      .readdirSync(folder)
      .filter((name) => name.endsWith(".json"))
      .map((name) => name.slice(0, -5))
      .sort();
  }

  exists(stack: string): boolean {
    return fs.existsSync(this.file(stack));
  }

  refuseForeign(stack: string): void {
    const base = path.join(this.folder, ".pulumi", "stacks", this.project, stack);
    const found = [`${base}.json`, `${base}.json.gz`].find((file) => fs.existsSync(file));
    if (!found) return;
    throw new Error(
      `stack '${stack}' was made by the Pulumi CLI (${found}); the hermetic engine does not touch it. To move it: ` +
        `\`pulumi stack export --file state.json\`, then with another backend folder \`stack init ${stack}\` and ` +
        "`stack import --file state.json` here; then `pulumi stack rm --force` there",
    );
  }

  read(stack: string): Deployment {
    this.refuseForeign(stack);
    if (!this.exists(stack)) throw new Error(`no stack named '${stack}' found`);
    return JSON.parse(fs.readFileSync(this.file(stack), "utf8")).checkpoint.latest;
  }

  /** Written beside and renamed: whoever is killed in between leaves the old state or the new one, never half of one. */
  write(stack: string, deployment: Deployment): void {
    const file = this.file(stack);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    const checkpoint = { stack: `organization/${this.project}/${stack}`, latest: deployment };
    fs.writeFileSync(
      `${file}.${process.pid}.tmp`,
      `${JSON.stringify({ engine: "hermetic", version: 3, checkpoint }, null, 4)}\n`,
      { mode: 0o600 },
    );
    fs.renameSync(`${file}.${process.pid}.tmp`, file);
  }

  remove(stack: string): void {
    fs.rmSync(this.file(stack), { force: true });
  }
}

export function manifest(sdk: Sdk): Deployment["manifest"] {
  const version = `v${sdk.version}`;
  return { time: new Date().toISOString(), magic: crypto.createHash("sha256").update(version).digest("hex"), version };
}

/** Turns snapshots into deployments and back. */
export class Serializer {
  readonly #sdk: Sdk;
  readonly #passphrase: () => Passphrase;
  /** A secret that did not change keeps its ciphertext, so that two states can be compared. */
  readonly #ciphertexts = new WeakMap<object, string>();

  constructor(sdk: Sdk, passphrase: () => Passphrase) {
    this.#sdk = sdk;
    this.#passphrase = passphrase;
  }

  close(snapshot: Snapshot, salt: string | undefined, showSecrets = false): Deployment {
    return {
      manifest: manifest(this.#sdk),
      ...(salt ? { secrets_providers: { type: "passphrase", state: { salt } } } : {}),
      resources: snapshot.resources.map((state) => this.#closeState(state, showSecrets)),
      ...(snapshot.pendingOperations.length === 0
        ? {}
        : {
            pending_operations: snapshot.pendingOperations.map(({ resource, type }) => ({
              resource: this.#closeState(resource, showSecrets),
              type,
            })),
          }),
      metadata: {},
    };
  }

  open(deployment: Deployment): Snapshot {
    return {
      resources: (deployment.resources ?? []).map((resource) => this.#openState(resource)),
      pendingOperations: (deployment.pending_operations ?? []).map(({ resource, type }) => ({
        resource: this.#openState(resource),
        type: type as PendingOperation["type"],
      })),
    };
  }

  #closeState(state: State, show: boolean): Record<string, unknown> {
    const { inputs, outputs, ...rest } = state;
    const closed: Record<string, unknown> = { ...rest, inputs: this.#close(inputs, show) };
    if (outputs) closed.outputs = this.#close(outputs, show);
    for (const [key, value] of Object.entries(closed)) {
      const empty =
        value === undefined || value === "" || value === false || (Array.isArray(value) && value.length === 0);
      if ((empty && key !== "custom") || (isObject(value) && Object.keys(value).length === 0)) delete closed[key];
    }
    return closed;
  }

  #openState(resource: Record<string, unknown>): State {
    return {
      ...resource,
      inputs: this.#open(resource.inputs ?? {}) as Properties,
      ...(resource.outputs ? { outputs: this.#open(resource.outputs) as Properties } : {}),
      dependencies: resource.dependencies ?? [],
      propertyDependencies: resource.propertyDependencies ?? {},
    } as State;
  }

  #close(value: Value, show: boolean): unknown {
    if (isSecret(value)) {
      const text = JSON.stringify(this.#close(value.element, show));
      const marker = { [this.#sdk.signatureKey]: this.#sdk.secretSignature };
      if (show) return { ...marker, plaintext: text };
      let ciphertext = this.#ciphertexts.get(value);
      if (!ciphertext) {
        ciphertext = this.#passphrase().encrypt(text);
        this.#ciphertexts.set(value, ciphertext);
      }
      return { ...marker, ciphertext };
    }
    if (Array.isArray(value)) return value.map((item) => this.#close(item, show));
    if (!isObject(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, this.#close(item, show)]));
  }

  #open(value: unknown): Value {
    if (Array.isArray(value)) return value.map((item) => this.#open(item));
    if (typeof value !== "object" || value === null) return value as Value;
    const object = value as Record<string, unknown>;
    const signature = object[this.#sdk.signatureKey];
    if (signature === this.#sdk.secretSignature) {
      const ciphertext = object.ciphertext as string | undefined;
      const text = ciphertext === undefined ? (object.plaintext as string) : this.#passphrase().decrypt(ciphertext);
      const opened = secret(this.#open(JSON.parse(text)));
      if (ciphertext !== undefined) this.#ciphertexts.set(opened as unknown as object, ciphertext);
      return opened;
    }
    if (signature !== undefined)
      throw new Error("assets, archives and resource references are not implemented by the hermetic engine");
    return Object.fromEntries(Object.entries(object).map(([key, item]) => [key, this.#open(item)]));
  }
}
