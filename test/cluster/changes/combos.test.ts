import { describe, expect, test } from "vitest";
import { reportLine } from "../../load/load";
import { loginOf } from "../../support/clients";
import type { TestServerName } from "../../support/servers";
import { LoadedProject } from "./support";

const TLS = { overlapSeconds: 0 };
const ARGS = {
  users: { app: { keys: ["*"], commands: ["+@read", "+@write", "+@transaction", "+wait"] } },
  passwordRotation: "1",
  passwordOverlapSeconds: 0,
  tls: TLS,
};
/** Another authority, other passwords, and a setting that takes a restart of every node. */
const ALL_AT_ONCE = {
  tls: { ...TLS, authorityRotation: "2" },
  passwordRotation: "2",
  redisConfig: { "tcp-backlog": "129" },
};

interface Scenario {
  readonly name: string;
  readonly more: Parameters<LoadedProject["declare"]>[0];
  /** A replica is killed before, which nobody has noticed yet. */
  readonly deadReplica: boolean;
}
const SCENARIOS: readonly Scenario[] = [
  { name: "authority, passwords and a restart", more: {}, deadReplica: false },
  { name: "the same with two masters more, and one replica dead", more: { masters: 5 }, deadReplica: true },
];
const SERVERS: readonly TestServerName[] = ["redis-7.0", "valkey-9.1"];

/** In `npm run test:full` only: each takes minutes. */
describe.skipIf(!process.env.FULL).each(SERVERS)(
  "several changes in one `up`, under a load that is checked, %s",
  (server) => {
    test.for(SCENARIOS)(
      "$name: no key lost, no error for clients that take the credentials of each run",
      { timeout: 1_800_000 },
      async ({ name, more, deadReplica }, context) => {
        const loaded = await LoadedProject.start(context, server, ARGS);
        const { project, load } = loaded;
        const before = await project.pids();
        const follow = async () => load.changeLogin(loginOf(await project.credentials()), await project.nodes());
        const first = await project.credentials();
        const change = () => loaded.change("all at once", { ...ALL_AT_ONCE, ...more });
        if (deadReplica) {
          const replica = (await project.nodes()).find(({ role }) => role === "replica");
          await project.whileDown(async () => {
            process.kill(before.get(replica?.name ?? "") ?? 0, "SIGKILL");
            await change();
          });
        } else await change();
        const now = await project.pids();
        for (const [node, pid] of before) expect([node, now.get(node) === pid]).toEqual([node, false]);
        // The second shows the new authority's certificates and ends former passwords; the third trusts the former authority no more.
        for (const step of ["the second run", "the third run"]) {
          await follow();
          await loaded.change(step, {});
        }
        const last = await project.credentials();
        expect(last.password).not.toBe(first.password);
        expect(last.tls?.caCertificatePem.match(/BEGIN CERTIFICATE/g)).toHaveLength(1);
        expect(last.tls?.caCertificatePem).not.toBe(first.tls?.caCertificatePem);
        await follow();
        const { stdout } = await project.mustUp();
        expect(stdout).toMatch(/Resources:\n {4}\d+ unchanged\n/);
        expect(await project.pids()).toEqual(now);
        console.log(reportLine(`${server}: ${name}`, await loaded.expectUnharmed()));
      },
    );
  },
);
