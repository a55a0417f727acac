import { describe, expect, test } from "vitest";
import { Connections, openClusterClient } from "../../../components/formation/wire";
import { issueCertificate, makeAuthority } from "../../../components/security/x509";
import { until } from "../../support/formation";
import { startServer, testServers } from "../../support/servers";

const servers = await testServers();
/** Of the block for documentation: nobody is there. */
const ELSEWHERE = { address: "192.0.2.7", port: 6379, busPort: 16379 };

describe.skipIf(!servers)("nodes that are not reached at their own addresses", () => {
  test.each(["without TLS", "with TLS, whose names are those of the node"])("%s", async (how) => {
    const program = servers?.["redis-7.0"];
    if (!program) return;
    const withTls = how !== "without TLS";
    const now = new Date();
    const authority = await makeAuthority({ commonName: "authority", days: 1, now });
    const own = await issueCertificate(authority, {
      commonName: "node",
      addresses: [ELSEWHERE.address],
      dnsNames: ["node"],
      usage: "node",
      days: 1,
      now,
    });
    const tls = {
      caCertificatePem: authority.certificatePem,
      identities: [{ certificatePem: own.certificatePem, keyPem: own.keyPem }],
    };
    const announce = ["cluster-enabled yes", `cluster-announce-ip ${ELSEWHERE.address}`];
    const server = await startServer({
      server: program,
      conf: [
        ...announce,
        ...(withTls
          ? ["tls-cluster yes", `cluster-announce-tls-port ${ELSEWHERE.port}`]
          : [`cluster-announce-port ${ELSEWHERE.port}`]),
        "",
      ].join("\n"),
      ...(withTls
        ? {
            security: {
              conf: "tls-cert-file node.crt\ntls-key-file node.key\ntls-ca-cert-file ca.crt\n",
              files: { "node.crt": own.certificatePem, "node.key": own.keyPem, "ca.crt": authority.certificatePem },
              login: {
                tls: {
                  ca: authority.certificatePem,
                  cert: own.certificatePem,
                  key: own.keyPem,
                  servername: "node",
                },
              },
            },
          }
        : {}),
    });
    const access = {
      ways: { [`${ELSEWHERE.address}:${ELSEWHERE.port}`]: `${server.address}:${server.port}` },
      ...(withTls ? { tls } : {}),
    };
    const connections = new Connections("test", access);
    try {
      const [slots, pong] = await connections.send(ELSEWHERE, [["CLUSTER", "ADDSLOTSRANGE", 0, 16383], ["PING"]]);
      expect([slots, pong]).toMatchObject([
        { ok: true, value: "OK" },
        { ok: true, value: "PONG" },
      ]);
      const isOk = async () => {
        const [info] = await connections.send(ELSEWHERE, [["CLUSTER", "INFO"]]);
        return info?.ok === true && String(info.value).includes("cluster_state:ok");
      };
      await until("the node serves its slots", isOk);
      expect(await connections.tryPort(ELSEWHERE.address, ELSEWHERE.port, 1_000)).toBeUndefined();
      // What nodes are called is not where they are: the client is redirected to that name, and takes the way to it.
      const { client, close } = openClusterClient([ELSEWHERE], access, "test");
      try {
        await client.connect();
        expect(await client.set("key", "value")).toBe("OK");
        expect(client.nodes().map(({ options }) => options.host)).toEqual([ELSEWHERE.address]);
      } finally {
        close();
      }
    } finally {
      connections.close();
      await server.stop();
    }
  });
});
