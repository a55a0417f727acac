import type { Directive, DirectiveSplit, NodeEndpoint, NodeStorage, TlsSettings } from "./types";

/**
 * How a node listens and what it announces. The announced values are live, where it listens is not.
 * With TLS the plain port is closed unless there is one, and the endpoint's port is the TLS port.
 */
export function endpointDirectives(endpoint: NodeEndpoint, tls?: TlsSettings): DirectiveSplit {
  const boot: Directive[] = [
    { name: "bind", value: endpoint.address },
    { name: "cluster-port", value: String(endpoint.busPort) },
    { name: "port", value: String(plainPort(endpoint, tls !== undefined)) },
    ...(tls ? tlsDirectives(endpoint, tls).boot : []),
  ];
  const live: Directive[] = [
    { name: "cluster-announce-bus-port", value: String(endpoint.busPort) },
    { name: "cluster-announce-ip", value: endpoint.address },
    ...announced(endpoint, tls !== undefined),
    ...(tls ? tlsDirectives(endpoint, tls).live : []),
  ];
  return { boot: sorted(boot), live: sorted(live) };
}

/** What the declaration may change of a node that runs, and that differs from node to node: so it is formation's to set. */
export function endpointSettings(endpoint: NodeEndpoint, tls: boolean): Readonly<Record<string, string>> {
  const names = announced(endpoint, tls).filter(({ name }) => tls || name !== "cluster-announce-port");
  const port = tls ? [{ name: "port", value: String(plainPort(endpoint, tls)) }] : [];
  return Object.fromEntries([...names, ...port].map(({ name, value }) => [name, value]));
}

function announced(endpoint: NodeEndpoint, tls: boolean): Directive[] {
  return [
    // An empty name is the server's own "none": a name that was taken away must not linger in a node's file.
    { name: "cluster-announce-hostname", value: endpoint.hostname ?? "" },
    { name: "cluster-announce-port", value: String(plainPort(endpoint, tls)) },
    { name: "cluster-preferred-endpoint-type", value: endpoint.hostname === undefined ? "ip" : "hostname" },
  ];
}

function plainPort({ port, plainPort: plain = 0 }: NodeEndpoint, tls: boolean): number {
  return tls ? plain : port;
}

/**
 * TLS for clients, the bus and replication. Whether bus and replication use it is decided at creation: on a running
 * cluster CONFIG SET would say OK, and the nodes would not find each other after a restart.
 */
export function tlsDirectives(endpoint: NodeEndpoint, tls: TlsSettings): DirectiveSplit {
  const port = String(endpoint.port);
  return {
    boot: sorted([
      { name: "tls-ca-cert-file", value: tls.caFile },
      // The paths stay; a new certificate comes under the same path and is read again by CONFIG SET, both files at once.
      { name: "tls-cert-file", value: tls.certFile },
      { name: "tls-cluster", value: "yes" },
      { name: "tls-key-file", value: tls.keyFile },
      { name: "tls-port", value: port },
      { name: "tls-replication", value: "yes" },
    ]),
    live: [{ name: "cluster-announce-tls-port", value: port }],
  };
}

/** Where a node keeps its data, its pid and its log; all of them need a restart. */
export function storageDirectives({ dir, pidfile, logfile }: NodeStorage): Directive[] {
  return sorted([
    { name: "dir", value: dir },
    ...(logfile === undefined ? [] : [{ name: "logfile", value: logfile }]),
    ...(pidfile === undefined ? [] : [{ name: "pidfile", value: pidfile }]),
  ]);
}

function sorted(directives: readonly Directive[]): Directive[] {
  return [...directives].sort((a, b) => (a.name < b.name ? -1 : 1));
}
