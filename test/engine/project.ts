import * as fs from "node:fs";
import * as path from "node:path";
import type { Sdk } from "./sdk";
import type { Passphrase } from "./secrets";
import { isObject, type Properties, secret, type Value } from "./values";

/** Pulumi.yaml, as far as this engine reads it. */
export interface Project {
  readonly name: string;
  /** Where Pulumi.yaml is. */
  readonly directory: string;
  /** Where the program and its dynamic providers run: the folder of `main`. */
  readonly programDirectory: string;
  /** The file to run there; "." lets the SDK look into package.json, as the CLI does. */
  readonly main: string;
  readonly tsconfig?: string;
  readonly typescript: boolean;
  readonly nodeArguments: string[];
  readonly refreshAlways: boolean;
  readonly configDirectory: string;
  readonly config: Record<string, unknown>;
  readonly backendUrl?: string;
}

export function findProject(start: string): string {
  for (let directory = path.resolve(start); ; directory = path.dirname(directory)) {
    if (fs.existsSync(path.join(directory, "Pulumi.yaml"))) return directory;
    if (directory === path.dirname(directory))
      throw new Error(`no Pulumi.yaml project file found (searching upwards from ${start})`);
  }
}

/** As the CLI has it: the working directory is the folder that holds `main`, not the one that holds Pulumi.yaml. */
export function locateProgram(directory: string, main: unknown): { programDirectory: string; main: string } {
  if (typeof main !== "string" || main === "") return { programDirectory: directory, main: "." };
  const target = path.resolve(directory, main);
  if (!fs.existsSync(target)) throw new Error(`project 'main' could not be read: ${target} does not exist`);
  if (fs.statSync(target).isDirectory()) return { programDirectory: target, main: "." };
  return { programDirectory: path.dirname(target), main: path.basename(target) };
}

export function readProject(sdk: Sdk, directory: string): Project {
  const file = path.join(directory, "Pulumi.yaml");
  const yaml = (sdk.yaml.load(fs.readFileSync(file, "utf8")) ?? {}) as Record<string, unknown>;
  const runtime = (typeof yaml.runtime === "string" ? { name: yaml.runtime } : yaml.runtime) as
    | { name?: string; options?: Record<string, unknown> }
    | undefined;
  if (typeof yaml.name !== "string" || !yaml.name) throw new Error(`${file}: name is missing`);
  if (runtime?.name !== "nodejs")
    throw new Error(`${file}: runtime is ${runtime?.name}; the hermetic engine runs nodejs only`);
  const options = (yaml.options ?? {}) as { refresh?: unknown };
  const backend = (yaml.backend ?? {}) as { url?: unknown };
  const nodeArguments = runtime.options?.nodeargs;
  return {
    name: yaml.name,
    directory,
    ...locateProgram(directory, yaml.main),
    typescript: runtime.options?.typescript !== false,
    ...(typeof runtime.options?.tsconfig === "string" ? { tsconfig: runtime.options.tsconfig } : {}),
    nodeArguments: typeof nodeArguments === "string" ? nodeArguments.split(/\s+/).filter(Boolean) : [],
    refreshAlways: options.refresh === "always",
    configDirectory: path.join(
      directory,
      String(yaml.stackConfigDir ?? (typeof yaml.config === "string" ? yaml.config : ".")),
    ),
    config: isObject(yaml.config) ? yaml.config : {},
    ...(typeof backend.url === "string" ? { backendUrl: backend.url } : {}),
  };
}

/** Pulumi.<stack>.yaml. */
export interface StackFile {
  encryptionsalt?: string;
  config?: Record<string, unknown>;
}

export function stackFilePath(project: Project, stack: string): string {
  return path.join(project.configDirectory, `Pulumi.${stack}.yaml`);
}

export function readStackFile(sdk: Sdk, project: Project, stack: string): StackFile {
  const file = stackFilePath(project, stack);
  return fs.existsSync(file) ? ((sdk.yaml.load(fs.readFileSync(file, "utf8")) ?? {}) as StackFile) : {};
}

export function writeStackFile(sdk: Sdk, project: Project, stack: string, content: StackFile): void {
  const file = stackFilePath(project, stack);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, sdk.yaml.dump(content, { lineWidth: -1, sortKeys: false }));
}

/** Adds the salt without rewriting the file: people keep comments in it. */
export function addSalt(project: Project, stack: string, salt: string): void {
  const file = stackFilePath(project, stack);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const before = fs.existsSync(file) ? fs.readFileSync(file, "utf8") : "";
  fs.writeFileSync(file, `encryptionsalt: ${salt}\n${before}`);
}

export interface ConfigValue {
  readonly text: string;
  readonly secret: boolean;
}
export type Config = ReadonlyMap<string, ConfigValue>;

export function configKey(project: Project, key: string): string {
  return key.includes(":") ? key : `${project.name}:${key}`;
}

/** The stack's configuration over the project's defaults; `secure` values decrypted. */
export function readConfig(sdk: Sdk, project: Project, stack: string, passphrase: () => Passphrase): Config {
  const config = new Map<string, ConfigValue>();
  const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
  for (const [key, value] of Object.entries(project.config)) {
    const plain = isObject(value) ? (value.value ?? value.default) : value;
    if (plain !== undefined)
      config.set(configKey(project, key), { text: text(plain), secret: isObject(value) && value.secret === true });
  }
  for (const [key, value] of Object.entries(readStackFile(sdk, project, stack).config ?? {})) {
    let encrypted = false;
    const open = (item: unknown): unknown => {
      if (Array.isArray(item)) return item.map(open);
      if (!isObject(item)) return item;
      if (typeof item.secure === "string" && Object.keys(item).length === 1) {
        encrypted = true;
        return passphrase().decrypt(item.secure);
      }
      return Object.fromEntries(Object.entries(item).map(([name, child]) => [name, open(child)]));
    };
    const opened = open(value);
    config.set(configKey(project, key), { text: text(opened), secret: encrypted });
  }
  return new Map([...config].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A default provider is configured with what the stack says of its package; that of dynamic resources with all of it. */
export function configProperties(config: Config, name?: string): Properties {
  const wrap = (value: ConfigValue): Value => (value.secret ? secret(value.text) : value.text);
  const prefix = name === undefined ? "" : `${name}:`;
  const own = [...config].filter(([key]) => key.startsWith(prefix));
  return Object.fromEntries(own.map(([key, value]) => [key.slice(prefix.length), wrap(value)]));
}
