import { setTimeout } from "node:timers/promises";
import type { NodeEndpoint } from "../config/types";
import type { Answer, Command, Connections } from "./wire";

const POLL_MILLISECONDS = 25;
/** A job that shows no change and no acknowledgement for this long is cancelled. */
const STUCK_MILLISECONDS = 60_000;
const ENDED = /^(success|failed|cancelled)$/;

/** One entry of CLUSTER GETSLOTMIGRATIONS (Valkey 9), which lists the newest first. */
export interface Job {
  readonly name: string;
  readonly operation: string;
  /** ID of the node that is to get the slots. */
  readonly target: string;
  readonly state: string;
  readonly message: string;
  /** Everything, as text: a change of it is progress. */
  readonly text: string;
}

export const JOBS: Command = ["CLUSTER", "GETSLOTMIGRATIONS"];

/** Jobs that hand slots of this node to others, the newest first. Servers that know no such jobs have none. */
export function exportsIn(answer: Answer | undefined): Job[] {
  if (!answer?.ok || !Array.isArray(answer.value)) return [];
  const jobs = answer.value.map((entry): Job => {
    const flat = (
      entry instanceof Map ? [...entry].flat() : Array.isArray(entry) ? entry : Object.entries(entry).flat()
    ).map(String);
    const field = (name: string) => flat[flat.indexOf(name) + 1] ?? "";
    return {
      name: field("name"),
      operation: field("operation"),
      target: field("target_node"),
      state: field("state"),
      message: field("message"),
      text: flat.join(" "),
    };
  });
  return jobs.filter((job) => job.operation === "EXPORT");
}

export const isUnderWay = (job: Job) => !ENDED.test(job.state);

/** Until it is final, a job can always be taken back: its source owns everything, as if it had never begun. */
export async function cancelJobs(endpoint: NodeEndpoint, connections: Connections): Promise<void> {
  await connections.send(endpoint, [["CLUSTER", "CANCELSLOTMIGRATIONS"]]);
}

export type JobsEnd =
  | { readonly end: "settled"; readonly jobs: readonly Job[]; readonly waited: boolean }
  /** They were cancelled, because `stop` said so or they were stuck. */
  | { readonly end: "cancelled"; readonly reason: string }
  | { readonly end: "silent"; readonly reason: string };

/**
 * Waits until a node hands slots to nobody.
 * @param stop asked at every look: why not to wait any longer
 * @returns its jobs as they ended, the newest first
 */
export async function jobsSettled(
  endpoint: NodeEndpoint,
  connections: Connections,
  stop: () => string | undefined,
): Promise<JobsEnd> {
  let seen = "";
  let changed = Date.now();
  for (;;) {
    const [answer] = await connections.send(endpoint, [JOBS]);
    if (!answer?.ok && answer?.error.name !== "ReplyError")
      return { end: "silent", reason: answer?.error.message ?? "no answer" };
    const jobs = exportsIn(answer);
    if (!jobs.some(isUnderWay)) return { end: "settled", jobs, waited: seen !== "" };
    const now = jobs.map((job) => job.text).join("\n");
    if (now !== seen) changed = Date.now();
    seen = now;
    const stuck =
      Date.now() - changed > STUCK_MILLISECONDS
        ? `its migration of slots (${jobs.find(isUnderWay)?.state}) has not moved for ${STUCK_MILLISECONDS / 1000} s`
        : undefined;
    const reason = stop() ?? stuck;
    if (reason !== undefined) {
      await cancelJobs(endpoint, connections);
      return { end: "cancelled", reason };
    }
    await setTimeout(POLL_MILLISECONDS);
  }
}

/**
 * A run that was killed leaves its jobs to the servers, which go on without it. What is planned beside one may be wrong when
 * it ends: a node that is reset because it is empty would take the slots with it that it gets a moment later. So a run
 * begins when there is none.
 * @returns whether there was any; then the cluster has to be looked at again
 */
export async function leftoversSettled(
  nodes: readonly { readonly name: string; readonly endpoint: NodeEndpoint }[],
  connections: Connections,
  stop: () => string | undefined,
  say: (line: string) => void,
): Promise<boolean> {
  const waited = await Promise.all(
    nodes.map(async ({ name, endpoint }) => {
      const [answer] = await connections.send(endpoint, [JOBS]);
      if (!exportsIn(answer).some(isUnderWay)) return false;
      say(`${name} hands slots over, as an earlier run or somebody else asked it to: waiting for the end`);
      const ended = await jobsSettled(endpoint, connections, stop);
      if (ended.end === "cancelled") say(`${name}: ${ended.reason}; what it was handing over stays with it`);
      return true;
    }),
  );
  return waited.includes(true);
}
