import { ownEntry } from "../security/ownEntry";
import type { AnsweringNode } from "./observation";
import type { EndedPasswords } from "./users";
import type { Connections } from "./wire";

/** Ages are whole seconds. */
const ROUNDING_SECONDS = 1;

/**
 * Ends sessions of users from before their present password held on every node: they came with one that is not valid any more. Of
 * later ones no server can tell with which password they came, and ending those would disturb clients that have moved.
 * @returns false where a node did not answer
 */
export async function endFormerSessions(
  ended: Readonly<Record<string, EndedPasswords>>,
  nodes: readonly AnsweringNode[],
  connections: Connections,
): Promise<boolean> {
  if (Object.keys(ended).length === 0) return true;
  const done = await Promise.all(
    nodes.map(async ({ endpoint }) => {
      // Links of replicas are not among these types: they would all break at once.
      const lists = await connections.send(endpoint, [
        ["CLIENT", "LIST", "TYPE", "NORMAL"],
        ["CLIENT", "LIST", "TYPE", "PUBSUB"],
      ]);
      const now = Date.now();
      const sessions = lists.flatMap((list) => (list.ok ? parseSessions(String(list.value)) : []));
      const former = sessions.filter(({ user, ageSeconds }) => {
        const since = ownEntry(ended, user)?.since;
        return since !== undefined && ageSeconds > (now - since) / 1000 + ROUNDING_SECONDS;
      });
      await connections.send(
        endpoint,
        // One that has ended by itself meanwhile is answered with an error, which is as good.
        former.map(({ id }) => ["CLIENT", "KILL", "ID", id]),
      );
      return lists.every((list) => list.ok);
    }),
  );
  return done.every(Boolean);
}

function parseSessions(list: string): { id: string; user: string; ageSeconds: number }[] {
  return list.split("\n").flatMap((line) => {
    const field = (name: string) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(line)?.[1] ?? "";
    return line.trim() === "" ? [] : [{ id: field("id"), user: field("user"), ageSeconds: Number(field("age")) }];
  });
}
