import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { ClusterCredentials } from "../../../components/cluster/inventory";
import { parseAclLine, type ReportedUser } from "../../../components/config/aclList";
import { allowedBy } from "../../../components/config/commandRules";
import { commandTable } from "../../../components/config/commands";
import { ask } from "../../support/clients";
import type { Project } from "../../support/project";

export const APP = {
  keys: ["c*", "{c*"],
  channels: ["events:*"],
  commands: ["+@read", "+@write", "+@transaction", "+wait"],
};

export async function credentialsOf(project: Project): Promise<Required<ClusterCredentials>> {
  return (await project.credentials()) as Required<ClusterCredentials>;
}

/** Users as every node reports them, each with all it may do; the nodes have to agree. */
export async function usersOnNodes(project: Project): Promise<Map<string, ReportedUser>> {
  const { admin } = await credentialsOf(project);
  const { engine } = await project.inventory();
  const table = commandTable(engine);
  const lists = await Promise.all(
    (await project.nodes()).map(async (node) => {
      const lines = (await ask(node, admin, "ACL", "LIST")) as string[];
      const users = lines
        .flatMap((line) => parseAclLine(line) ?? [])
        .map((user) => ({ ...user, commands: [...allowedBy(user.commands, table)].sort() }));
      return new Map(users.map((user) => [user.name, user] as const));
    }),
  );
  const [first = new Map<string, ReportedUser>(), ...others] = lists;
  for (const other of others) expect(other).toEqual(first);
  return first;
}

export function fileOf(project: Project, node: string, file: string): string {
  return join(project.directory, ".local/data/test/sessions", node, file);
}

export function readOf(project: Project, node: string, file: string): string {
  return readFileSync(fileOf(project, node, file), "utf8");
}
