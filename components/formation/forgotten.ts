import type { Member } from "./goal";
import { type AnsweringNode, answering, type ClusterObservation } from "./observation";

/**
 * From 7.2 on a server that is told to FORGET a node tells those that it speaks with to forget it too
 * (`CLUSTERMSG_EXT_TYPE_FORGOTTEN_NODE`), and each keeps the ID on its blacklist for a minute: until then the node may be
 * forgotten again, however often it is met.
 */
const BLACKLIST_MILLISECONDS = 62_000;
/** Meeting takes a moment after that. */
const MEETING_MILLISECONDS = 15_000;

/** Remembers when a member was first seen to be forgotten by others, which somebody did by hand. */
export class ForgottenWatch {
  readonly #members: ReadonlySet<string>;
  #since: number | undefined;
  #names: readonly string[] = [];

  /** @param members as the last run left them, of a cluster that was verified; none otherwise: those may never have met */
  constructor(members: readonly Member[]) {
    this.#members = new Set(members.filter((m) => m.state === "member").map((m) => m.id));
  }

  look(observation: ClusterObservation, now: number): void {
    const forgotten = forgottenNodes(observation, this.#members);
    if (forgotten.length === 0) return;
    this.#names = forgotten;
    this.#since ??= now;
  }

  /** Until then nothing that is seen of the cluster lasts, and nothing that stands still has stalled. */
  isUnsettled(now: number): boolean {
    return this.#since !== undefined && now - this.#since < BLACKLIST_MILLISECONDS;
  }

  /** How long nothing may change. */
  patience(usual: number): number {
    return this.#since === undefined ? usual : Math.max(usual, BLACKLIST_MILLISECONDS + MEETING_MILLISECONDS);
  }

  /** For the line of progress; empty where there is nothing to say. */
  text(now: number): string {
    return this.isUnsettled(now)
      ? ` · ${this.#names.join(", ")} forgotten by hand: servers stay with that for a minute`
      : "";
  }
}

/** Members that answer as before, and that others, which spread what they forget, do not list; by name. */
function forgottenNodes(observation: ClusterObservation, members: ReadonlySet<string>): string[] {
  const alive = answering(observation).filter((n) => members.has(n.id) && !n.leaving);
  const listed = alive.filter(spreadsForget).map((n) => new Set(n.view.map((e) => e.id)));
  return alive.filter((n) => listed.some((ids) => !ids.has(n.id))).map((n) => n.name);
}

function spreadsForget({ server }: AnsweringNode): boolean {
  const [major = 0, minor = 0] = server.version.split(".").map(Number);
  return server.name === "valkey" || major > 7 || (major === 7 && minor >= 2);
}
