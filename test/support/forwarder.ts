import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** A local port that leads to a node, as `ssh -L` gives one: bytes pass as they are. */
export class Forwarder {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #accepted = 0;

  private constructor(
    { address, port }: { readonly address: string; readonly port: number },
    delayMilliseconds: number,
  ) {
    this.#server = createServer((here) => {
      this.#accepted++;
      const there = connect({ host: address, port });
      for (const [socket, other] of [
        [here, there],
        [there, here],
      ] as const) {
        this.#sockets.add(socket);
        socket.setNoDelay(true);
        // What came before an end arrives before it.
        socket.on("error", () => {});
        socket.on("close", () => {
          this.#sockets.delete(socket);
          setTimeout(() => other.destroy(), delayMilliseconds);
        });
        if (delayMilliseconds === 0) socket.pipe(other);
        else {
          const later = (then: () => void) => setTimeout(then, delayMilliseconds);
          socket.on("data", (bytes) => later(() => other.write(bytes)));
          socket.on("end", () => later(() => other.end()));
        }
      }
    });
  }

  static async start(
    target: { readonly address: string; readonly port: number },
    host = "127.0.0.1",
    /** Of every byte, each way. */
    delayMilliseconds = 0,
  ): Promise<Forwarder> {
    const forwarder = new Forwarder(target, delayMilliseconds);
    await new Promise<void>((resolve, reject) => {
      forwarder.#server.once("error", reject);
      forwarder.#server.listen({ host, port: 0 }, resolve);
    });
    return forwarder;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** How many connections came so far. */
  get accepted(): number {
    return this.#accepted;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
