import type { EngineName } from "../engine/workspace";
import type { Project } from "../support/project";
import type { ServerProgram, TestServerName } from "../support/servers";

/** One platform, for the contract that all of them keep: what a test has to know of it, and nothing else. */
export interface PlatformUnderTest {
  /** As in the inventory. */
  readonly name: string;
  /** Type of the resource that is a node's server, as runs print it: `DockerNode`. */
  readonly nodeType: string;
  /** Why it cannot be had here; undefined where it can. In CI it always can. */
  readonly missing: string | undefined;
  /** Plugins that the Pulumi CLI needs for it, as `docker`. */
  readonly plugins: readonly string[];
  /** Arguments that have nodes run this server. */
  argsFor(server: TestServerName): Readonly<Record<string, unknown>>;
  /** A user's project with one cluster, not yet up. */
  create(args: object, engine: EngineName): Promise<ClusterUnderTest>;
}

/** A cluster of a project, and what can happen to its machines without Pulumi. */
export interface ClusterUnderTest {
  readonly project: Project;
  /** What carries each node now, by its name: another text once its server was started again or its machine replaced. */
  machines(): Promise<Map<string, string>>;
  /** The servers of these nodes end at once, and nobody says so. */
  kill(nodes: readonly string[]): Promise<void>;
  /** The server stands still. Absent: the platform cannot tell that from one that works. */
  pause?(node: string): Promise<void>;
  /** The machine is gone, its data are not. Absent: a machine is no more than the server that runs. */
  remove?(node: string): Promise<void>;
  /** The machine is gone with its data. */
  lose(node: string): Promise<void>;
  /** The host of all machines fails, and comes back with whatever starts by itself. Absent: nothing does. */
  reboot?(): Promise<void>;
  /** What is there of the cluster: machines, running or not; data; and whatever else was made. */
  left(): Promise<{ readonly machines: number; readonly data: number; readonly other: number }>;
  /** How each machine is, and what its server wrote last: for people who read of a failure. */
  told(): Promise<string>;
  /** What anybody may see who may look at its machines, by where it is seen. */
  visible(): Promise<Map<string, string>>;
  /** Everything goes, whatever became of it. */
  dispose(): Promise<void>;
}

/** The servers of the tests, where a platform is not missing. */
export function have<T>(servers: T | undefined): T {
  if (servers === undefined) throw new Error("there are no servers here");
  return servers;
}

export type Servers = Readonly<Record<TestServerName, ServerProgram>>;
