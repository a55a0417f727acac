import { Module } from "node:module";

/**
 * Preloaded into the processes in which the engine loads the SDK (`node --require`). The SDK takes functions apart with the TypeScript compiler and
 * npm's tree of packages, and loads both whenever it is loaded itself: two thirds of the time that takes, three times a run. A program
 * whose resources carry their provider as text, as this project's do, needs neither. Here they are loaded with the first look into them.
 */
interface Loader {
  _load(request: string, parent: { readonly filename?: string } | undefined, isMain: boolean): unknown;
  _resolveFilename(request: string, parent: unknown, isMain: boolean): string;
}

const LATE = new Set(["typescript", "@npmcli/arborist"]);
/** What takes functions apart. Whoever else asks for a compiler is about to use it. */
const CLOSURES = /[\\/]@pulumi[\\/]pulumi[\\/](?:runtime[\\/]closure[\\/]|typescript-shim\.js$)/;

const loader = Module as unknown as Loader;
const load = loader._load;
loader._load = function (request, parent, isMain) {
  if (!LATE.has(request) || !CLOSURES.test(parent?.filename ?? "")) return load.call(this, request, parent, isMain);
  // What is not there fails at once, as always: the SDK falls back to another one then.
  loader._resolveFilename(request, parent, isMain);
  let loaded: object | undefined;
  const exported = () => {
    loaded ??= load.call(loader, request, parent, isMain) as object;
    return loaded;
  };
  return new Proxy(
    {},
    {
      // Else the compiler's own helper for imports copies every export at once.
      get: (_, name) =>
        name === "__esModule" ? true : name === "default" ? exported() : Reflect.get(exported(), name, exported()),
      has: (_, name) => name in exported(),
      ownKeys: () => Reflect.ownKeys(exported()),
      getOwnPropertyDescriptor: (_, name) => {
        const found = Reflect.getOwnPropertyDescriptor(exported(), name);
        return found && { ...found, configurable: true };
      },
    },
  );
};
