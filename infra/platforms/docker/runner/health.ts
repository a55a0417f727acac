import { NODE_FILES } from "../../../../components/cluster/nodeFiles";
import type { NodeLogin } from "../../../../components/cluster/platform";
import type { NodeEndpoint } from "../../../../components/config/types";
import type { Engine } from "../../../../components/spec/spec";
import { DATA_FOLDER } from "./types";

export const HEALTH_FILES = { script: "health.sh", logins: "health.logins" } as const;

/** What the daemon runs to ask a node how it is: no word of it is a secret. */
export const HEALTH_COMMAND = ["CMD", "/bin/sh", `${DATA_FOLDER}/${HEALTH_FILES.script}`];

/**
 * Asks the node itself whether it takes part in a cluster whose slots are served. Passwords come from a file and reach the
 * client by a pipe, from a command of the shell itself: they are in no process's arguments or environment.
 */
export function healthScript({ name }: Engine, { address, port }: NodeEndpoint, tls: boolean): string {
  const config = `${DATA_FOLDER}/${NODE_FILES.config}`;
  const lines = [
    "#!/bin/sh",
    "# Healthy: this node answers, and sees a cluster that serves its slots.",
    `setting() { sed -n "s/^$1 \\"\\{0,1\\}\\([^\\"]*\\)\\"\\{0,1\\}\\$/\\1/p" ${config} | tail -n 1; }`,
    `cli=$(command -v ${name}-cli || command -v redis-cli)`,
    `set -- -h ${address} -p ${port}`,
    ...(tls
      ? [
          'set -- "$@" --tls --cacert "$(setting tls-ca-cert-file)" --cert "$(setting tls-cert-file)" --key "$(setting tls-key-file)"',
        ]
      : []),
    'is_ok() { tr -d "\\r" | grep -q "^cluster_state:ok$"; }',
    '"$cli" "$@" cluster info 2>/dev/null | is_ok && exit 0',
    `[ -r ${DATA_FOLDER}/${HEALTH_FILES.logins} ] || exit 1`,
    "while read -r user password; do",
    '  printf "AUTH %s %s\\ncluster info\\n" "$user" "$password" | "$cli" "$@" 2>/dev/null | is_ok && exit 0',
    `done < ${DATA_FOLDER}/${HEALTH_FILES.logins}`,
    "exit 1",
  ];
  return `${lines.join("\n")}\n`;
}

/** A user and a password a line, the latest first. */
export function healthLogins({ monitor }: NodeLogin): string {
  return monitor.passwords.map((password) => `${monitor.username} ${password}\n`).join("");
}
