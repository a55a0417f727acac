import { createHash, randomBytes, X509Certificate } from "node:crypto";
import type { Access, TlsIdentity } from "../../components/access/types";
import type { ClusterCredentials } from "../../components/cluster/inventory";
import { ADMIN, REPLICATION } from "../../components/config/users";
import { renderUsersAcl, replicationUser } from "../../components/config/usersAcl";
import { certificateFiles } from "../../components/security/files";
import { issueCertificate, makeAuthority } from "../../components/security/x509";
import type { Engine } from "../../components/spec/spec";
import type { NodeDeclaration } from "../../infra/platforms/local/runner/types";
import type { ClientLogin } from "./clients";
import type { ServerSecurity } from "./servers";

let shared: Promise<Security> | undefined;

/** Longer than what is told to be about to end. */
const DAYS = 365;

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

  private constructor(authority: TlsIdentity, own: TlsIdentity, closed: boolean) {
    const admin = closed ? { username: ADMIN, password: randomBytes(16).toString("hex") } : {};
    this.#authority = authority;
    this.access = { ...admin, tls: { caCertificatePem: authority.certificatePem, identities: [own] } };
    this.login = { ...admin, tls: { ca: authority.certificatePem, cert: own.certificatePem, key: own.keyPem } };
  }

  /** The same for all clusters of a test process: who met a node of another one could be its member but for its ID, as without TLS. */
  static shared(): Promise<Security> {
    shared ??= Security.create();
    return shared;
  }

  /** @param closed whether there are users. Default: true; else everybody may do everything who shows a certificate */
  static async create({ closed = true } = {}): Promise<Security> {
    const now = new Date();
    const authority = await makeAuthority({ commonName: "tests", days: DAYS, now });
    const nobody = { addresses: [], dnsNames: [], days: DAYS, now };
    const own = await issueCertificate(authority, { ...nobody, commonName: ADMIN, usage: "client" });
    return new Security(authority, own, closed);
  }

  /** How a test's own clients come in at a node whose certificate carries this name. */
  loginAt(hostname: string | undefined): ClientLogin {
    return hostname === undefined ? this.login : { ...this.login, tls: { ...this.login.tls, servername: hostname } };
  }

  /** Arguments with which a MIGRATE that is sent by hand logs in. */
  get migrateAuth(): readonly string[] {
    const { username, password } = this.access;
    return username === undefined || password === undefined ? [] : ["AUTH2", username, password];
  }

  /** As a stack's output has them; there is nobody but `admin`. */
  get credentials(): ClusterCredentials {
    const { caCertificatePem = "", identities: [own] = [] } = this.access.tls ?? {};
    const { username = "", password = "" } = this.access;
    return { username, password, admin: { username, password }, tls: { caCertificatePem, ...own } };
  }

  /** What nodes log in with at their masters. */
  get replication(): { readonly username: string; readonly password: string } {
    return { username: REPLICATION, password: this.#replication };
  }

  /** Text of users.acl. */
  usersAcl(engine: Engine): string {
    const passwordHashes = [sha256(this.access.password ?? "")];
    return renderUsersAcl([
      { name: ADMIN, passwordHashes, keys: ["*"], channels: ["*"], commands: ["+@all"] },
      replicationUser(engine, REPLICATION, [sha256(this.#replication)]),
    ]);
  }

  /** A certificate of a node, another one each time. */
  certificate(name: string, addresses: readonly string[], dnsNames: readonly string[] = []): Promise<TlsIdentity> {
    const how = { commonName: name, addresses, dnsNames, usage: "node" as const, days: DAYS, now: new Date() };
    return issueCertificate(this.#authority, how);
  }

  /** A node of this engine at this address. @param hostname what its certificate carries instead of the address */
  async forNode(name: string, address: string, engine: Engine, hostname?: string): Promise<ServerSecurity> {
    const { certificatePem, keyPem } = await (hostname === undefined
      ? this.certificate(name, [address])
      : this.certificate(name, [], [hostname]));
    const { username, password } = this.replication;
    const closed = this.access.password !== undefined;
    const lines = [
      "tls-cert-file node.crt",
      "tls-key-file node.key",
      "tls-ca-cert-file ca.crt",
      "tls-auth-clients yes",
      "tls-cluster yes",
      "tls-replication yes",
      ...(closed ? ["aclfile users.acl", `masteruser ${username}`, `masterauth ${password}`] : []),
    ];
    return {
      conf: `${lines.join("\n")}\n`,
      files: {
        "node.crt": certificatePem,
        "node.key": keyPem,
        "ca.crt": this.#authority.certificatePem,
        ...(closed ? { "users.acl": this.usersAcl(engine) } : {}),
      },
      login: this.loginAt(hostname),
    };
  }

  /** The same as the local platform is told it. */
  async declared(name: string, addresses: readonly string[], engine: Engine): Promise<Required<SecretDeclaration>> {
    const { access } = this;
    const { certificatePem, keyPem } = await this.certificate(name, addresses);
    const { certificate, key } = certificateFiles(new X509Certificate(certificatePem).fingerprint256);
    const files = { [certificate]: certificatePem, [key]: keyPem, "ca.crt": this.#authority.certificatePem };
    return {
      login: {
        usersAcl: this.usersAcl(engine),
        replication: this.replication,
        monitor: { username: "monitor", passwords: ["none"] },
        access,
      },
      tls: { files, first: { certificate, key, trust: "ca.crt" }, access },
    };
  }
}

type SecretDeclaration = Pick<NodeDeclaration, "login" | "tls">;

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
