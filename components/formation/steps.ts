import { describeSetting } from "../config";
import type { AclUser, NodeEndpoint } from "../config/types";
import { REPLICATION } from "../config/users";
import type { SlotRange } from "../topology/plan";
import { countSlots, formatRanges, nameSlots } from "./slots";

/**
 * Everything that can be done to a running cluster. Each step is idempotent: done twice, or found done already, it
 * changes nothing. Named after its command.
 */
export type Step =
  | { readonly do: "setTemporary"; readonly node: string; readonly settings: Readonly<Record<string, string>> }
  | { readonly do: "setConfigEpoch"; readonly node: string; readonly epoch: number }
  | {
      readonly do: "addSlotsRange";
      readonly node: string;
      readonly shard: string;
      readonly slots: readonly SlotRange[];
    }
  /** A node that knows nobody: slots that it found keys of, which a move brought, and whose owner is another shard still. Keys stay. */
  | {
      readonly do: "releaseSlots";
      readonly node: string;
      readonly shard: string;
      readonly slots: readonly SlotRange[];
    }
  | {
      readonly do: "meet";
      readonly node: string;
      readonly peer: string;
      readonly address: string;
      readonly port: number;
      readonly busPort: number;
    }
  | {
      readonly do: "replicate";
      readonly node: string;
      readonly shard: string;
      readonly master: string;
      readonly masterId: string;
    }
  | {
      readonly do: "failover";
      readonly node: string;
      readonly shard: string;
      readonly from: string;
      /** Without the former leader: elected by the other masters, or by itself where no majority of them is left. Default: from it. */
      readonly without?: "elected" | "alone";
    }
  /** `node` is the source. Bounded by time: what is left is planned again. */
  | {
      readonly do: "migrateSlots";
      readonly node: string;
      readonly nodeId: string;
      readonly shard: string;
      readonly to: string;
      readonly toId: string;
      readonly toEndpoint: NodeEndpoint;
      readonly slots: readonly SlotRange[];
    }
  /** A joined master without slots, which may have no config epoch of its own yet. */
  | { readonly do: "bumpEpoch"; readonly node: string }
  | { readonly do: "stabilizeSlots"; readonly node: string; readonly slots: readonly SlotRange[] }
  /** Slots that the node imports, and whose owner it does not know: it takes no news of slots that it imports. */
  | {
      readonly do: "nameOwner";
      readonly node: string;
      readonly slots: readonly SlotRange[];
      readonly owner: string;
      readonly ownerId: string;
    }
  /** Only a node without slots: an emptied master, or a replica whose shard is in sync without it. */
  | { readonly do: "reset"; readonly node: string; readonly id: string }
  | { readonly do: "forget"; readonly node: string; readonly id: string; readonly formerName: string }
  | {
      readonly do: "setConfig";
      readonly node: string;
      readonly settings: Readonly<Record<string, string>>;
      readonly persist: boolean;
    }
  /** All of a user at once: rules and passwords take the place of whatever the node has. */
  | {
      readonly do: "setUser";
      readonly node: string;
      readonly user: AclUser;
      /** What the node has otherwise; `missing`: it has no such user. */
      readonly what: readonly string[];
      /**
       * A password ends, so whoever came with it has to log in again: `all` where that may be any session, `former` where it is those from
       * before the present password, which end when it holds on every node.
       */
      readonly endSessions: "all" | "former" | "none";
    }
  /** The server ends its sessions. */
  | { readonly do: "deleteUser"; readonly node: string; readonly user: string }
  | {
      readonly do: "setReplicationLogin";
      readonly node: string;
      readonly username: string;
      readonly password: string;
      readonly passwordHash: string;
    }
  /** From a file that is there already; also to where a restart reads it. */
  | { readonly do: "trustAuthorities"; readonly node: string; readonly path: string; readonly count: number }
  /** Both in one command, as servers take them; also to where a restart reads them. */
  | {
      readonly do: "loadCertificate";
      readonly node: string;
      readonly certificatePath: string;
      readonly keyPath: string;
      /** When the certificate ends: ISO 8601. */
      readonly notAfter: string;
    }
  /** Users and what replicas log in with, to where a restart reads them: a file of users, and redis.conf. */
  | { readonly do: "saveUsers"; readonly node: string; readonly aclFile: boolean };

/** A step for a reader, without its node. */
export function describeStep(step: Step): string {
  switch (step.do) {
    case "setTemporary":
      return `while forming: ${formatSettings(step.settings)}`;
    case "setConfigEpoch":
      return `set config epoch ${step.epoch}`;
    case "bumpEpoch":
      return "take a later config epoch, so that others believe it, and its replicas, over what they heard before";
    case "addSlotsRange":
      return `assign slots ${formatRanges(step.slots)} (${countSlots(step.slots)})`;
    case "releaseSlots":
      return `claim ${nameSlots(step.slots)} no longer, which ${countSlots(step.slots) === 1 ? "is" : "are"} on the way to its shard; keys stay`;
    case "meet":
      return `meet ${step.peer}`;
    case "replicate":
      return `replicate ${step.master}`;
    case "failover":
      if (step.without)
        return `take over from the former ID of ${step.from}, which is gone (${step.without === "elected" ? "elected by the other masters" : "by itself: no majority of the masters is left to elect it"})`;
      return `take leadership from ${step.from} (graceful failover, no data loss, a pause of milliseconds for writers)`;
    case "migrateSlots":
      return `move ${countSlots(step.slots)} slots to ${step.to}: ${formatRanges(step.slots)}`;
    case "stabilizeSlots":
      return `close ${nameSlots(step.slots)}, left open by a move that is over`;
    case "nameOwner":
      return `learn that ${step.owner} owns ${formatRanges(step.slots)} now`;
    case "reset":
      return "leave: empty of slots, it is reset";
    case "forget":
      return `forget former ID ${step.id.slice(0, 8)}… of ${step.formerName}`;
    case "setConfig":
      return `set ${formatSettings(step.settings)}`;
    case "setUser":
      return describeUser(step);
    case "deleteUser":
      return `delete user ${step.user}, which is not declared; its sessions end`;
    case "setReplicationLogin":
      return `log in at masters as ${step.username} with its present password`;
    case "saveUsers":
      return "save the users";
    case "trustAuthorities":
      return step.count === 1 ? "trust the present authority alone" : `trust ${step.count} authorities`;
    case "loadCertificate":
      return `load a certificate that is valid until ${step.notAfter.slice(0, 10)} (no restart, connections stay)`;
  }
}

function describeUser({ user, what, endSessions }: Extract<Step, { do: "setUser" }>): string {
  // Links of replicas are left: they would all break at once.
  const ends = user.name === REPLICATION ? "none" : endSessions;
  const sessions = {
    all: "; its sessions end, and clients log in again",
    former: "; its sessions from before the present password end",
    none: "",
  }[ends];
  if (user.name === "default")
    return user.enabled === false
      ? `close the default user, so that nobody comes in without a password${sessions}`
      : "open the default user";
  return what.includes("missing")
    ? `make user ${user.name}`
    : `set user ${user.name} as declared (it has ${what.join(", ")})${sessions}`;
}

function formatSettings(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name} ${value === "" ? '""' : describeSetting(name, value)}`)
    .join(", ");
}
