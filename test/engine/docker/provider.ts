import { type CheckResult, type DiffResult, PartialFailure, type ResourceProvider } from "../provider";
import { nameOf, typeOf } from "../resource";
import { annotateSecrets, isObject, isSecret, type Properties, unwrap, type Value } from "../values";
import { check } from "./check";
import { type Client, connect, type Operations } from "./client";
import { containers } from "./container";
import { applied, changes, inputsFromOutputs, planned } from "./diff";
import { images } from "./image";
import { networks } from "./network";
import * as rules from "./rules";
import type { ResourceRules } from "./schema";
import { defaultsKey, metaKey } from "./values";
import { volumes } from "./volume";

const operations: Readonly<Record<string, Operations>> = {
  [rules.containerType]: containers,
  [rules.networkType]: networks,
  [rules.volumeType]: volumes,
  [rules.remoteImageType]: images,
};

/** Stands in for pulumi-resource-docker: its rules, on a real daemon. */
export class DockerProvider implements ResourceProvider {
  readonly previews = true;
  readonly #unknown: string;
  readonly #host: string;
  #client: Promise<Client> | undefined;

  constructor(configuration: Properties, unknown: string) {
    this.#unknown = unknown;
    const host = unwrap(configuration.host ?? null);
    this.#host = typeof host === "string" ? host : defaultHost();
  }

  /** The provider's own arguments. Whatever is no text travels as JSON. */
  static checkConfig(news: Properties, unknown: string): CheckResult {
    const { version: _, pluginDownloadURL: __, ...given } = news;
    const parsed = Object.fromEntries(
      Object.entries(given).map(([key, value]) => [key, rules.provider[key]?.kind === "string" ? value : json(value)]),
    );
    const { failures } = check(rules.provider, parsed, { unknown, name: "", olds: {} });
    return { inputs: news, failures };
  }

  async check(urn: string, olds: Properties, news: Properties): Promise<CheckResult> {
    const { fields } = rulesOf(urn);
    const checked = check(fields, news, { unknown: this.#unknown, name: nameOf(urn), olds });
    // The bridge takes no marked secrets either: what holds one comes back as one secret.
    const inputs = unwrap(checked.inputs) as Properties;
    annotateSecrets(inputs, news);
    return { inputs, failures: checked.failures };
  }

  async diff(
    urn: string,
    _id: string,
    _oldInputs: Properties,
    oldOutputs: Properties,
    news: Properties,
  ): Promise<DiffResult> {
    const resource = rulesOf(urn);
    const found = changes(resource, oldOutputs, news, this.#unknown);
    const replaces = found.filter(({ replace }) => replace).map(({ property }) => property);
    // Two of one name cannot be at once; a name of its own is another one each time.
    const named = resource.fields.name && "autonamed" in resource.fields.name && !defaulted(news).includes("name");
    return {
      changes: found.length > 0 ? "some" : "none",
      replaces,
      deleteBeforeReplace: replaces.length > 0 && (resource.deleteBeforeReplace || named === true),
      changedKeys: found.map(({ property }) => property),
    };
  }

  preview(urn: string, oldOutputs: Properties | undefined, news: Properties): Properties {
    const outputs = planned(rulesOf(urn), oldOutputs && (unwrap(oldOutputs) as Properties), news, this.#unknown);
    outputs.id = oldOutputs?.id ?? this.#unknown;
    annotateSecrets(outputs, news);
    return outputs;
  }

  async create(urn: string, inputs: Properties): Promise<{ id: string; outputs: Properties }> {
    const resource = rulesOf(urn);
    const plan = planned(resource, undefined, inputs, this.#unknown);
    const state = withoutUnknowns(plan, this.#unknown);
    let id = "";
    try {
      const client = await this.#connect();
      const keep = (made: string) => {
        id = made;
      };
      const found = await operationsOf(urn).create(client, unwrap(inputs) as Properties, state, keep);
      return { id, outputs: finish(resource, id, applied(resource, plan, found, this.#unknown), inputs) };
    } catch (error) {
      const message = hideSecrets(told(error), inputs);
      if (!id) throw new Error(message);
      const reason = `creating ${urn}: ${message}`;
      const kept = applied(resource, plan, state, this.#unknown);
      throw new PartialFailure(reason, id, finish(resource, id, kept, inputs), [reason]);
    }
  }

  async read(urn: string, id: string, inputs: Properties, outputs: Properties) {
    const resource = rulesOf(urn);
    const { [metaKey]: _, id: __, ...before } = unwrap(outputs) as Properties;
    const found = await operationsOf(urn).read(await this.#connect(), id, before);
    if (!found) return { id: "", outputs: {} };
    const newInputs = inputsFromOutputs(resource.fields, inputs, found.outputs);
    annotateSecrets(newInputs, inputs);
    return { id: found.id, inputs: newInputs, outputs: finish(resource, found.id, found.outputs, outputs) };
  }

  async update(
    urn: string,
    id: string,
    _oldInputs: Properties,
    oldOutputs: Properties,
    news: Properties,
  ): Promise<Properties> {
    const resource = rulesOf(urn);
    const old = unwrap(oldOutputs) as Properties;
    const state = planned(resource, old, news, this.#unknown);
    try {
      return finish(resource, id, await operationsOf(urn).update(await this.#connect(), id, old, state), news);
    } catch (error) {
      const reason = `updating ${urn}: ${hideSecrets(told(error), news)}`;
      // As if it had been done: the provider keeps what was planned, and the next update changes nothing. A refresh does see it.
      throw new PartialFailure(reason, id, finish(resource, id, state, news), [reason]);
    }
  }

  async delete(urn: string, id: string, inputs: Properties, outputs: Properties): Promise<void> {
    try {
      await operationsOf(urn).delete(await this.#connect(), id, unwrap(outputs) as Properties);
    } catch (error) {
      throw new Error(`deleting ${urn}: ${hideSecrets(told(error), inputs)}`);
    }
  }

  async stop(): Promise<void> {}

  #connect(): Promise<Client> {
    this.#client ??= connect(this.#host);
    return this.#client;
  }
}

export function knowsType(type: string): boolean {
  return Object.hasOwn(rules.rules, type);
}

function rulesOf(urn: string): ResourceRules {
  const found = rules.rules[typeOf(urn)];
  if (!found) throw new Error(`${typeOf(urn)} is not carried out by this double of the Docker provider`);
  return found;
}

function operationsOf(urn: string): Operations {
  const found = operations[typeOf(urn)];
  if (!found) throw new Error(`${typeOf(urn)} is not carried out by this double of the Docker provider`);
  return found;
}

function defaultHost(): string {
  return process.env.DOCKER_HOST || "unix:///var/run/docker.sock";
}

function json(value: Value): Value {
  const text = unwrap(value);
  if (typeof text !== "string") return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function defaulted(inputs: Properties): string[] {
  const names = unwrap(inputs[defaultsKey] ?? null);
  return Array.isArray(names) ? names.map(String) : [];
}

/** Outputs as they are kept: with the bridge's note of the schema's version, and secret where the inputs are. */
function finish(resource: ResourceRules, id: string, outputs: Properties, secretsOf: Properties): Properties {
  const { schemaVersion } = resource;
  const meta = schemaVersion ? { [metaKey]: JSON.stringify({ schema_version: String(schemaVersion) }) } : {};
  const result = { ...meta, ...(unwrap(outputs) as Properties), id };
  annotateSecrets(result, secretsOf);
  return result;
}

function withoutUnknowns(properties: Properties, unknown: string): Properties {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== unknown));
}

/** Errors as the bridge lists them. */
function told(error: unknown): string {
  return `1 error occurred:\n\t* ${(error as Error).message}\n\n`;
}

/** What the daemon says may repeat what it was given. */
function hideSecrets(message: string, inputs: Properties): string {
  let result = message;
  const hide = (value: Value, hidden: boolean): void => {
    if (isSecret(value)) hide(value.element, true);
    else if (Array.isArray(value)) for (const item of value) hide(item, hidden);
    else if (isObject(value)) for (const item of Object.values(value)) hide(item, hidden);
    else if (hidden && typeof value === "string" && value !== "") result = result.replaceAll(value, "[secret]");
  };
  hide(inputs, false);
  return result;
}
