import type { ClusterCredentials, ClusterInventory } from "../../components/cluster/inventory";
import type { RunResult } from "../engine/workspace";
import type { TestServerName } from "../support/servers";

/** One platform, for the contract that all of them keep: what a test has to know of it, and nothing else. */
export interface PlatformUnderTest {
  /** As in the inventory. */
  readonly name: string;
  /** Why it cannot be had here; undefined where it can. In CI it always can. */
  readonly missing: string | undefined;
  /** Arguments that have nodes run this server. */
  argsFor(server: TestServerName): object;
  /** A user's project with one cluster, not yet up. */
  create(args: object): Promise<ClusterUnderTest>;
}

export interface ClusterUnderTest {
  /** Writes the declaration that the next run finds. */
  declare(args: object): void;
  up(): Promise<RunResult>;
  preview(): Promise<RunResult>;
  destroy(): Promise<RunResult>;
  outputs(): Promise<{ readonly inventory: ClusterInventory; readonly credentials: ClusterCredentials }>;
  /** What carries each node now, by its name: another one after it was replaced, as a process ID. */
  machines(): Promise<Map<string, string>>;
  /** The server ends at once, and nobody says so. */
  kill(node: string): Promise<void>;
  /** The server stands still. Absent: the platform cannot tell that from one that works. */
  pause?(node: string): Promise<void>;
  /** The machine is gone, its data are not. Absent: they are one thing. */
  remove?(node: string): Promise<void>;
  /** The machine is gone with its data. */
  lose(node: string): Promise<void>;
  /** What is left of the cluster: machines, data, and whatever else was made. */
  left(): Promise<{ readonly machines: number; readonly data: number; readonly other: number }>;
  /** Everything goes, whatever became of it. */
  dispose(): Promise<void>;
}
