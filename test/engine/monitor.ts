import { type Deployment, Stopped } from "./deployment";
import { knowsType } from "./docker/provider";
import type { Severity } from "./events";
import type { Config } from "./project";
import { configProperties } from "./project";
import { dockerPackage, dynamicPackage } from "./providers";
import { type Goal, isProviderType, makeUrn, packageOf, stackType } from "./resource";
import { messageLimits, type Sdk, type Stub } from "./sdk";
import { propertiesFromWire, propertiesToWire } from "./values";

type Reply = (error: unknown, response?: Stub) => void;
type Handler = (call: { request: Stub }, reply: Reply) => void;

/** The two gRPC services that a program talks to: the resource monitor and the engine. */
export class Monitor {
  readonly #sdk: Sdk;
  readonly #config: Config;
  readonly #server: Stub;
  #deployment: Deployment | undefined;
  readonly #defaultProviders = new Map<string, Promise<string>>();
  #rootUrn = "";
  #finished: () => void = () => {};
  /** Settles when the program says that it has registered all it wants. */
  readonly allRegistered: Promise<void>;
  /** Deletes run before the program's last call is answered. */
  #shutdown: Promise<void> = Promise.resolve();
  address = "";

  constructor(sdk: Sdk, config: Config) {
    this.#sdk = sdk;
    this.#config = config;
    this.#server = new sdk.grpc.Server(messageLimits);
    this.allRegistered = new Promise((resolve) => {
      this.#finished = resolve;
    });
  }

  async listen(): Promise<void> {
    this.#server.addService(
      this.#sdk.resourceService.ResourceMonitorService,
      this.#implement(this.#sdk.resourceService.ResourceMonitorService, this.#resourceMonitor()),
    );
    this.#server.addService(
      this.#sdk.engineService.EngineService,
      this.#implement(this.#sdk.engineService.EngineService, this.#engine()),
    );
    const port = await new Promise<number>((resolve, reject) => {
      const credentials = this.#sdk.grpc.ServerCredentials.createInsecure();
      this.#server.bindAsync("127.0.0.1:0", credentials, (error: Error | null, bound: number) =>
        error ? reject(error) : resolve(bound),
      );
    });
    this.address = `127.0.0.1:${port}`;
  }

  /** `shutdown`: what the last call waits for. */
  serve(deployment: Deployment, shutdown: Promise<void>): void {
    this.#deployment = deployment;
    this.#shutdown = shutdown;
  }

  close(): void {
    this.#server.forceShutdown();
  }

  /** Every call that is not implemented says so, by name, instead of being answered with something half right. */
  #implement(service: Stub, handlers: Record<string, (request: Stub) => Promise<Stub>>): Record<string, Handler> {
    const result: Record<string, Handler> = {};
    const status = this.#sdk.grpc.status;
    for (const name of Object.keys(service)) {
      const handler = handlers[name];
      result[name] = (call, reply) => {
        if (!handler) {
          const details = `${name} is not implemented by the hermetic engine, which stands in for the Pulumi CLI in tests: use the CLI`;
          reply({ code: status.UNIMPLEMENTED, details });
          return;
        }
        handler(call.request).then(
          (response) => reply(null, response),
          (error: unknown) => {
            const gone = error instanceof Stopped;
            reply({ code: gone ? status.UNAVAILABLE : status.UNKNOWN, details: (error as Error).message });
          },
        );
      };
    }
    return result;
  }

  #resourceMonitor(): Record<string, (request: Stub) => Promise<Stub>> {
    const empty = () => new this.#sdk.empty.Empty();
    return {
      getDeploymentInfo: async () => this.#deploymentInfo(),
      supportsFeature: async (request) => {
        const response = new this.#sdk.resource.SupportsFeatureResponse();
        response.setHassupport(["secrets", "deletedWith"].includes(request.getId()));
        return response;
      },
      registerResource: (request) => this.#registerResource(request),
      registerResourceOutputs: async (request) => {
        await this.#running().registerOutputs(request.getUrn(), propertiesFromWire(this.#sdk, request.getOutputs()));
        return empty();
      },
      signalAndWaitForShutdown: async () => {
        this.#finished();
        await this.#shutdown;
        return empty();
      },
    };
  }

  #engine(): Record<string, (request: Stub) => Promise<Stub>> {
    const severities: Severity[] = ["debug", "info", "warning", "error"];
    return {
      log: async (request) => {
        const severity = severities[request.getSeverity()] ?? "info";
        this.#deployment?.events.diagnostic(severity, request.getMessage(), request.getUrn(), request.getEphemeral());
        return new this.#sdk.empty.Empty();
      },
      getRootResource: async () => {
        const response = new this.#sdk.engine.GetRootResourceResponse();
        response.setUrn(this.#rootUrn);
        return response;
      },
      setRootResource: async (request) => {
        this.#rootUrn = request.getUrn();
        return new this.#sdk.engine.SetRootResourceResponse();
      },
    };
  }

  #running(): Deployment {
    if (!this.#deployment || this.#deployment.stopped) throw new Stopped("the run has stopped");
    return this.#deployment;
  }

  /** Only what is really there is advertised: the SDK refuses, or works around, the rest. */
  #deploymentInfo(): Stub {
    const { stack, project, dryRun } = this.#running();
    const info = new this.#sdk.resource.DeploymentInfo();
    const features = this.#sdk.resource.ResourceMonitorFeature;
    info.setProject(project);
    info.setStack(stack);
    info.setOrganization("organization");
    info.setDryrun(dryRun);
    info.setParallel(16);
    for (const [key, value] of this.#config) {
      info.getConfigMap().set(key, value.text);
      if (value.secret) info.addConfigsecretkeys(key);
    }
    info.setSupportedfeaturesList([
      features.RESOURCE_MONITOR_FEATURE_SECRETS,
      features.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    ]);
    return info;
  }

  async #registerResource(request: Stub): Promise<Stub> {
    const deployment = this.#running();
    refuseUnsupported(request);
    const goal: Goal = {
      type: request.getType(),
      name: request.getName(),
      custom: request.getCustom(),
      properties: propertiesFromWire(this.#sdk, request.getObject()),
      parent: request.getParent(),
      protect: request.getProtect() === true,
      dependencies: [...request.getDependenciesList()],
      propertyDependencies: propertyDependencies(request),
      provider: await this.#providerOf(deployment, request),
      ...(request.getDeletebeforereplacedefined() ? { deleteBeforeReplace: request.getDeletebeforereplace() } : {}),
      ignoreChanges: request.getIgnorechangesList(),
      replaceOnChanges: request.getReplaceonchangesList(),
      additionalSecretOutputs: request.getAdditionalsecretoutputsList(),
      retainOnDelete: request.getRetainondelete() === true,
      deletedWith: request.getDeletedwith(),
      aliases: request.getAliasurnsList(),
    };
    const { outcome, state, unknown } = await deployment.register(goal);
    const response = new this.#sdk.resource.RegisterResourceResponse();
    response.setUrn(state.urn);
    response.setId(state.id ?? "");
    response.setObject(propertiesToWire(this.#sdk, state.outputs ?? {}, request.getAcceptsecrets()));
    response.setUnknown(unknown);
    if (outcome !== "ok") {
      if (!request.getSupportsresultreporting()) throw new Error("resource registration failed");
      response.setResult(
        outcome === "failed"
          ? this.#sdk.resource.Result.FAIL
          : (this.#sdk.resource.Result.SKIP ?? this.#sdk.resource.Result.FAIL),
      );
    }
    return response;
  }

  /** The reference to a resource's provider: the one that the program gave it, else the default one of its package. */
  async #providerOf(deployment: Deployment, request: Stub): Promise<string> {
    const type: string = request.getType();
    if (!request.getCustom() || isProviderType(type)) return "";
    return request.getProvider() || this.#defaultProvider(deployment, packageOf(type), request.getVersion());
  }

  /** Resources of one package share a provider, a resource of its own that is registered when the first of them is. */
  #defaultProvider(deployment: Deployment, name: string, version: string): Promise<string> {
    const dynamic = name === dynamicPackage;
    const key = version && !dynamic ? `default_${version.replace(/[^A-Za-z0-9]/g, "_")}` : "default";
    const properties = configProperties(this.#config, dynamic ? undefined : name);
    const known = this.#defaultProviders.get(`${name}:${key}`);
    const reference =
      known ??
      deployment
        .register({
          type: `pulumi:providers:${name}`,
          name: key,
          custom: true,
          properties: version && !dynamic ? { ...properties, version } : properties,
          parent: "",
          protect: false,
          dependencies: [],
          propertyDependencies: {},
          provider: "",
          ignoreChanges: [],
          replaceOnChanges: [],
          additionalSecretOutputs: [],
          retainOnDelete: false,
          deletedWith: "",
          aliases: [],
        })
        .then(({ state }) => `${state.urn}::${state.id || this.#sdk.unknown}`);
    this.#defaultProviders.set(`${name}:${key}`, reference);
    return reference;
  }
}

export function stackUrn(stack: string, project: string): string {
  return makeUrn(stack, project, "", stackType, `${project}-${stack}`);
}

function propertyDependencies(request: Stub): Record<string, string[]> {
  const result: Record<string, string[]> = {};
  request.getPropertydependenciesMap().forEach((value: Stub, key: string) => {
    result[key] = [...value.getUrnsList()].sort();
  });
  return result;
}

/** Said before anything is done: half of an option is worse than none. */
function refuseUnsupported(request: Stub): void {
  const type: string = request.getType();
  const refuse = (what: string) => {
    throw new Error(`${type} ${request.getName()}: ${what} not implemented by the hermetic engine; use the Pulumi CLI`);
  };
  if (request.getRemote()) refuse("remote components are");
  if (isProviderType(type) && packageOf(type) !== dockerPackage) refuse("explicit providers are");
  if (request.getCustom() && !isProviderType(type) && packageOf(type) !== dynamicPackage && !knowsType(type)) {
    const known = "components, dynamic resources, and Docker's networks, volumes, images and containers";
    refuse(`resources of package ${packageOf(type)} (${type}; there are ${known}) are`);
  }
  if (request.getImportid()) refuse("`import` is");
  if (request.getTransformsList().length > 0) refuse("transforms are");
  if (request.getReplaceWithList?.().length > 0) refuse("`replaceWith` is");
  if (request.getReplacementTrigger?.()) refuse("`replacementTrigger` is");
  if (request.getStateMigrationsList?.().length > 0) refuse("state migrations are");
  if (request.getAliasesList().length > 0) refuse("alias specifications are");
  const hooks = request.getHooks?.();
  if (hooks && Object.values(hooks.toObject()).some((names) => Array.isArray(names) && names.length > 0))
    refuse("resource hooks are");
}
