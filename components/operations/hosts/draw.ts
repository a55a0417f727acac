import type { Canvas } from "../draw";
import { wrap } from "../wrap";
import type { HostSetting, HostStatus } from "./judge";

const HOSTS_NAMED = 4;

/** Nothing where all is as the servers ask for; else one line a setting and a value, with its hosts, and what to do. */
export function hostLines(hosts: readonly HostStatus[], { paint, width }: Canvas): string[] {
  const alike = new Map<string, { setting: HostSetting; addresses: string[]; remedies: Set<string> }>();
  for (const { address, settings } of hosts) {
    for (const setting of settings.filter((s) => !s.ok)) {
      const { name, value, wanted, why, remedy = "" } = setting;
      const key = JSON.stringify([name, value, wanted, why]);
      const group = alike.get(key) ?? { setting, addresses: [], remedies: new Set() };
      group.addresses.push(address);
      group.remedies.add(remedy);
      alike.set(key, group);
    }
  }
  if (alike.size === 0) return [];
  const lines = [...alike.values()].flatMap(({ setting: { name, value, wanted, why }, addresses, remedies }) => {
    const [first = ""] = remedies;
    // They differ by the pids that they name.
    const remedy =
      remedies.size === 1 ? first : `on ${addresses[0]}: ${first}; likewise on the others (--json has it for each)`;
    return [
      ...wrap(`${few(addresses)}: ${name} is ${value}, wanted ${wanted}; ${why}`, width, "! ", "  ").map(paint.warn),
      ...wrap(remedy, width, "  → ", "    ").map(paint.dim),
    ];
  });
  const unseen = hosts.filter((h) => !h.seen && h.unseen.length > 0).map((h) => h.address);
  return [
    "",
    ...lines,
    ...(unseen.length > 0
      ? wrap(`settings of ${few(unseen)} cannot be seen from here; nofile is what servers tell`, width, "  ", "  ").map(
          paint.dim,
        )
      : []),
  ];
}

function few(addresses: readonly string[]): string {
  if (addresses.length <= HOSTS_NAMED) return addresses.join(", ");
  return `${addresses.slice(0, HOSTS_NAMED - 1).join(", ")} and ${addresses.length - HOSTS_NAMED + 1} more hosts`;
}
