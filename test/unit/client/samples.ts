import type { ClusterCredentials, ClusterInventory } from "../../../components/cluster/inventory";

const survival = { reads: true, writes: true, reason: "" };

/** Three shards with a replica each, on 10.0.1.5 to 10.0.3.6. */
export function anInventory(changes: Partial<ClusterInventory> = {}, names = false): ClusterInventory {
  const zones = ["zone-a", "zone-b", "zone-c"];
  return {
    version: 1,
    name: "sessions",
    platform: "local",
    engine: { name: "valkey", version: "9.1" },
    zones,
    shards: [0, 1, 2].map((shard) => ({
      name: `shard-${shard}`,
      slots: [["0-5460"], ["5461-10922"], ["10923-16383"]][shard] ?? [],
      nodes: [0, 1].map((follows) => {
        const zone = (shard + follows) % 3;
        const name = `sessions-${shard}-${zones[zone]}`;
        return {
          name,
          zone: zones[zone] ?? "",
          address: `10.0.${zone + 1}.${5 + follows}`,
          port: 6379,
          busPort: 16379,
          ...(names ? { hostname: `${name}.redis.example` } : {}),
          id: "0".repeat(40),
          role: follows === 0 ? "master" : "replica",
        };
      }),
    })),
    nodeTimeoutMilliseconds: 5_000,
    survives: { oneNode: survival, oneZone: survival },
    verifiedAt: "2026-11-27T00:00:00Z",
    ...changes,
  };
}

export const OPEN: ClusterCredentials = { username: "default" };

export const USERS: ClusterCredentials = {
  username: "app",
  password: "app-secret",
  admin: { username: "admin", password: "admin-secret" },
  users: {
    admin: { password: "admin-secret" },
    app: { password: "app-secret" },
    reports: { password: "reports-secret" },
  },
};

const pem = (what: string) => `-----BEGIN CERTIFICATE-----\n${what}\n-----END CERTIFICATE-----\n`;

export const MUTUAL = { clientAuth: "yes", certificatesExpire: "", authorityExpires: "" };
export const TLS: ClusterCredentials = {
  ...USERS,
  tls: {
    caCertificatePem: pem("authority"),
    certificatePem: pem("application"),
    keyPem: pem("application-key"),
    clients: { billing: { certificatePem: pem("billing"), keyPem: pem("billing-key") } },
  },
};

/** One for every node, on ports of this machine. */
export function tunnelsTo(inventory: ClusterInventory): Record<string, string> {
  const nodes = inventory.shards.flatMap((shard) => shard.nodes);
  return Object.fromEntries(
    nodes.map(({ hostname, address, port }, i) => [`${hostname ?? address}:${port}`, `127.0.0.1:${16_379 + i}`]),
  );
}
