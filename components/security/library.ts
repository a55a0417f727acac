import { createRequire } from "node:module";

type Library = typeof import("@peculiar/x509");

let loaded: Library | undefined;

/**
 * @peculiar/x509, loaded when something is to be signed and not before: it brings two hundred files, and most previews sign nothing.
 *
 * It holds its algorithms by tsyringe, which refuses to load without the `Reflect` of a decorator proposal, though it only asks there for what
 * constructors are to be given, and none of these takes anything. So an empty answer stands in while the files load, in one go,
 * and nothing of it is left for others in this process.
 */
export function x509(): Library {
  loaded ??= withMetadata(() => createRequire(__filename)("@peculiar/x509") as Library);
  return loaded;
}

function withMetadata<T>(load: () => T): T {
  const added = ["getMetadata", "getOwnMetadata"].filter((name) => !(name in Reflect));
  for (const name of added) Object.defineProperty(Reflect, name, { value: () => undefined, configurable: true });
  try {
    return load();
  } finally {
    for (const name of added) Reflect.deleteProperty(Reflect, name);
  }
}
