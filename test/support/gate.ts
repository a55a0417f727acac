import { execFileSync } from "node:child_process";
import { constants } from "node:fs";
import { type FileHandle, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";

/** A server program whose first start stops at a gate: there a node has its ports, and does not listen on them yet. */
export class GatedServer {
  readonly path: string;
  readonly #gate: string;
  #hand: FileHandle | undefined;

  private constructor(path: string, gate: string) {
    this.path = path;
    this.#gate = gate;
  }

  static async create(folder: string, program: string): Promise<GatedServer> {
    const gate = join(folder, "gate");
    const path = join(folder, "gated-server");
    execFileSync("mkfifo", [gate]);
    const lines = [
      "#!/bin/sh",
      `if [ "$1" != --version ] && [ -p '${gate}' ]; then read -r _ <'${gate}'; rm '${gate}'; fi`,
      `exec '${program}' "$@"`,
    ];
    await writeFile(path, `${lines.join("\n")}\n`, { mode: 0o755 });
    return new GatedServer(path, gate);
  }

  /** Until a start waits at the gate: a pipe takes a writer, at once, where somebody reads. */
  async reached(): Promise<void> {
    while (!this.#hand) {
      try {
        this.#hand = await open(this.#gate, constants.O_WRONLY | constants.O_NONBLOCK);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENXIO") throw error;
        await setTimeout(5);
      }
    }
  }

  /** Lets it go on, and every later one pass. */
  async open(): Promise<void> {
    await this.#hand?.close();
  }
}
