/**
 * Why TLS cannot come or go: whether nodes speak it to each other is decided when a cluster is made. Undefined where nothing changes.
 * On a running node CONFIG SET tls-cluster says OK, and after one restart the nodes do not find each other (seen on Redis 7.0).
 */
export function busProblem(cluster: string, was: unknown, is: unknown): string | undefined {
  if ((was === undefined) === (is === undefined)) return undefined;
  const [has, wants] = was === undefined ? ["without TLS", "with TLS"] : ["with TLS", "without TLS"];
  const instead =
    was === undefined
      ? "declare a second cluster with `tls` under another name, copy the data and move the clients, then destroy this one"
      : "`tls: { plainPort: … }` lets clients in without TLS for a time; to be rid of it, declare a second cluster without `tls` under another name";
  return `${cluster} was made ${has}, and is declared ${wants}: nodes of one cluster cannot change how they speak to each other without an outage of all of them. Leave \`tls\` as it was; ${instead}`;
}
