import type { StatusIssueKind } from "./status";

/** What an operator can do, by kind of issue. One sentence each; most are what the next `up` does by itself. */
const REMEDIES: Record<StatusIssueKind, string> = {
  "silent-node":
    "start the server (one that hangs, on its own host too, has to be ended first; where it keeps no append-only file, once a replica leads in its place) or let this machine reach it; where it is declared, `up` starts it and joins it again",
  "not-cluster-mode": "start it with `cluster-enabled yes`",
  "version-mix": "finish the upgrade: every node should run one version",
  "duplicate-id": "one data folder was copied from the other: give one of them a fresh nodes.conf",
  "foreign-node": "take that node out of the cluster (CLUSTER FORGET on every node), or find out who joined it",
  "stale-id": "`up` forgets the former ID on every node",
  "not-joined": "check that the bus ports are open between all nodes; `up` joins them again",
  "flagged-node":
    "if it stays so for longer than the node timeout, look at that server and at the network between the nodes",
  "other-address":
    "set cluster-announce-ip (and cluster-announce-port) of that node to where clients and nodes reach it",
  "name-unheard": "wait for about half a node timeout: servers tell their names with pings",
  "slots-unowned":
    "bring back the node that owned them (a silent one may still hold their keys); a backup is needed only where its data are gone",
  "slots-contested": "wait a moment; if it stays, two nodes disagree about the owner: see CLUSTER NODES of both",
  uneven: "`up` moves them",
  "leaving-node": "`up` empties it and takes it out",
  "views-differ": "wait a moment for gossip; if it stays, the nodes cannot all reach each other's bus ports",
  "state-fail": "it ends when all slots have an owner that answers and most masters are reachable",
  "open-slot":
    "a move of this slot is under way or was interrupted: finish it with the tool that began it, or close it by CLUSTER SETSLOT … STABLE on both ends",
  "no-leader": "wait for the failover (about two node timeouts); if none comes, bring back one of the shard's nodes",
  "led-from-elsewhere": "`up` hands leadership to one of the shard's own nodes, and that node back to its shard",
  "stray-node": "`up` makes it follow its shard's master",
  "second-owner": "`up` moves its slots to its shard's master, which it then follows",
  "replica-link": "wait for the full copy; if it stays, see the replica's log (password, network, output buffer limit)",
  "shard-in-one-zone": "bring back the shard's other nodes; the loss of that zone would lose the shard",
  "crowded-zone": "`up` hands leadership back by a graceful failover, once every node answers",
  "setting-differs": "`up` sets it",
  "user-differs": "`up` sets it",
  "certificate-differs": "`up` loads it",
  "certificate-ends": "`up` renews it, live; a certificate that was handed in is for whoever made it to renew",
  "loose-node": "give it slots or make it a replica, or forget it on every node",
};

export function remedyFor(kind: StatusIssueKind): string {
  return REMEDIES[kind];
}
