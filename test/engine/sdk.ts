import { createRequire } from "node:module";
import * as path from "node:path";

/**
 * A generated protobuf message, client or service of the SDK. The stubs come from the *program's* SDK, whatever version
 * it has, so nothing is known about them when this is compiled.
 */
// biome-ignore lint/suspicious/noExplicitAny: see above.
export type Stub = any;

/** What the engine takes from the program's own @pulumi/pulumi: wire formats and constants are never retyped here. */
export interface Sdk {
  readonly directory: string;
  readonly version: string;
  readonly grpc: Stub;
  readonly resource: Stub;
  readonly resourceService: Stub;
  readonly engineService: Stub;
  readonly engine: Stub;
  readonly provider: Stub;
  readonly providerService: Stub;
  readonly status: Stub;
  readonly struct: Stub;
  readonly empty: Stub;
  readonly yaml: { load(text: string): unknown; dump(value: unknown, options?: object): string };
  readonly signatureKey: string;
  readonly secretSignature: string;
  readonly assetSignature: string;
  readonly archiveSignature: string;
  readonly resourceSignature: string;
  readonly outputSignature: string;
  readonly unknown: string;
}

/** Pulumi's own limit: a big program's state does not fit gRPC's default of 4 MB. */
export const messageLimits = {
  "grpc.max_receive_message_length": 400 * 1024 * 1024,
  "grpc.max_send_message_length": 400 * 1024 * 1024,
};

/** Arguments of Node for a process that loads the SDK: most of what it brings is loaded when it is needed. */
export const LATE_MODULES: readonly string[] = ["--require", path.join(__dirname, "lateModules")];

export function loadSdk(programDirectory: string): Sdk {
  const fromProgram = createRequire(path.join(programDirectory, "_"));
  let manifest: string;
  try {
    manifest = fromProgram.resolve("@pulumi/pulumi/package.json");
  } catch {
    throw new Error(`@pulumi/pulumi cannot be found from ${programDirectory}: run \`npm install\` there first`);
  }
  const fromSdk = createRequire(manifest);
  const directory = path.dirname(manifest);
  const rpc = fromSdk("./runtime/rpc");
  return {
    directory,
    version: fromSdk(manifest).version,
    grpc: fromSdk("@grpc/grpc-js"),
    resource: fromSdk("./proto/resource_pb"),
    resourceService: fromSdk("./proto/resource_grpc_pb"),
    engine: fromSdk("./proto/engine_pb"),
    engineService: fromSdk("./proto/engine_grpc_pb"),
    provider: fromSdk("./proto/provider_pb"),
    providerService: fromSdk("./proto/provider_grpc_pb"),
    status: fromSdk("./proto/status_pb"),
    struct: fromSdk("google-protobuf/google/protobuf/struct_pb"),
    empty: fromSdk("google-protobuf/google/protobuf/empty_pb"),
    yaml: fromSdk("js-yaml"),
    signatureKey: rpc.specialSigKey,
    secretSignature: rpc.specialSecretSig,
    assetSignature: rpc.specialAssetSig,
    archiveSignature: rpc.specialArchiveSig,
    resourceSignature: rpc.specialResourceSig,
    outputSignature: rpc.specialOutputValueSig,
    unknown: rpc.unknownValue,
  };
}
