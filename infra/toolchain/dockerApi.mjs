// Docker's API, as far as the toolchain needs it: plain HTTP on a socket. Without dependencies, like all of this folder.

import { request } from "node:http";

/** The daemon that is meant where nobody says which. */
export const DEFAULT_HOST = "unix:///var/run/docker.sock";

/**
 * @param {string} host `unix:///path` or `tcp://host:port`
 * @param {string} method
 * @param {string} path
 * @param {{ body?: import("node:stream").Readable, type?: string, timeout?: number }} [options] timeout in ms, without one for long work
 * @returns {Promise<{ status: number, text: string }>}
 */
export function ask(host, method, path, { body, type = "application/json", timeout } = {}) {
  return new Promise((resolve, reject) => {
    const call = request(
      { ...target(host), method, path, headers: body ? { "content-type": type } : {}, ...(timeout ? { timeout } : {}) },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk) => {
          text += chunk;
        });
        response.on("error", reject);
        response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
      },
    );
    call.on("error", reject);
    call.on("timeout", () => call.destroy(new Error(`${host} does not answer within ${timeout} ms`)));
    if (!body) return call.end();
    body.on("error", (error) => call.destroy(error));
    body.pipe(call);
  });
}

/** @throws Error where it does not answer as a daemon does */
export async function ping(host) {
  const { status, text } = await ask(host, "GET", "/_ping", { timeout: 5000 });
  if (status !== 200 || text.trim() !== "OK") throw new Error(`${host} answers ${status} to a ping`);
}

function target(host) {
  const [, unix] = /^unix:\/\/(\/.+)$/.exec(host) ?? [];
  if (unix) return { socketPath: unix };
  const [, name, port] = /^(?:tcp|http):\/\/(.+):(\d+)\/?$/.exec(host) ?? [];
  if (name) return { host: name.replace(/^\[|\]$/g, ""), port: Number(port) };
  throw new Error(`DOCKER_HOST: "${host}" is not understood; give unix:///path or tcp://host:port`);
}
