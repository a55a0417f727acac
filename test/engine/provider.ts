import { type ChildProcess, spawn } from "node:child_process";
import * as path from "node:path";
import * as readline from "node:readline";
import type { Sdk, Stub } from "./sdk";
import { LATE_MODULES, messageLimits } from "./sdk";
import { annotateSecrets, type Properties, propertiesFromWire, propertiesToWire, unwrap } from "./values";

export interface DiffResult {
  changes: "none" | "some" | "unknown";
  replaces: string[];
  deleteBeforeReplace: boolean;
  /** Known only where the engine compared the inputs itself. */
  changedKeys: string[];
}

export interface CheckResult {
  inputs: Properties;
  failures: { property: string; reason: string }[];
}

/** A failure after which the resource exists, though not as it should. */
export class PartialFailure extends Error {
  readonly id: string;
  readonly properties: Properties;
  readonly reasons: string[];
  constructor(message: string, id: string, properties: Properties, reasons: string[]) {
    super(message);
    this.id = id;
    this.properties = properties;
    this.reasons = reasons;
  }
}

/** What the engine asks of a provider, whichever it is. */
export interface ResourceProvider {
  /** Says in previews what a creation or an update would bring; without it, what is no input stays unknown to the program. */
  readonly previews: boolean;
  check(urn: string, olds: Properties, news: Properties): Promise<CheckResult>;
  diff(
    urn: string,
    id: string,
    oldInputs: Properties,
    oldOutputs: Properties,
    news: Properties,
    ignoreChanges: string[],
  ): Promise<DiffResult>;
  /** Only where `previews`: the outputs as they will be. Of a creation, `oldOutputs` are absent. */
  preview(urn: string, oldOutputs: Properties | undefined, news: Properties): Properties;
  create(urn: string, inputs: Properties): Promise<{ id: string; outputs: Properties }>;
  read(
    urn: string,
    id: string,
    inputs: Properties,
    outputs: Properties,
  ): Promise<{ id: string; inputs?: Properties; outputs: Properties }>;
  update(
    urn: string,
    id: string,
    oldInputs: Properties,
    oldOutputs: Properties,
    news: Properties,
    ignoreChanges: string[],
  ): Promise<Properties>;
  delete(urn: string, id: string, inputs: Properties, outputs: Properties): Promise<void>;
  stop(): Promise<void>;
}

export interface ProviderHost {
  readonly sdk: Sdk;
  readonly project: string;
  readonly stack: string;
  readonly directory: string;
  readonly engineAddress: string;
  readonly configEnvironment: Record<string, string>;
  readonly log: (line: string, stream: "stdout" | "stderr") => void;
}

/** A process that runs the program's dynamic providers, and the calls to it. */
export class DynamicProvider implements ResourceProvider {
  readonly previews = false;
  readonly #sdk: Sdk;
  readonly #child: ChildProcess;
  readonly #client: Stub;
  readonly #exited: Promise<void>;

  private constructor(sdk: Sdk, child: ChildProcess, client: Stub, exited: Promise<void>) {
    this.#sdk = sdk;
    this.#child = child;
    this.#client = client;
    this.#exited = exited;
  }

  static async start(host: ProviderHost, configuration: Properties): Promise<DynamicProvider> {
    const script = path.join(host.sdk.directory, "cmd", "dynamic-provider");
    // A process group of its own: Ctrl-C is for the engine alone, which lets running calls finish.
    const child = spawn(process.execPath, [...LATE_MODULES, script, host.engineAddress], {
      cwd: host.directory,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        ...host.configEnvironment,
        PULUMI_PROJECT: host.project,
        PULUMI_NODEJS_PROJECT: host.project,
      },
    });
    const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
    readline.createInterface({ input: child.stderr }).on("line", (line) => host.log(line, "stderr"));
    const port = await new Promise<string>((resolve, reject) => {
      let first = true;
      child.once("error", reject);
      child.once("exit", (code) =>
        reject(new Error(`the dynamic provider process ended with code ${code} before it could be used`)),
      );
      readline.createInterface({ input: child.stdout }).on("line", (line) => {
        // The first line is the port; whatever comes later was printed by the providers themselves.
        if (first) resolve(line.trim());
        else host.log(line, "stdout");
        first = false;
      });
    });
    const credentials = host.sdk.grpc.credentials.createInsecure();
    const client = new host.sdk.providerService.ResourceProviderClient(`127.0.0.1:${port}`, credentials, messageLimits);
    const provider = new DynamicProvider(host.sdk, child, client, exited);
    const request = new host.sdk.provider.ConfigureRequest();
    request.setArgs(propertiesToWire(host.sdk, configuration, false));
    request.setAcceptsecrets(true);
    request.setAcceptresources(true);
    for (const [key, value] of Object.entries(configuration)) request.getVariablesMap().set(key, String(unwrap(value)));
    await provider.#call("configure", request);
    return provider;
  }

  async check(urn: string, olds: Properties, news: Properties): Promise<CheckResult> {
    const request = new this.#sdk.provider.CheckRequest();
    request.setUrn(urn);
    request.setOlds(this.#wire(olds));
    request.setNews(this.#wire(news));
    const response = await this.#call("check", request);
    const inputs = propertiesFromWire(this.#sdk, response.getInputs());
    annotateSecrets(inputs, news);
    const failures: Stub[] = response.getFailuresList();
    return {
      inputs,
      failures: failures.map((failure) => ({ property: failure.getProperty(), reason: failure.getReason() })),
    };
  }

  async diff(
    urn: string,
    id: string,
    oldInputs: Properties,
    oldOutputs: Properties,
    news: Properties,
    ignoreChanges: string[],
  ): Promise<DiffResult> {
    const request = new this.#sdk.provider.DiffRequest();
    request.setUrn(urn);
    request.setId(id);
    request.setOldInputs(this.#wire(oldInputs));
    request.setOlds(this.#wire(oldOutputs));
    request.setNews(this.#wire(news));
    request.setIgnorechangesList(ignoreChanges);
    const response = await this.#call("diff", request);
    const kinds = this.#sdk.provider.DiffResponse.DiffChanges;
    const changes = response.getChanges();
    return {
      changes: changes === kinds.DIFF_NONE ? "none" : changes === kinds.DIFF_SOME ? "some" : "unknown",
      replaces: response.getReplacesList(),
      deleteBeforeReplace: response.getDeletebeforereplace(),
      changedKeys: [],
    };
  }

  preview(_urn: string, _oldOutputs: Properties | undefined, news: Properties): Properties {
    return { ...news };
  }

  async create(urn: string, inputs: Properties): Promise<{ id: string; outputs: Properties }> {
    const request = new this.#sdk.provider.CreateRequest();
    request.setUrn(urn);
    request.setProperties(this.#wire(inputs));
    const response = await this.#call("create", request, inputs);
    const outputs = propertiesFromWire(this.#sdk, response.getProperties());
    annotateSecrets(outputs, inputs);
    return { id: response.getId(), outputs };
  }

  async read(
    urn: string,
    id: string,
    inputs: Properties,
    outputs: Properties,
  ): Promise<{ id: string; inputs?: Properties; outputs: Properties }> {
    const request = new this.#sdk.provider.ReadRequest();
    request.setUrn(urn);
    request.setId(id);
    request.setInputs(this.#wire(inputs));
    request.setProperties(this.#wire(outputs));
    const response = await this.#call("read", request, outputs);
    const newOutputs = propertiesFromWire(this.#sdk, response.getProperties());
    annotateSecrets(newOutputs, outputs);
    if (!response.hasInputs()) return { id: response.getId(), outputs: newOutputs };
    const newInputs = propertiesFromWire(this.#sdk, response.getInputs());
    annotateSecrets(newInputs, inputs);
    return { id: response.getId(), inputs: newInputs, outputs: newOutputs };
  }

  async update(
    urn: string,
    id: string,
    oldInputs: Properties,
    oldOutputs: Properties,
    news: Properties,
    ignoreChanges: string[],
  ): Promise<Properties> {
    const request = new this.#sdk.provider.UpdateRequest();
    request.setUrn(urn);
    request.setId(id);
    request.setOldInputs(this.#wire(oldInputs));
    request.setOlds(this.#wire(oldOutputs));
    request.setNews(this.#wire(news));
    request.setIgnorechangesList(ignoreChanges);
    const response = await this.#call("update", request, news);
    const outputs = propertiesFromWire(this.#sdk, response.getProperties());
    annotateSecrets(outputs, news);
    return outputs;
  }

  async delete(urn: string, id: string, inputs: Properties, outputs: Properties): Promise<void> {
    const request = new this.#sdk.provider.DeleteRequest();
    request.setUrn(urn);
    request.setId(id);
    request.setOldInputs(this.#wire(inputs));
    request.setProperties(this.#wire(outputs));
    await this.#call("delete", request);
  }

  async stop(): Promise<void> {
    this.#client.close();
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  #wire(properties: Properties): unknown {
    return propertiesToWire(this.#sdk, properties, false);
  }

  /** `secretsOf`: inputs that tell which properties of a partial failure are secrets. */
  async #call(method: string, request: Stub, secretsOf: Properties = {}): Promise<Stub> {
    return new Promise((resolve, reject) => {
      this.#client[method](request, (error: Stub, response: Stub) => {
        if (error) reject(this.#explain(error, secretsOf));
        else resolve(response);
      });
    });
  }

  #explain(error: Stub, secretsOf: Properties): Error {
    const details: Buffer | undefined = error.metadata?.get("grpc-status-details-bin")?.[0];
    const message = String(error.details || error.message);
    if (!details) return new Error(message);
    const status = this.#sdk.status.Status.deserializeBinary(new Uint8Array(details));
    const detail = status.getDetailsList()[0];
    const failure = detail && this.#sdk.provider.ErrorResourceInitFailed.deserializeBinary(detail.getValue_asU8());
    if (!failure) return new Error(message);
    const properties = propertiesFromWire(this.#sdk, failure.getProperties());
    annotateSecrets(properties, secretsOf);
    const reasons: string[] = failure.getReasonsList();
    return new PartialFailure(status.getMessage() || message, failure.getId(), properties, reasons);
  }
}
