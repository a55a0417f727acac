import { parseAclLine } from "../../config/aclList";
import { quoteWord } from "../../config/redisConf";
import { renderUsersAcl } from "../../config/usersAcl";
import { sha256 } from "../../formation/observe";
import type { NodeLogin } from "../platform";
import { NODE_FILES, type NodeFolder } from "./folder";

/**
 * The file of users that a server starts with. The first start gets what is declared; from then on users are
 * formation's, which changes them on the running server: a restart keeps whatever holds, also where the node was
 * open until now, or had its users in redis.conf. Formation comes after all restarts.
 *
 * @returns text of users.acl, and lines for the end of redis.conf
 */
export function usersToStartWith(before: NodeFolder, login: NodeLogin): { users: string; lines: string } {
  const former = before.read(NODE_FILES.config).split("\n");
  const had = usersBefore(before, former);
  const kept = had !== undefined && isOurs(had, login);
  const { username, password } = login.replication;
  const replication = kept
    ? former.filter((line) => /^\s*(master|primary)(user|auth)\s/.test(line))
    : [`masteruser ${quoteWord(username)}`, `masterauth ${quoteWord(password)}`];
  return {
    users: kept ? had : login.usersAcl,
    lines: [`aclfile ${NODE_FILES.users}`, ...replication].map((line) => `${line}\n`).join(""),
  };
}

/** Users as the last server on this folder would have come back with; undefined where there was none. */
function usersBefore(before: NodeFolder, config: readonly string[]): string | undefined {
  if (config.some((line) => /^\s*aclfile\s/.test(line))) return before.read(NODE_FILES.users) || undefined;
  if (config.every((line) => line.trim() === "")) return undefined;
  const lines = config.filter((line) => /^\s*user\s/.test(line)).map((line) => line.trim());
  return lines.length > 0 ? `${lines.join("\n")}\n` : renderUsersAcl([], true);
}

/** Can anybody log in who knows what is known here? Data that were kept from a former life have users of that one. */
function isOurs(users: string, { access }: NodeLogin): boolean {
  const { otherwise = [], ...first } = access;
  const known = new Set(
    [first, ...otherwise].flatMap(({ password }) => (password === undefined ? [] : [sha256(password)])),
  );
  return users.split("\n").some((line) => {
    const user = parseAclLine(line);
    if (user?.name === "default" && user.enabled && user.nopass) return true;
    return user?.name === access.username && user?.passwordHashes.some((hash) => known.has(hash));
  });
}
