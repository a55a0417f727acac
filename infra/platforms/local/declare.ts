import * as pulumi from "@pulumi/pulumi";
import { type Declaration, declare } from "../../../components/cluster/declare";
import { Problems, readObject, readText, show } from "../../../components/spec/reader";
import type { Problem } from "../../../components/spec/spec";
import type { DeclaredEngine } from "../../../components/spec/validate";
import { LOCAL_DEFAULTS, type LocalRedisClusterArgs } from "./args";
import { localPlatform } from "./platform";
import { PORT_STRIDE } from "./runner/types";
import { type FoundServer, findServer, NoServer } from "./server";

/**
 * Validates a declaration, all problems at once, those of the server to run among them.
 * @throws pulumi.RunError that lists every problem: what it got, what is allowed, what to do
 */
export function declareLocal(name: string, args: LocalRedisClusterArgs): Declaration {
  // Arguments that are no object at all are reported with the common ones.
  const given = readObject(new Problems(), "args", args);
  const problems = new Problems();
  const directory = readText(problems, "directory", given["directory"]) ?? LOCAL_DEFAULTS.directory;
  if (/\p{Cc}/u.test(directory))
    problems.error("directory", `${show(directory)} has a line break or another control character; use another folder`);
  const server = lookForServer(problems, given["serverBinary"]);
  const facts = {
    platform: "local",
    // Whatever it is: zones are judged with the common arguments.
    zones: given["zones"] === undefined ? LOCAL_DEFAULTS.zones : (given["zones"] as string[]),
    defaultEngine: server?.engine,
    judgeEngine: (declared: DeclaredEngine) => (server ? judgeEngine(declared, server) : []),
    numberedPorts: PORT_STRIDE,
    platformArguments: ["zones", "directory", "serverBinary"],
    problems: problems.list,
  };
  return declare(name, args, facts, () => {
    if (!server) throw new Error(`${name}: a cluster has no server to run; validate first`);
    return localPlatform({
      serverPath: server.path,
      engine: server.engine,
      directory,
      stack: pulumi.getStack(),
      fixedPorts: args.port !== undefined,
    });
  });
}

function lookForServer(problems: Problems, serverBinary: unknown): FoundServer | undefined {
  const wanted = readText(problems, "serverBinary", serverBinary);
  if (!problems.isSound("serverBinary")) return undefined;
  try {
    return findServer(wanted);
  } catch (error) {
    if (!(error instanceof NoServer)) throw error;
    problems.list.push(error.problem);
    return undefined;
  }
}

/** The server decides which engine runs; a declared one says which one it has to be. */
function judgeEngine({ name, version }: DeclaredEngine, { path, engine: found }: FoundServer): Problem[] {
  const runs =
    (name ?? found.name) === found.name && (version === undefined || `${found.version}.`.startsWith(`${version}.`));
  if (runs) return [];
  const declared = [name ?? found.name, version].filter((word) => word !== undefined).join(" ");
  return [
    {
      severity: "error",
      property: "engine",
      message: `${declared} is declared, but ${path} is ${found.name} ${found.version}; leave \`engine\` out, or point \`serverBinary\` to the declared one`,
    },
  ];
}
