import { describe, expect, test } from "vitest";
import { certificatesRunner } from "../../../components/formation/runner/certificates";
import { passwordsRunner } from "../../../components/formation/runner/passwords";
import type { CertificatesInputs, CertificateTable } from "../../../components/security/certificates";
import { filesOf, trustFile } from "../../../components/security/files";
import { nextTable } from "../../../components/security/nextTable";
import { issueCertificate, makeAuthority } from "../../../components/security/x509";
import { hasOpenssl, withOpenssl } from "./openssl";

const now = new Date();
const names = { addresses: ["10.0.0.7"], dnsNames: ["db-0-a"] };
const inputs: CertificatesInputs = {
  cluster: "db",
  nodes: { "db-0-a": names },
  clients: ["admin", "client"],
  rotation: "",
  authorityRotation: "",
  days: { certificate: 365, authority: 3650, renewBefore: 60, renewAuthorityBefore: 365 },
  given: {},
  table: {},
};
const authority = (commonName: string) => makeAuthority({ commonName, days: 3650, now });
const reasons = async (given: unknown, more: Partial<CertificatesInputs> = {}) =>
  (await nextTable({}, { ...inputs, ...more, given: given as CertificatesInputs["given"] }, now)).problems.map(
    ({ reason }) => reason,
  );

describe("handed-in certificates", () => {
  test("for nobody are refused: most likely a name is misspelt", async () => {
    const one = await issueCertificate(await authority("own"), {
      commonName: "x",
      ...names,
      usage: "node",
      days: 9,
      now,
    });
    expect(await reasons({ nodes: { "db-0-A": one }, clients: { app: one, constructor: one } })).toEqual([
      "tls.nodeCertificates.db-0-A: there is no node of that name; use one of db-0-a",
      "tls.clientCertificates.app: nobody has that name; use one of admin, client, or add it to tls.clients",
      "tls.clientCertificates.constructor: nobody has that name; use one of admin, client, or add it to tls.clients",
    ]);
  });

  test("that were outputs of something else than text are refused, and not shown", async () => {
    const found = await reasons({
      authority: { certificatePem: 123456789 },
      caCertificatePem: ["not-to-be-seen"],
      nodes: { "db-0-a": { certificatePem: "", keyPem: { not: "not-to-be-seen" } } },
    });
    expect(found).toEqual([
      "tls.authority.certificatePem: got a number; must be a string, PEM",
      "tls.authority.keyPem: missing; must be a string, PEM",
      "tls.caCertificatePem: got a object; must be a string, PEM",
      "tls.nodeCertificates.db-0-a.keyPem: got a object; must be a string, PEM",
    ]);
  });

  test("say where they stand, by the names of the arguments", async () => {
    const [own, other] = await Promise.all([authority("own"), authority("other")]);
    const wrong = await issueCertificate(other, { commonName: "x", ...names, usage: "node", days: 9, now });
    const found = await reasons({
      caCertificatePem: own.certificatePem,
      nodes: { "db-0-a": { ...wrong, keyPem: own.keyPem } },
    });
    expect(found).toEqual([
      expect.stringMatching(/^tls\.nodeCertificates\.db-0-a\.keyPem: is not the key of CN=x/),
      expect.stringMatching(/^tls\.nodeCertificates\.db-0-a\.certificatePem: CN=.* and not by CN=own/),
      expect.stringMatching(/^tls\.clientCertificates\.admin: no certificate is given/),
      expect.stringMatching(/^tls\.clientCertificates\.client: no certificate is given/),
    ]);
  });

  test("may have anything around them: what nodes get is the certificates alone", async () => {
    const own = await authority("own");
    const junk = (pem: string) => `Subject: junk\r\n# "quoted"\n${pem}\ntls-auth-clients no\n${pem}`;
    const given = { authority: { certificatePem: junk(own.certificatePem), keyPem: `junk\n${own.keyPem}` } };
    const { table, problems } = await nextTable({}, { ...inputs, given }, now);
    expect(problems).toEqual([]);
    for (const text of Object.values(filesOf(table as CertificateTable, "db-0-a").files))
      expect(text).toMatch(/^(-----BEGIN (CERTIFICATE|PRIVATE KEY)-----\n[A-Za-z0-9+/=\n]+-----END \2-----\n)+$/);
  });

  test.skipIf(!hasOpenssl)(
    "with a passphrase are refused, in both forms, for nobody could be asked for it",
    async () => {
      const own = await authority("own");
      const forms = withOpenssl({ key: own.keyPem }, (openssl) => [
        openssl("pkey", "-in", "key", "-aes256", "-passout", "pass:secret"),
        openssl("ec", "-in", "key", "-aes256", "-passout", "pass:secret"),
      ]);
      for (const keyPem of forms)
        expect(await reasons({ authority: { certificatePem: own.certificatePem, keyPem } })).toEqual([
          expect.stringMatching(/^tls\.authority\.keyPem: is encrypted, and nodes have nobody to ask/),
        ]);
    },
  );

  test("a bundle from which one authority is taken is another file, so that it is not trusted any more", async () => {
    const [a, b] = await Promise.all([authority("a"), authority("b")]);
    const admin = await issueCertificate(a, {
      commonName: "admin",
      addresses: [],
      dnsNames: [],
      usage: "client",
      days: 9,
      now,
    });
    const node = await issueCertificate(a, { commonName: "db-0-a", ...names, usage: "node", days: 9, now });
    const handed = { nodes: { "db-0-a": node }, clients: { admin, client: admin } };
    const both = { ...inputs, given: { ...handed, caCertificatePem: a.certificatePem + b.certificatePem } };
    const first = await nextTable({}, both, now);
    const one = { ...inputs, given: { ...handed, caCertificatePem: a.certificatePem } };
    const second = await nextTable({ ...both, table: first.table }, one, now);
    const [before, after] = [first.table, second.table] as [CertificateTable, CertificateTable];
    const latest = after.authorities[0]?.generation ?? 0;
    const name = trustFile(after, latest);
    expect(name).not.toBe(trustFile(before, 1));
    expect(filesOf(after, "db-0-a").files[name]).toBe(a.certificatePem);
  });
});

describe("clients and users whose names every object has", () => {
  test("get certificates of their own, from the first run or later", async () => {
    const clients = ["admin", "client", "constructor", "toString"];
    const first = await certificatesRunner.check({}, inputs);
    const later = await certificatesRunner.check(first.inputs as CertificatesInputs, { ...inputs, clients });
    expect(later.failures).toEqual([]);
    expect(Object.keys((later.inputs as { table: CertificateTable }).table.clients).sort()).toEqual(
      [...clients].sort(),
    );
  });

  test("get passwords of their own, from the first run or later", async () => {
    const users = { cluster: "db", users: ["admin"], rotation: "", given: {}, table: {} };
    const first = await passwordsRunner.check({}, users);
    const later = await passwordsRunner.check(first.inputs, { ...users, users: ["admin", "constructor", "toString"] });
    const { table } = later.inputs as { table: Record<string, { current: unknown }> };
    for (const name of ["constructor", "toString"])
      expect(Object.getOwnPropertyDescriptor(table, name)?.value).toMatchObject({
        generation: 1,
        current: expect.stringMatching(/^[A-Za-z0-9]{32}$/),
      });
  });
});

test("a password that was an output of something else than text is refused, and not shown", async () => {
  const given = { app: 20261127, other: "" } as unknown as Record<string, string>;
  const users = { cluster: "db", users: ["app", "other"], rotation: "", given, table: {} };
  const { failures } = await passwordsRunner.check({}, users);
  expect(failures).toEqual([
    { property: "given", reason: "users.app.password: got a number; must be a string, better a secret Output" },
    { property: "given", reason: "users.other.password: is empty; give one, or leave it out" },
  ]);
});
