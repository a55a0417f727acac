import * as net from "node:net";
import { describeListener } from "./processes";
import { BUS_PORT_OFFSET } from "./types";

/** Tells whether nobody listens on a port of an address, by trying it. */
export function portIsFree(address: string, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(false);
      else if (error.code === "EADDRNOTAVAIL")
        reject(new Error(`the address ${address} does not exist on this machine`));
      else if (error.code === "EACCES")
        reject(new Error(`port ${port}: this user may not listen on it; choose one from 1024 up`));
      else reject(error);
    });
    server.listen({ host: address, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** Why a node cannot have this port, or undefined where it can: its client port and its bus port are both needed. */
export async function portProblem(address: string, port: number): Promise<string | undefined> {
  for (const [kind, wanted] of [
    ["port", port],
    ["cluster bus port", port + BUS_PORT_OFFSET],
  ] as const) {
    if (await portIsFree(address, wanted)) continue;
    const holder = describeListener(address, wanted);
    return `${kind} ${wanted} of ${address} is in use${holder ? ` by ${holder}` : " by another process"}`;
  }
  return undefined;
}
