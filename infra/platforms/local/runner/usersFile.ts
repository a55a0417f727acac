import * as fs from "node:fs";
import * as path from "node:path";
import type { NodeLogin } from "../../../../components/cluster/platform";
import { parseAclLine } from "../../../../components/config/aclList";
import { quoteWord } from "../../../../components/config/redisConf";
import { renderUsersAcl } from "../../../../components/config/usersAcl";
import { sha256 } from "../../../../components/formation/observe";
import { FILES, writeAtomic } from "./folder";

/**
 * Makes sure that there is a file of users before a server starts. The first start gets what is declared; from then on users are
 * formation's, which changes them on the running server: a restart keeps whatever holds, also where the node was
 * open until now, or had its users in redis.conf. Formation comes after all restarts.
 *
 * @returns lines for the end of redis.conf
 */
export function writeUsers(folder: string, login: NodeLogin): string {
  const former = readText(path.join(folder, FILES.config)).split("\n");
  const before = usersBefore(folder, former);
  const kept = before !== undefined && isOurs(before, login);
  const users = kept ? before : login.usersAcl;
  const { username, password } = login.replication;
  const replication = kept
    ? former.filter((line) => /^\s*(master|primary)(user|auth)\s/.test(line))
    : [`masteruser ${quoteWord(username)}`, `masterauth ${quoteWord(password)}`];
  writeAtomic(path.join(folder, FILES.users), users);
  return [`aclfile ${FILES.users}`, ...replication].map((line) => `${line}\n`).join("");
}

/** Users as the last server on this folder would have come back with; undefined where there was none. */
function usersBefore(folder: string, config: readonly string[]): string | undefined {
  if (config.some((line) => /^\s*aclfile\s/.test(line))) return readText(path.join(folder, FILES.users)) || undefined;
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

function readText(file: string): string {
  try {
    return fs.readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
