import { expect, type TestContext } from "vitest";
import type { EngineName } from "../../engine/workspace";
import { CheckedLoad, type LoadOptions, type LoadReport } from "../../load/load";
import { loginOf } from "../../support/clients";
import { Project } from "../../support/project";
import { type ServerProgram, type TestServerName, testServers } from "../../support/servers";

/** Less than README's default, so that what a test kills is noticed sooner. */
const NODE_TIMEOUT_MILLISECONDS = 2_000;

/** The promise is 500 ms; a machine that runs all of this beside other work is given more before a test fails. */
export const LONGEST_PAUSE_MILLISECONDS = 5_000;

/** A user's project whose cluster serves the checked load while its declaration changes. */
export class LoadedProject {
  readonly project: Project;
  readonly #servers: Record<TestServerName, ServerProgram>;
  #load: CheckedLoad | undefined;
  #args: Readonly<Record<string, unknown>>;

  private constructor(
    project: Project,
    servers: Record<TestServerName, ServerProgram>,
    args: Readonly<Record<string, unknown>>,
  ) {
    this.project = project;
    this.#servers = servers;
    this.#args = args;
  }

  /** Formed, and under load. @param load `plain`: on the ports without TLS, beside those with it; `engine`: default "hermetic" */
  static async start(
    context: TestContext,
    server: TestServerName,
    args: Readonly<Record<string, unknown>> = {},
    {
      plain = false,
      engine = "hermetic",
      ...load
    }: LoadOptions & { readonly plain?: boolean; readonly engine?: EngineName } = {},
  ): Promise<LoadedProject> {
    const servers = (await testServers()) ?? context.skip("no servers here");
    const first: Readonly<Record<string, unknown>> = { nodeTimeoutMilliseconds: NODE_TIMEOUT_MILLISECONDS, ...args };
    const project = await Project.create(first, servers[server], { engine });
    const loaded = new LoadedProject(project, servers, first);
    context.onTestFinished(() => {
      loaded.#load?.close();
      project.dispose();
    });
    await project.mustUp();
    const { tls, ...open } = loginOf(await project.credentials());
    const login = plain || !tls ? open : { ...open, tls };
    const nodes = await project.nodes();
    const seeds = plain ? nodes.map(({ address, plainPort = 0 }) => ({ address, port: plainPort })) : nodes;
    loaded.#load = await CheckedLoad.start(seeds, { login, ...load });
    return loaded;
  }

  get load(): CheckedLoad {
    if (!this.#load) throw new Error("there is no load yet");
    return this.#load;
  }

  /** Changes the declaration by these arguments; `engine` names one of the test servers. */
  declare({ engine, ...changes }: Readonly<Record<string, unknown>> & { readonly engine?: TestServerName }): void {
    const server = engine === undefined ? {} : { serverBinary: this.#servers[engine].path };
    this.#args = { ...this.#args, ...server, ...changes };
    this.project.declare(this.#args);
  }

  /** One planned step: declared, carried out by `up`, and looked at. @returns what `up` printed */
  async change(step: string, changes: Parameters<LoadedProject["declare"]>[0]): Promise<string> {
    this.declare(changes);
    const { stdout } = await this.load.during(step, () => this.project.mustUp());
    await this.expectWhole(step);
    return stdout;
  }

  /** Full coverage in the eyes of every node, and every key as written. */
  async expectWhole(step: string): Promise<void> {
    for (const node of await this.project.nodes())
      expect([step, node.name, await this.project.check(node)]).toMatchObject([step, node.name, { ok: true }]);
    expect([step, await this.load.audit(), this.load.errors]).toEqual([step, [], []]);
  }

  /**
   * Ends the load. Nothing is lost or wrong, no client was told of an error, and none waited for long; where a run was `killed`, maybe
   * longer: on a slot that it left half moved, commands with several keys wait for the next run, which a busy machine takes its time for.
   */
  async expectUnharmed({ killed = false } = {}): Promise<LoadReport> {
    const report = await this.load.end();
    expect([report.errors, report.wrong, report.lostInWindow]).toEqual([[], [], 0]);
    for (const { step, longestPauseMilliseconds } of report.steps)
      if (!killed) expect(longestPauseMilliseconds, step).toBeLessThan(LONGEST_PAUSE_MILLISECONDS);
    return report;
  }
}

/** What the run printed of each resource, in order: `LocalNode a deleted`. */
export function eventsOf(stdout: string): { kind: string; node: string; event: string }[] {
  const line =
    /:(LocalNode|NodeGuard) (\S+?)(?:-guard)? (deleting|deleted|creating|created)(?: original| replacement)?(?=\.{3}|\s|$)/gm;
  return [...stdout.matchAll(line)].map(([, kind = "", node = "", event = ""]) => ({ kind, node, event }));
}
