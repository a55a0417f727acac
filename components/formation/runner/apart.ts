/** Starts of servers, and handovers of leadership: several of one kind may go on at once, and never both. */
type Kind = "start" | "handover";

interface Turn {
  readonly kind: Kind;
  readonly go: () => void;
}

/** Of one cluster. */
class Turns {
  #going: Kind | undefined;
  #count = 0;
  readonly #waiting: Turn[] = [];

  async take<T>(kind: Kind, work: () => Promise<T>): Promise<T> {
    // Behind those that wait, also where it might go: else the other kind might never come to go.
    await new Promise<void>((go) => {
      this.#waiting.push({ kind, go });
      this.#next();
    });
    try {
      return await work();
    } finally {
      this.#count--;
      this.#next();
    }
  }

  #next(): void {
    if (this.#count === 0) this.#going = this.#waiting[0]?.kind;
    while (this.#waiting[0] && this.#waiting[0].kind === this.#going) {
      this.#count++;
      this.#waiting.shift()?.go();
    }
  }
}

const clusters = new Map<string, Turns>();

function turnsOf(cluster: string): Turns {
  const turns = clusters.get(cluster) ?? new Turns();
  clusters.set(cluster, turns);
  return turns;
}

/**
 * Where several shards roll at once, one of them starts a server while another one hands over: a server that gets to know the others just then may
 * hang (`heard.ts`). All of a run happens in one process, so it is enough that these wait for each other here.
 */
export function startApart<T>(cluster: string, work: () => Promise<T>): Promise<T> {
  return turnsOf(cluster).take("start", work);
}

/** The other side of `startApart`. */
export function handOverApart<T>(cluster: string, work: () => Promise<T>): Promise<T> {
  return turnsOf(cluster).take("handover", work);
}
