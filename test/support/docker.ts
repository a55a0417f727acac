import Docker from "dockerode";
import { inject } from "vitest";
import type {} from "./dockerSetup";
import type { ProjectPlatform } from "./project";

/** The daemon's address; undefined where Docker cannot be had, and then `dockerSetup.ts` has said why. */
export const dockerHost: string | undefined = inject("dockerHost") || undefined;

/** A client of the daemon that the run has. */
export function dockerClient(host = dockerHost): Docker {
  const socket = /^unix:\/\/(.+)$/.exec(host ?? "")?.[1];
  if (socket) return new Docker({ socketPath: socket });
  const [, name = "", port = ""] = /^(?:tcp|http):\/\/(.+):(\d+)\/?$/.exec(host ?? "") ?? [];
  return new Docker({ protocol: "http", host: name, port: Number(port) });
}

/** @param project its name, which clusters of one daemon have to themselves */
export function dockerPlatform(project: string, host = dockerHost): ProjectPlatform {
  return {
    entry: "pulumi-redis-cluster/docker",
    component: "DockerRedisCluster",
    project,
    env: { DOCKER_HOST: host ?? "" },
    choosesPorts: false,
  };
}
