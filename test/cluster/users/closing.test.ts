import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { reportLine } from "../../load/load";
import { ask } from "../../support/clients";
import { LoadedProject } from "../changes/support";
import { APP, credentialsOf, fileOf, usersOnNodes } from "./support";

describe("an open cluster is closed while it serves", () => {
  test.skipIf(!process.env.FULL)(
    "users beside the open one, clients move, then it closes; it rolls and scales after that",
    {
      timeout: 1_200_000,
    },
    async (context) => {
      const loaded = await LoadedProject.start(context, "valkey-9.1");
      const { project, load } = loaded;
      const pids = await project.pids();

      await loaded.change("users beside the open one", { users: { app: APP }, openDefaultUser: true });
      const { username, password, admin } = await credentialsOf(project);
      const nodes = await project.nodes();
      for (const node of nodes) {
        expect(await ask(node, {}, "PING")).toBe("PONG");
        expect(await ask(node, { username, password }, "PING")).toBe("PONG");
      }
      await load.changeLogin({ username, password });

      loaded.declare({ openDefaultUser: false });
      const preview = await project.engine.preview();
      expect(preview.stdout).toContain(
        "all 6 nodes: close the default user, so that nobody comes in without a password; its sessions end",
      );
      await loaded.change("closed", { openDefaultUser: false });
      for (const node of nodes) await expect(ask(node, {}, "PING")).rejects.toThrow("NOAUTH");
      expect(await project.pids()).toEqual(pids);
      expect((await project.mustUp()).stdout).toMatch(/22 unchanged/);

      // Links of replicas were made when the cluster was open: one that breaks now comes back with a login.
      for (const node of nodes) await ask(node, admin, "CLIENT", "KILL", "TYPE", "replica");
      await loaded.change("links made anew", {});
      const users = await usersOnNodes(project);

      // Without a file of users so far: users are in redis.conf, and come back from there.
      expect(nodes.filter(({ name }) => existsSync(fileOf(project, name, "users.acl")))).toEqual([]);
      const replica = nodes.find(({ role }) => role === "replica")?.name ?? "";
      const pid = (await project.pids()).get(replica) ?? expect.fail("no replica");
      process.kill(pid, "SIGKILL");
      await loaded.change("a server killed", {});
      expect(await usersOnNodes(project)).toEqual(users);

      // A roll moves them to a file of their own.
      await loaded.change("rolled", { redisConfig: { "tcp-backlog": "129" } });
      for (const { name } of nodes)
        expect([name, existsSync(fileOf(project, name, "users.acl"))]).toEqual([name, true]);
      expect(await usersOnNodes(project)).toEqual(users);
      await loaded.change("3 → 4 masters", { masters: 4 });
      expect(await usersOnNodes(project)).toEqual(users);
      await loaded.change("4 → 3 masters", { masters: 3 });
      console.log(reportLine("closed", await loaded.expectUnharmed()));
    },
  );
});
