import * as fs from "node:fs";
import * as net from "node:net";
import { BUS_PORT_OFFSET } from "../../../../components/config/types";
import { describeListener } from "./processes";

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

/** Ports that somebody listens on at an address, as Linux lists them; empty where that cannot be asked. */
export function listenedPorts(address: string): Set<number> {
  const host = address
    .split(".")
    .reverse()
    .map((part) => Number(part).toString(16).padStart(2, "0").toUpperCase())
    .join("");
  let table: string;
  try {
    table = fs.readFileSync("/proc/net/tcp", "utf8");
  } catch {
    return new Set();
  }
  const LISTEN = "0A";
  const ports = table.split("\n").flatMap((line) => {
    const [, local, , state] = line.trim().split(/\s+/);
    const [where, port] = (local ?? "").split(":");
    return state === LISTEN && (where === host || where === "00000000") ? [Number.parseInt(port ?? "", 16)] : [];
  });
  return new Set(ports);
}

/** Why a node cannot have this port, or undefined where it can: its client port and its bus port are both needed. */
export async function portProblem(address: string, port: number): Promise<string | undefined> {
  for (const [kind, wanted] of [
    ["port", port],
    ["cluster bus port", port + BUS_PORT_OFFSET],
  ] as const) {
    if (await portIsFree(address, wanted)) continue;
    return inUse(kind, address, wanted);
  }
  return undefined;
}

/** Names a port that is taken, and who listens there as far as this user may see it. */
export function inUse(kind: string, address: string, port: number): string {
  return `${kind} ${address}:${port} is in use by ${describeListener(address, port) ?? "another process"}`;
}
