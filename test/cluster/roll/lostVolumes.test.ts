import { describe, expect } from "vitest";
import { onlyInFull } from "../../support/full";
import { testServers } from "../../support/servers";
import { missingKeys, projectWithKeys } from "./support";

const servers = await testServers();

describe.skipIf(!servers)("a roll on which machines come back without their data", () => {
  onlyInFull(
    "each takes its shard's data over before the next one goes: another data folder loses no key",
    async (context) => {
      if (!servers) throw new Error("no server");
      const project = await projectWithKeys({}, servers["redis-7.0"]);
      context.onTestFinished(() => project.dispose());
      project.declare({ directory: ".local/other" });
      const result = await project.mustUp();
      expect(result.stdout).toMatch(/came back without its data/);
      expect(await missingKeys(project)).toBe(0);
      const again = await project.mustUp();
      expect(again.stdout).toContain(project.unchanged());
    },
  );
});
