import { Duplex } from "node:stream";

/**
 * A channel as a stream that keeps the promises of a socket: it closes whichever end went first, `destroy` is final at once, and
 * whoever waits for a write hears of the end. The channel itself keeps silent about all of these in one case or another.
 */
export class Forwarded extends Duplex {
  readonly #channel: Duplex;

  constructor(channel: Duplex) {
    super({ allowHalfOpen: false });
    this.#channel = channel;
    channel.on("data", (chunk: Buffer) => {
      if (!this.push(chunk)) channel.pause();
    });
    channel.on("end", () => this.push(null));
    channel.on("error", (error) => this.destroy(error));
    channel.on("close", () => {
      // What came before is still to be read; what is written now goes nowhere, and a write that hangs is to hear of it.
      this.push(null);
      if (this.readableEnded) this.destroy();
      else this.once("end", () => this.destroy());
    });
  }

  /** Clients of sockets call it; here the connection that carries the channel has its own. */
  setKeepAlive(): this {
    return this;
  }

  /** As `setKeepAlive`. */
  setNoDelay(): this {
    return this;
  }

  override _read(): void {
    this.#channel.resume();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#channel.write(chunk, encoding, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#channel.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#channel.removeAllListeners("data");
    this.#channel.destroy();
    // A channel counts as closed once all of it was read.
    this.#channel.resume();
    done(error);
  }
}
