export const THP_FILE = "/sys/kernel/mm/transparent_hugepage/enabled";
const SYSCTL_FILE = "/etc/sysctl.d/60-redis.conf";

export function keepSysctl(name: string, value: number): string {
  return `to keep it, the line \`${name} = ${value}\` in ${SYSCTL_FILE}`;
}

export function thpRemedy(kept: boolean): string {
  return [
    `\`echo madvise > ${THP_FILE}\`, then restart the servers one by one`,
    ...(kept ? [" (`disable-thp yes` in redis.conf spares a server too)"] : []),
    `; to keep it, the line \`w ${THP_FILE} - - - - madvise\` in /etc/tmpfiles.d/redis.conf`,
  ].join("");
}

export const keepNofile = {
  now: (pids: readonly number[], limit: number): string => {
    const command = (pid: string) => `prlimit --pid ${pid} --nofile=${limit}:${limit}`;
    return pids.length === 1
      ? `\`${command(String(pids[0]))}\``
      : `\`for p in ${pids.join(" ")}; do ${command("$p")}; done\``;
  },
  line: (limit: number): string =>
    `to keep it, \`LimitNOFILE=${limit}\` under [Service] in a drop-in of the server's unit (/etc/systemd/system/redis-server.service.d/nofile.conf), or what starts it instead`,
};

export function keepMaxclients(lowered: number): string {
  return `see that redis.conf does not say \`maxclients ${lowered}\`: CONFIG REWRITE writes the lowered number`;
}
