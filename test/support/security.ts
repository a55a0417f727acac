import { createHash, randomBytes } from "node:crypto";
import type { Access, TlsIdentity } from "../../components/access/types";
import { ADMIN, REPLICATION } from "../../components/config/users";
import { renderUsersAcl, replicationUser } from "../../components/config/usersAcl";
import { issueCertificate, makeAuthority } from "../../components/security/x509";
import type { Engine } from "../../components/spec/spec";
import type { ClientLogin } from "./clients";
import type { ServerSecurity } from "./servers";

/**
 * What servers of tests below Pulumi need to speak TLS only and to be closed, as the component makes them: an authority, a
 * certificate a node, `admin` and the user of replicas with the rights that it has to have, and nobody else.
 */
export class Security {
  /** How formation comes in. */
  readonly access: Access;
  /** How a test's own clients do. */
  readonly login: ClientLogin;
  readonly #authority: TlsIdentity;
  readonly #replication = randomBytes(16).toString("hex");

  private constructor(authority: TlsIdentity, own: TlsIdentity) {
    const password = randomBytes(16).toString("hex");
    this.#authority = authority;
    this.access = {
      username: ADMIN,
      password,
      tls: { caCertificatePem: authority.certificatePem, identities: [own] },
    };
    this.login = {
      username: ADMIN,
      password,
      tls: { ca: authority.certificatePem, cert: own.certificatePem, key: own.keyPem },
    };
  }

  static async create(): Promise<Security> {
    const now = new Date();
    const authority = await makeAuthority({ commonName: "tests", days: 1, now });
    const nobody = { addresses: [], dnsNames: [], days: 1, now };
    return new Security(
      authority,
      await issueCertificate(authority, { ...nobody, commonName: ADMIN, usage: "client" }),
    );
  }

  /** A node of this engine at this address; each time with another certificate. */
  async forNode(name: string, address: string, engine: Engine): Promise<ServerSecurity> {
    const { certificatePem, keyPem } = await issueCertificate(this.#authority, {
      commonName: name,
      addresses: [address],
      dnsNames: [],
      usage: "node",
      days: 1,
      now: new Date(),
    });
    const usersAcl = renderUsersAcl([
      {
        name: ADMIN,
        passwordHashes: [sha256(this.access.password ?? "")],
        keys: ["*"],
        channels: ["*"],
        commands: ["+@all"],
      },
      replicationUser(engine, REPLICATION, [sha256(this.#replication)]),
    ]);
    const lines = [
      "tls-cert-file node.crt",
      "tls-key-file node.key",
      "tls-ca-cert-file ca.crt",
      "tls-auth-clients yes",
      "tls-cluster yes",
      "tls-replication yes",
      "aclfile users.acl",
      `masteruser ${REPLICATION}`,
      `masterauth ${this.#replication}`,
    ];
    return {
      conf: `${lines.join("\n")}\n`,
      files: {
        "node.crt": certificatePem,
        "node.key": keyPem,
        "ca.crt": this.#authority.certificatePem,
        "users.acl": usersAcl,
      },
      login: this.login,
    };
  }
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
