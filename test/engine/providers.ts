import { DockerProvider } from "./docker/provider";
import { type CheckResult, DynamicProvider, type ProviderHost, type ResourceProvider } from "./provider";
import { packageOf } from "./resource";
import { type Properties, unwrap } from "./values";

/** The packages whose resources the engine carries out. */
export const dynamicPackage = "pulumi-nodejs";
export const dockerPackage = "docker";

/** Providers by package and configuration: one that changed its configuration is another one, as in the real engine. */
export class Providers {
  readonly #host: ProviderHost;
  readonly #started = new Map<string, Promise<ResourceProvider>>();

  constructor(host: ProviderHost) {
    this.#host = host;
  }

  get(type: string, configuration: Properties): Promise<ResourceProvider> {
    const key = JSON.stringify([type, unwrap(configuration)]);
    const started = this.#started.get(key) ?? this.#start(packageOf(type), configuration);
    this.#started.set(key, started);
    return started;
  }

  async #start(name: string, configuration: Properties): Promise<ResourceProvider> {
    if (name === dynamicPackage) return DynamicProvider.start(this.#host, configuration);
    if (name === dockerPackage) return new DockerProvider(configuration, this.#host.sdk.unknown);
    throw new Error(`the hermetic engine has no provider for package ${name}; use the Pulumi CLI`);
  }

  /** The arguments of a provider itself. Those of the dynamic providers are the stack's configuration, whatever it is. */
  checkConfig(type: string, inputs: Properties): CheckResult {
    if (packageOf(type) !== dockerPackage) return { inputs, failures: [] };
    return DockerProvider.checkConfig(inputs, this.#host.sdk.unknown);
  }

  async stop(): Promise<void> {
    await Promise.all(
      [...this.#started.values()].map((started) =>
        started.then(
          (provider) => provider.stop(),
          () => undefined,
        ),
      ),
    );
  }
}
