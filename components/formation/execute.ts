import { setTimeout } from "node:timers/promises";
import type { NodeEndpoint } from "../config/types";
import { aclWords } from "../config/usersAcl";
import { untilHeard } from "./heard";
import { type MigrationContext, type Moved, migrateSlots } from "./migrate";
import { reasonOf } from "./observe";
import { expandSlots } from "./slots";
import { describeStep, type Step } from "./steps";
import type { Command, Connections } from "./wire";

/** What a batch came to. `again` lists steps that the cluster was not ready for; the next observation decides anew. */
export interface Outcome {
  readonly again: readonly { readonly step: Step; readonly reason: string }[];
  readonly moved: Moved;
}

/** What steps need beyond themselves. */
export interface ExecutionContext {
  readonly endpoints: Readonly<Record<string, NodeEndpoint>>;
  /** Names of all masters: told of new owners of slots right away. */
  readonly masters: readonly string[];
  /** What moves of slots need to know, and nothing else. */
  readonly migration?: Pick<
    MigrationContext,
    "servers" | "nodeTimeoutMilliseconds" | "way" | "rate" | "timeIsUp" | "say"
  >;
  readonly stopReason: () => string | undefined;
  /** Is told what people should know. */
  readonly say?: (line: string) => void;
  /** All of the cluster goes: no server starts any more, and those that are gone already are not to be waited for. */
  readonly ends?: boolean;
}

/** How long one round of moves may take before the cluster is looked at again. */
const ROUND_MILLISECONDS = 2_000;

/** A step that a server refused for a reason that looking again does not mend. */
export class StepRefused extends Error {
  constructor(step: Step, answer: string) {
    // Servers repeat the word that they do not take.
    super(`${step.node} refused to ${describeStep(step)}: ${answer.replace(/#[0-9a-f]{64}/g, "#…")}`);
    this.name = "StepRefused";
  }
}

/**
 * Answers that say "not now" or "done already", by step. Whatever is not listed here stops the run.
 * Source: cluster.c and cluster_legacy.c of Redis 7.0 to 8 and Valkey 8 to 9.
 */
export const LOOK_AGAIN: Partial<Record<Step["do"], RegExp>> = {
  setConfigEpoch: /doesn't know any other node|already|non.zero|only when/i,
  addSlotsRange: /already busy/i,
  releaseSlots: /already unassigned/i,
  replicate: /Unknown node|only replicate a master/i,
  forget: /Unknown node|Can't forget my master/i,
  // It holds until the next restart, and looking again shows that; whoever provides such a node was told before.
  setConfig: /server is running without a config file/i,
  // Done already: nobody is logged in, or another run was first.
  setUser: /No such user/i,
  failover: /send CLUSTER FAILOVER to a replica|Master is down or failed/i,
};

/** Runs one batch: all nodes at once, each node's steps in order; meetings when all else is done everywhere, moves last. */
export async function execute(
  steps: readonly Step[],
  context: ExecutionContext,
  connections: Connections,
): Promise<Outcome> {
  // Nodes that begin to meet keep the machine busy, and those that have no slots yet would get them late.
  const meetings = steps.filter((s) => s.do === "meet");
  const others = steps.filter((s) => s.do !== "meet" && s.do !== "migrateSlots");
  const again = [...(await sendAll(others, context, connections)), ...(await sendAll(meetings, context, connections))];
  return { again, moved: await moveAll(steps, context, connections) };
}

async function sendAll(
  steps: readonly Step[],
  context: ExecutionContext,
  connections: Connections,
): Promise<Outcome["again"]> {
  const { endpoints, ends } = context;
  // Where its master is gone, each moment counts.
  const orderly = ends ? [] : steps.filter((s) => s.do === "failover" && !s.without);
  await Promise.all(
    orderly.flatMap(({ node }) => (endpoints[node] ? [untilHeard(endpoints[node], connections, context)] : [])),
  );
  // The run was told to stop meanwhile: what was not sent is planned again by the next one.
  if (orderly.length > 0 && context.stopReason() !== undefined) return [];
  const byNode = new Map<string, Step[]>();
  for (const step of steps) byNode.set(step.node, [...(byNode.get(step.node) ?? []), step]);
  const again: { step: Step; reason: string }[] = [];
  const refused: StepRefused[] = [];
  await Promise.all(
    [...byNode].map(async ([node, own]) => {
      const endpoint = endpoints[node];
      if (!endpoint) throw new Error(`no endpoint is known for node ${node}`);
      const commands = own.map(commandsOf);
      const answers = await connections.send(endpoint, commands.flat());
      // A node shows what it has loaded to those who come anew.
      if (own.some((step) => step.do === "loadCertificate")) connections.renew(endpoint);
      let at = 0;
      own.forEach((step, i) => {
        const mine = answers.slice(at, at + (commands[i]?.length ?? 0));
        at += mine.length;
        const failure = mine.find((a) => !a.ok);
        if (!failure || failure.ok) return;
        const { error } = failure;
        // Answers of a server begin with a code in capitals; anything else is the connection, which the next observation reports.
        const answered = error.name === "ReplyError";
        if (!answered || LOOK_AGAIN[step.do]?.test(error.message)) again.push({ step, reason: reasonOf(error) });
        else refused.push(new StepRefused(step, error.message));
      });
    }),
  );
  await Promise.all(
    steps.filter((s) => s.do === "failover").map((s) => leadershipTaken(s.node, endpoints, connections)),
  );
  if (refused.length === 1 && refused[0]) throw refused[0];
  if (refused.length > 1) throw new AggregateError(refused, refused.map((e) => e.message).join("; "));
  return again;
}

/** Moves of one batch, side by side, for as long as a round may take. */
async function moveAll(steps: readonly Step[], context: ExecutionContext, connections: Connections): Promise<Moved> {
  const { masters, endpoints, stopReason, migration } = context;
  const moves = steps.filter((s) => s.do === "migrateSlots");
  const ends = { at: Date.now() + ROUND_MILLISECONDS };
  const results = await Promise.allSettled(
    moves.map(async (step) => {
      const others = masters.filter((m) => m !== step.node && m !== step.to);
      const otherMasters = others.flatMap((m) => endpoints[m] ?? []);
      try {
        if (!migration) throw new Error("nothing is known of the servers that slots are to move between");
        const mayGoOn = () => Date.now() < ends.at;
        return await migrateSlots(step, { ...migration, endpoints, connections, otherMasters, stopReason, mayGoOn });
      } catch (error) {
        // The other pairs close what they have open, and no more.
        ends.at = 0;
        throw error;
      }
    }),
  );
  const failed = results.find((r) => r.status === "rejected");
  if (failed) throw failed.reason;
  const done = results.flatMap((r) => (r.status === "fulfilled" ? [r.value] : []));
  const trouble = done.flatMap((r) => r.trouble ?? [])[0];
  return {
    slots: done.reduce((sum, r) => sum + r.slots, 0),
    keys: done.reduce((sum, r) => sum + r.keys, 0),
    bytes: done.reduce((sum, r) => sum + r.bytes, 0),
    ...(trouble === undefined ? {} : { trouble }),
  };
}

const FAILOVER_MILLISECONDS = 6_000;

/** A graceful failover answers OK before it happens; asking for a second one would start it over. Redis gives up after 5 s. */
async function leadershipTaken(
  node: string,
  endpoints: Readonly<Record<string, NodeEndpoint>>,
  connections: Connections,
): Promise<void> {
  const endpoint = endpoints[node];
  const until = Date.now() + FAILOVER_MILLISECONDS;
  while (endpoint && Date.now() < until) {
    const [role] = await connections.send(endpoint, [["ROLE"]]);
    if (role?.ok && Array.isArray(role.value) && role.value[0] === "master") return;
    await setTimeout(10);
  }
}

function commandsOf(step: Step): Command[] {
  switch (step.do) {
    case "setTemporary":
      return [["CONFIG", "SET", ...Object.entries(step.settings).flat()]];
    case "setConfig":
      return [
        ["CONFIG", "SET", ...Object.entries(step.settings).flat()],
        ...(step.persist ? [["CONFIG", "REWRITE"] as const] : []),
      ];
    case "setConfigEpoch":
      return [["CLUSTER", "SET-CONFIG-EPOCH", step.epoch]];
    case "bumpEpoch":
      return [["CLUSTER", "BUMPEPOCH"]];
    case "addSlotsRange":
      return [["CLUSTER", "ADDSLOTSRANGE", ...step.slots.flatMap(({ start, end }) => [start, end])]];
    case "releaseSlots":
      return [["CLUSTER", "DELSLOTSRANGE", ...step.slots.flatMap(({ start, end }) => [start, end])]];
    case "meet":
      return [["CLUSTER", "MEET", step.address, step.port, step.busPort]];
    case "replicate":
      return [["CLUSTER", "REPLICATE", step.masterId]];
    case "failover":
      if (!step.without) return [["CLUSTER", "FAILOVER"]];
      return [["CLUSTER", "FAILOVER", step.without === "elected" ? "FORCE" : "TAKEOVER"]];
    case "stabilizeSlots":
      return expandSlots(step.slots).map((slot) => ["CLUSTER", "SETSLOT", slot, "STABLE"]);
    case "nameOwner":
      return expandSlots(step.slots).map((slot) => ["CLUSTER", "SETSLOT", slot, "NODE", step.ownerId]);
    case "reset":
      return [["CLUSTER", "RESET", "HARD"]];
    case "forget":
      return [["CLUSTER", "FORGET", step.id]];
    case "setUser":
      return [
        // One command: no client sees a user in between.
        ["ACL", "SETUSER", step.user.name, "reset", ...aclWords(step.user)],
        ...(step.endSessions === "all" ? endSessions(step.user.name) : []),
      ];
    case "deleteUser":
      return [["ACL", "DELUSER", step.user]];
    case "setReplicationLogin":
      return [["CONFIG", "SET", "masteruser", step.username, "masterauth", step.password]];
    case "saveUsers":
      return [...(step.aclFile ? [["ACL", "SAVE"] as const] : []), ["CONFIG", "REWRITE"]];
    case "trustAuthorities":
      return [
        ["CONFIG", "SET", "tls-ca-cert-file", step.path],
        ["CONFIG", "REWRITE"],
      ];
    case "loadCertificate":
      return [
        ["CONFIG", "SET", "tls-cert-file", step.certificatePath, "tls-key-file", step.keyPath],
        ["CONFIG", "REWRITE"],
      ];
    case "migrateSlots":
      throw new Error("slots are moved by migrateSlots");
  }
}

/**
 * In the same breath as the end of a password, since nobody could tell later which sessions are left. Not the links of replicas:
 * they would all break at once, and a new password holds for them at the next connection.
 */
function endSessions(user: string): Command[] {
  return ["NORMAL", "PUBSUB"].map((type) => ["CLIENT", "KILL", "USER", user, "TYPE", type, "SKIPME", "YES"]);
}
