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
/** Blacklists travel with pings, and within the node timeout everybody has heard from everybody. */
const MARGIN_MILLISECONDS = 1_000;

/** Remembers that a member was not listed by others, which somebody may have told a server by hand. */
export class ForgottenWatch {
  readonly #members: ReadonlySet<string>;
  readonly #heardMilliseconds: number;
  #first: number | undefined;
  #last = 0;
  #names: readonly string[] = [];

  /** @param members as the last run left them, of a cluster that was verified; none otherwise: those may never have met */
  constructor(members: readonly Member[], nodeTimeoutMilliseconds: number) {
    this.#members = new Set(members.filter((m) => m.state === "member").map((m) => m.id));
    this.#heardMilliseconds = nodeTimeoutMilliseconds + MARGIN_MILLISECONDS;
  }

  look(observation: ClusterObservation, now: number): void {
    const forgotten = forgottenNodes(observation, this.#members);
    if (forgotten.length === 0) return;
    this.#names = forgotten;
    this.#first ??= now;
    this.#last = now;
  }

  /** Until everybody was listed for as long as it takes to hear of a FORGET, what is seen of the cluster may not last. */
  isUnsettled(now: number): boolean {
    return this.#first !== undefined && now - this.#last < Math.min(this.#heardMilliseconds, BLACKLIST_MILLISECONDS);
  }

  /** How long nothing may change. */
  patience(usual: number): number {
    return this.#first === undefined ? usual : Math.max(usual, BLACKLIST_MILLISECONDS + MEETING_MILLISECONDS);
  }

  /** For the line of progress; empty where there is nothing to say. */
  text(now: number): string {
    return this.isUnsettled(now)
      ? ` · not known to all: ${this.#names.join(", ")} (servers that were told to FORGET a node stay with that for a minute)`
      : "";
  }
}

/**
 * Members that answer as before, and that others, which spread what they forget, do not list; by name. One that knows only
 * itself has not joined, or was reset.
 */
function forgottenNodes(observation: ClusterObservation, members: ReadonlySet<string>): string[] {
  const alive = answering(observation).filter((n) => members.has(n.id) && !n.leaving && n.view.length > 1);
  const listed = alive.filter(spreadsForget).map((n) => new Set(n.view.map((e) => e.id)));
  return alive.filter((n) => listed.some((ids) => !ids.has(n.id))).map((n) => n.name);
}

function spreadsForget({ server }: AnsweringNode): boolean {
  const [major = 0, minor = 0] = server.version.split(".").map(Number);
  return server.name === "valkey" || major > 7 || (major === 7 && minor >= 2);
}
