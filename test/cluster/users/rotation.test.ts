import { Redis } from "ioredis";
import { describe, expect } from "vitest";
import { reportLine } from "../../load/load";
import { ask } from "../../support/clients";
import { onlyInFull } from "../../support/full";
import { Project } from "../../support/project";
import { testServers } from "../../support/servers";
import { LoadedProject } from "../changes/support";
import { APP, credentialsOf, usersOnNodes } from "./support";

const loginOf = async (project: Project) => {
  const { username, password } = await credentialsOf(project);
  return { username, password };
};

describe("rotation of passwords", () => {
  onlyInFull(
    "under load: two are valid in between, then one; no client is told of an error",
    {
      timeout: 1_800_000,
    },
    async (context) => {
      const args = { users: { app: APP }, passwordOverlapSeconds: 0, passwordRotation: "1" };
      const loaded = await LoadedProject.start(context, "valkey-9.1", args);
      const { project, load } = loaded;
      const [pids, before] = [await project.pids(), await credentialsOf(project)];
      const nodes = await project.nodes();

      loaded.declare({ passwordRotation: "2" });
      const preview = await project.engine.preview();
      expect(preview.stdout).toContain(
        "change: new passwords beside the former ones: admin, app, monitor, replication",
      );
      expect(preview.stdout).toContain("all 6 nodes: log in at masters as replication with its present password");
      expect(
        preview.operations.filter((o) => /^pre (?!same|refresh)/.test(o) && /LocalNode|LocalVolume/.test(o)),
      ).toEqual([]);

      // Somebody who came before, and stays.
      const { address: host = "", port = 0 } = nodes[0] ?? {};
      const password = before.users["app"]?.password ?? "";
      const former = new Redis({
        host,
        port,
        username: "app",
        password,
        disableClientInfo: true,
        retryStrategy: () => null,
      });
      context.onTestFinished(() => former.disconnect());
      expect(await former.ping()).toBe("PONG");

      await loaded.change("new passwords beside the former ones", { passwordRotation: "2" });
      const after = await credentialsOf(project);
      for (const user of ["admin", "app", "monitor"]) {
        expect(after.users[user]?.password).not.toBe(before.users[user]?.password);
        for (const { users } of [before, after])
          for (const node of nodes) await ask(node, { username: user, password: users[user]?.password ?? "" }, "PING");
      }

      // As applications do when they are told of the new one.
      await load.changeLogin(await loginOf(project));
      const ended = await loaded.change("the former ones end", {});
      expect(ended).toContain(
        "former passwords end, with the sessions from before the present ones: admin, app, monitor, replication",
      );
      expect(former.status).toBe("end");
      for (const node of nodes) {
        await expect(ask(node, { username: "app", password }, "PING")).rejects.toThrow("WRONGPASS");
        const clients = String(await ask(node, after.admin, "CLIENT", "LIST"));
        expect(clients).not.toContain("user=default");
      }
      expect((await usersOnNodes(project)).get("replication")?.passwordHashes).toHaveLength(1);
      expect((await project.mustUp()).stdout).toMatch(/22 unchanged/);
      expect(await project.pids()).toEqual(pids);

      // A link that breaks now comes back, so the new password is what it logs in with.
      for (const node of nodes) await ask(node, after.admin, "CLIENT", "KILL", "TYPE", "replica");
      await loaded.change("links made anew", {});
      console.log(reportLine("rotation", await loaded.expectUnharmed()));
    },
  );

  onlyInFull(
    "killed once the new ones are written down, and rotated again: the next up finds its way in",
    {
      timeout: 1_800_000,
    },
    async ({ skip, onTestFinished }) => {
      const servers = (await testServers()) ?? skip("no servers here");
      const args = { users: { app: APP }, passwordOverlapSeconds: 0 };
      const project = await Project.create({ ...args, passwordRotation: "1" }, servers["redis-7.0"]);
      onTestFinished(() => project.dispose());
      await project.mustUp();
      const first = await credentialsOf(project);
      for (const rotation of ["2", "3"]) {
        project.declare({ ...args, passwordRotation: rotation });
        const run = await project.start();
        await run.until(/ClusterPasswords sessions updated/);
        run.kill("both");
        await run.result;
        await project.workersGone();
        await project.engine.command(["cancel", "--stack", "test", "--yes"]);
      }
      const [node] = await project.nodes();
      if (!node) throw new Error("no node");
      await ask(node, first.admin, "PING");
      await project.mustUp();
      const last = await credentialsOf(project);
      // Whoever has the password of before keeps it until the next run: the two that never held were nobody's.
      for (const { admin } of [first, last]) await ask(node, admin, "PING");
      await project.mustUp();
      await expect(ask(node, first.admin, "PING")).rejects.toThrow("WRONGPASS");
      expect((await usersOnNodes(project)).get("app")?.passwordHashes).toHaveLength(1);
      expect((await project.mustUp()).stdout).toMatch(/22 unchanged/);
    },
  );
});
