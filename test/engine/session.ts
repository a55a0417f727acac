import * as fs from "node:fs";
import * as path from "node:path";
import type { Arguments } from "./arguments";
import { UsageError } from "./arguments";
import type { StackContext } from "./operations";
import { addSalt, findProject, type Project, readConfig, readProject, readStackFile } from "./project";
import { loadSdk, type Sdk } from "./sdk";
import { Passphrase, passphraseFromEnvironment } from "./secrets";
import { Backend, backendFolder, manifest, Serializer } from "./state";

/** One run of the command line: where it is, and what it works on. */
export class Session {
  readonly args: Arguments;
  readonly project: Project;
  readonly sdk: Sdk;
  readonly backend: Backend;
  readonly #passphrases = new Map<string, Passphrase>();

  constructor(args: Arguments) {
    this.args = args;
    const directory = findProject(path.resolve(args.values.get("--cwd")?.at(-1) ?? "."));
    const sdk = loadSdk(directory);
    this.project = readProject(sdk, directory);
    // The program's own SDK counts, should its folder have one.
    this.sdk = this.project.programDirectory === directory ? sdk : loadSdk(this.project.programDirectory);
    const folder = backendFolder(process.env.PULUMI_BACKEND_URL ?? this.project.backendUrl, directory);
    this.backend = new Backend(folder, this.project.name);
  }

  /** The stack named by `--stack`, the environment or the last `stack init` or `stack select`. */
  stackName(): string {
    const named = this.args.values.get("--stack")?.at(-1) ?? process.env.PULUMI_STACK;
    const selected = fs.existsSync(this.backend.selectedFile)
      ? fs.readFileSync(this.backend.selectedFile, "utf8").trim()
      : undefined;
    const name = named ?? selected;
    if (!name)
      throw new UsageError("no stack selected; use --stack <name>, `stack init <name>` or `stack select <name>`");
    return checkName(name);
  }

  select(stack: string): void {
    fs.mkdirSync(path.dirname(this.backend.selectedFile), { recursive: true });
    fs.writeFileSync(this.backend.selectedFile, `${stack}\n`);
  }

  passphrase(salt: string | undefined): Passphrase {
    if (!salt) throw new Error("this stack has no encryption salt; `stack init` makes one");
    const known = this.#passphrases.get(salt) ?? Passphrase.open(passphraseFromEnvironment(process.env), salt);
    this.#passphrases.set(salt, known);
    return known;
  }

  /** The salt lies in the stack's configuration file, as with the CLI, and in the state, which must not lose it. */
  salt(stack: string): string | undefined {
    return readStackFile(this.sdk, this.project, stack).encryptionsalt ?? this.stateSalt(stack);
  }

  stateSalt(stack: string): string | undefined {
    return this.backend.exists(stack) ? this.backend.read(stack).secrets_providers?.state?.salt : undefined;
  }

  serializer(salt: string | undefined): Serializer {
    return new Serializer(this.sdk, () => this.passphrase(salt));
  }

  context(stack: string): StackContext {
    this.backend.read(stack);
    const salt = this.stateSalt(stack) ?? this.salt(stack);
    const config = readConfig(this.sdk, this.project, stack, () => this.passphrase(this.salt(stack)));
    return {
      sdk: this.sdk,
      project: this.project,
      stack,
      backend: this.backend,
      serializer: this.serializer(salt),
      config,
      salt,
    };
  }

  initialise(name: string): void {
    const stack = checkName(name);
    this.backend.refuseForeign(stack);
    if (this.backend.exists(stack)) throw new Error(`stack '${stack}' already exists`);
    let salt = readStackFile(this.sdk, this.project, stack).encryptionsalt;
    if (salt) {
      this.passphrase(salt);
    } else {
      const passphrase = Passphrase.create(passphraseFromEnvironment(process.env));
      salt = passphrase.salt;
      this.#passphrases.set(salt, passphrase);
      addSalt(this.project, stack, salt);
    }
    const secrets = { secrets_providers: { type: "passphrase", state: { salt } } };
    this.backend.write(stack, { manifest: manifest(this.sdk), ...secrets, metadata: {} });
    this.select(stack);
  }
}

function checkName(name: string): string {
  const stack = name.split("/").pop() ?? "";
  if (!/^[A-Za-z0-9_.-]{1,100}$/.test(stack))
    throw new UsageError(`stack name '${name}' may hold letters, digits, hyphens, underscores and periods only`);
  return stack;
}
