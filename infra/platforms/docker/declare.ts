import * as net from "node:net";
import * as pulumi from "@pulumi/pulumi";
import { type Declaration, declare } from "../../../components/cluster/declare";
import {
  Problems,
  readInteger,
  readObject,
  readText,
  readWord,
  refuseUnknownKeys,
  show,
} from "../../../components/spec/reader";
import { parseSize } from "../../../components/spec/sizes";
import type { Engine, Problem } from "../../../components/spec/spec";
import type { DeclaredEngine } from "../../../components/spec/validate";
import { DOCKER_DEFAULTS, type DockerRedisClusterArgs } from "./args";
import { engineOfImage, imageProblem, officialImage } from "./image";
import { type DockerPlatformOptions, dockerPlatform } from "./platform";
import { subnetProblem } from "./subnet";

/**
 * Validates a declaration, all problems at once.
 * @throws pulumi.RunError that lists every problem: what it got, what is allowed, what to do
 */
export function declareDocker(name: string, args: DockerRedisClusterArgs): Declaration {
  // Arguments that are no object at all are reported with the common ones.
  const given = readObject(new Problems(), "args", args);
  const problems = new Problems();
  const image = readImage(problems, given["image"]);
  const subnet = readSubnet(problems, given["subnet"]);
  const through = readWord(
    problems,
    "reachThrough",
    given["reachThrough"],
    process.platform === "linux" ? "network" : "published",
    ["network", "published"],
  );
  // Without them nothing here would reach a node.
  const publish = readPublish(problems, given["publish"] ?? (through === "published" ? {} : undefined));
  const openFiles = readInteger(problems, "openFiles", given["openFiles"], DOCKER_DEFAULTS.openFiles, {
    least: 1_024,
    most: 1_048_576,
    use: `use 1024 or more (${DOCKER_DEFAULTS.openFiles} is the default)`,
  });
  const dockerHost = readDockerHost(problems, given["dockerHost"]);
  const told = image === undefined ? undefined : engineOfImage(image);
  checkOpenFiles(problems, openFiles, given["redisConfig"]);
  const facts = {
    platform: "docker",
    // Whatever it is: zones are judged with the common arguments.
    zones: given["zones"] === undefined ? DOCKER_DEFAULTS.zones : (given["zones"] as string[]),
    defaultEngine: told ?? (image === undefined ? DOCKER_DEFAULTS.engine : undefined),
    judgeEngine: (declared: DeclaredEngine) => judgeEngine(declared, image, told),
    platformArguments: ["zones", "image", "subnet", "publish", "reachThrough", "openFiles", "dockerHost"],
    problems: problems.list,
  };
  return declare(name, args, facts, (spec) => {
    const nodeMemoryBytes = args.nodeMemory === undefined ? undefined : parseSize(args.nodeMemory);
    const options: DockerPlatformOptions = {
      image: image ?? officialImage(spec.engine),
      subnet: subnet ?? "",
      ...(publish ? { publish } : {}),
      reachesPublished: through === "published",
      openFiles,
      ...(nodeMemoryBytes === undefined ? {} : { nodeMemoryBytes }),
      dockerHost: dockerHost ?? "",
      project: pulumi.getProject(),
      stack: pulumi.getStack(),
    };
    return dockerPlatform(options, spec);
  });
}

function readImage(problems: Problems, value: unknown): string | undefined {
  const image = readText(problems, "image", value);
  if (image === undefined) return undefined;
  const problem = imageProblem(image);
  if (problem) problems.error("image", `${show(image)} ${problem}`);
  return image;
}

function readSubnet(problems: Problems, value: unknown): string | undefined {
  const subnet = readText(problems, "subnet", value);
  const problem = subnet === undefined ? undefined : subnetProblem(subnet);
  if (problem) problems.error("subnet", `${show(subnet)} ${problem}`);
  return subnet;
}

function readPublish(problems: Problems, value: unknown): DockerPlatformOptions["publish"] {
  if (value === undefined) return undefined;
  const given = readObject(problems, "publish", value);
  refuseUnknownKeys(problems, "publish.", given, ["address", "firstPort"]);
  const address = readText(problems, "publish.address", given["address"]) ?? DOCKER_DEFAULTS.publish.address;
  if (net.isIP(address) === 0)
    problems.error(
      "publish.address",
      `${show(address)} is no IP address; use one of the daemon's host, such as "127.0.0.1"`,
    );
  const firstPort = readInteger(problems, "publish.firstPort", given["firstPort"], DOCKER_DEFAULTS.publish.firstPort, {
    least: 1,
    most: 65_000,
    use: "use 1024 or more",
  });
  return { address, firstPort };
}

function readDockerHost(problems: Problems, value: unknown): string | undefined {
  const host = readText(problems, "dockerHost", value);
  if (host !== undefined && !/^(unix:\/\/\/.|(tcp|http|https|ssh):\/\/[^/])/.test(host))
    problems.error(
      "dockerHost",
      `${show(host)} is no Docker daemon; use "unix:///var/run/docker.sock", "tcp://<host>:<port>" or "ssh://<user>@<host>"`,
    );
  return host;
}

/** What a server opens beside its clients' connections. */
const OWN_FILES = 32;

function checkOpenFiles(problems: Problems, openFiles: number, redisConfig: unknown): void {
  const { maxclients } = readObject(new Problems(), "redisConfig", redisConfig);
  const clients = Number(maxclients ?? 0);
  if (clients + OWN_FILES > openFiles)
    problems.error(
      "openFiles",
      `${openFiles} is too few for maxclients ${clients} (the server needs ${OWN_FILES} more for itself); use ${clients + OWN_FILES} or more, or a lower maxclients`,
    );
}

/** The image decides which engine runs; a declared one says which one it has to be. */
function judgeEngine(
  { name, version }: DeclaredEngine,
  image: string | undefined,
  told: Engine | undefined,
): Problem[] {
  const problem = (message: string): Problem[] => [{ severity: "error", property: "engine", message }];
  if (image === undefined || imageProblem(image)) return [];
  if (!told) {
    if (name !== undefined && version !== undefined) return [];
    return problem(
      `missing, and the name of ${show(image)} does not tell which server is in it; give name and version, as in { name: "valkey", version: "9.1" }`,
    );
  }
  const fits =
    (name ?? told.name) === told.name &&
    (version === undefined ||
      `${told.version}.`.startsWith(`${version}.`) ||
      `${version}.`.startsWith(`${told.version}.`));
  if (fits) return [];
  const declared = [name ?? told.name, version].filter((word) => word !== undefined).join(" ");
  return problem(
    `${declared} is declared, but ${show(image)} has ${told.name} ${told.version} by its name; leave \`engine\` out, or use another image`,
  );
}
