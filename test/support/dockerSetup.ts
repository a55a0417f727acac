import type { TestProject } from "vitest/node";
import { inCi } from "./servers";

declare module "vitest" {
  interface ProvidedContext {
    /** The daemon's address; empty where Docker cannot be had. */
    dockerHost: string;
  }
}

/**
 * One daemon with the images of the test servers for all files of a run. Where it cannot be had, one line says why and the tests are
 * skipped; in CI it is an error, because a skipped test proves nothing there.
 */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const { dockerForTests, NoDocker, serverImages } = await import("../../infra/toolchain/docker.mjs");
  const { ServerUnavailable } = await import("../../infra/toolchain/servers.mjs");
  const log = (line: string) => void process.stderr.write(`${line}\n`);
  const none = (error: unknown): undefined => {
    if (!(error instanceof NoDocker || error instanceof ServerUnavailable) || inCi()) throw error;
    log(`SKIPPED, all tests with Docker: ${error.message}`);
    project.provide("dockerHost", "");
  };
  let docker: Awaited<ReturnType<typeof dockerForTests>>;
  try {
    docker = await dockerForTests({ log });
  } catch (error) {
    return none(error);
  }
  try {
    await serverImages({ host: docker.host, log });
    project.provide("dockerHost", docker.host);
    return docker.stop;
  } catch (error) {
    await docker.stop();
    return none(error);
  }
}
