import { connect } from "node:net";

const LOOK_EVERY_MILLISECONDS = 500;

/**
 * Notices that the engine which started this provider process is gone, as after a SIGKILL: nobody will hear of what we
 * do, so work stops between two commands. The process is adopted by another parent, or the engine's address (the last
 * argument of Pulumi's dynamic provider) refuses connections.
 */
export class EngineWatch {
  readonly #parent = process.ppid;
  #gone: string | undefined;
  #timer: NodeJS.Timeout | undefined;

  start(): this {
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MILLISECONDS);
    this.#timer.unref();
    return this;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Why to stop, or undefined while the engine is there. */
  reason(): string | undefined {
    if (outputLost) this.#gone ??= "the Pulumi engine that started this run does not listen any more";
    if (process.ppid !== this.#parent) this.#gone ??= "the Pulumi engine that started this run has ended";
    return this.#gone;
  }

  #look(): void {
    const address = /^(127\.0\.0\.1|localhost|\[::1\]):(\d+)$/.exec(process.argv.at(-1) ?? "");
    if (!address?.[1] || this.#gone) return;
    const socket = connect({ host: address[1].replace(/[[\]]/g, ""), port: Number(address[2]) });
    socket.once("connect", () => socket.destroy());
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED")
        this.#gone = "the Pulumi engine that started this run does not answer any more";
    });
    socket.unref();
  }
}

/** Nobody reads what this process prints. */
let outputLost = false;

/**
 * Pulumi's provider process answers an uncaught error by printing it. Where nobody reads that any more, printing is the
 * next error, and so on for ever: the process would never get to end, and hold the cluster's lock.
 */
function surviveLostOutput(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", () => {
      outputLost = true;
    });
  }
}

let calls = 0;

/**
 * A kill may also come between two calls, or just before one succeeds; the process would then wait for its engine for
 * ever. So a provider process looks, whenever nothing is in progress, and ends. A call in progress ends by itself.
 * @returns the runners, with their calls counted
 */
export function endingWithTheEngine<T extends object>(runners: T): T {
  // Anywhere else but in Pulumi's provider process, such as a test, nobody is to be ended.
  if (!/[\\/]dynamic-provider/.test(process.argv[1] ?? "")) return runners;
  surviveLostOutput();
  const watch = new EngineWatch().start();
  setInterval(() => {
    if (calls === 0) leaveIfOrphaned(watch);
  }, LOOK_EVERY_MILLISECONDS).unref();
  const counted = (runner: object) =>
    Object.fromEntries(
      Object.entries(runner).map(([name, method]: [string, (...args: unknown[]) => Promise<unknown>]) => [
        name,
        async (...args: unknown[]) => {
          calls++;
          try {
            return await method.apply(runner, args);
          } finally {
            calls--;
          }
        },
      ]),
    );
  return Object.fromEntries(Object.entries(runners).map(([kind, runner]) => [kind, counted(runner)])) as T;
}

/** Nobody is left to answer to, and nothing is left to do: a provider without its engine must not linger. */
export function leaveIfOrphaned(watch: EngineWatch): void {
  if (watch.reason()) process.exit(75);
}
