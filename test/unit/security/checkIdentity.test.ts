import { describe, expect, test } from "vitest";
import type { TlsIdentity } from "../../../components/access/types";
import type { WantedIdentity } from "../../../components/security/checkIdentity";
import { checkAuthority, checkIdentity, issueCertificate, makeAuthority } from "../../../components/security/x509";
import { AUTHORITY_EXTENSIONS, EC, hasOpenssl, opensslAuthority, opensslSigned, withOpenssl } from "./openssl";

const DAY = 24 * 60 * 60 * 1000;
const now = new Date(Math.floor(Date.now() / 1000) * 1000);
const later = (days: number) => new Date(now.getTime() + days * DAY);
/** What OpenSSL makes begins when it does so. */
const soon = later(0.1);
const names = { addresses: ["10.0.0.7", "fd00::7"], dnsNames: ["db-0.example.com"] };

const authority = await makeAuthority({ commonName: "ours", days: 100, now });
const other = await makeAuthority({ commonName: "other", days: 100, now });
const leaf = { commonName: "db-0", ...names, usage: "node" as const, days: 50, now };
const node = await issueCertificate(authority, leaf);
const client = await issueCertificate(authority, { ...leaf, addresses: [], dnsNames: [], usage: "client" });
const wanted = { authorityPem: authority.certificatePem, ...names, usage: "node" as const, now: soon };
const check = (identity: typeof node, more: Partial<WantedIdentity> = {}) =>
  checkIdentity("tls.nodeCertificates.db-0", identity, { ...wanted, ...more });

describe("a handed-in certificate", () => {
  test("is taken where nothing is wrong", () => {
    expect(check(node)).toEqual([]);
    expect(check(client, { addresses: [], dnsNames: [], usage: "client" })).toEqual([]);
    expect(check(node, { authorityPem: `${other.certificatePem}${authority.certificatePem}` })).toEqual([]);
    expect(check(node, { addresses: ["fd00:0:0::0007"], dnsNames: ["DB-0.example.com"] })).toEqual([]);
  });

  test("has all its problems told at once", () => {
    const problems = check(
      { ...client, keyPem: node.keyPem },
      { authorityPem: other.certificatePem, now: later(51), usage: "node" },
    );
    expect(problems).toEqual([
      "tls.nodeCertificates.db-0.keyPem: is not the key of CN=db-0; give the one that its certificate was made for",
      `tls.nodeCertificates.db-0.certificatePem: CN=db-0 has ended at ${later(50).toISOString()}; give one that holds now`,
      "tls.nodeCertificates.db-0.certificatePem: CN=db-0 was signed by CN=ours, and not by CN=other; give one of theirs, followed by those between them, or add the authority",
      "tls.nodeCertificates.db-0.certificatePem: is for other names (none); it must have 10.0.0.7, fd00::7, db-0.example.com among its subject alternative names: issue it for them too",
      "tls.nodeCertificates.db-0.certificatePem: its extended key usage lacks serverAuth, and a node serves as well as it connects to others; issue it for serverAuth and clientAuth",
    ]);
  });

  test("must be valid already", () => {
    expect(check(node, { now: later(-1) })[0]).toMatch(/CN=db-0 is not valid before 2.*; give one that holds now$/);
  });

  test("is no authority's, and none that an authority of the same name signed", async () => {
    expect(check(authority)).toContain(
      "tls.nodeCertificates.db-0.certificatePem: CN=ours is the certificate of an authority; give one for a node first, and those of authorities after it",
    );
    const impostor = await makeAuthority({ commonName: "ours", days: 100, now });
    expect(check(await issueCertificate(impostor, leaf))).toEqual([
      expect.stringMatching(/CN=db-0 was signed by CN=ours, and not by CN=ours/),
    ]);
  });

  test.each([
    ["", /keyPem: is empty; give a private key as PEM/],
    ["abc", /keyPem: is not PEM; give a private key as PEM/],
    [node.certificatePem, /keyPem: is PEM of another kind, CERTIFICATE; give a private key as PEM/],
    [
      "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n",
      /keyPem: is PEM, but the key in it cannot be read/,
    ],
    [
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nSECRET\n-----END ENCRYPTED PRIVATE KEY-----\n",
      /keyPem: is encrypted, and nodes have nobody to ask for its passphrase; give it decrypted \(openssl pkey\)/,
    ],
    [
      "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nSECRET\n-----END EC PRIVATE KEY-----\n",
      /keyPem: is encrypted/,
    ],
  ])("with something else as its key is refused, and it is not shown: %j", (keyPem, message) => {
    const problems = check({ ...node, keyPem });
    expect(problems).toEqual([expect.stringMatching(message)]);
    expect(problems.join()).not.toMatch(/SECRET|MII/);
  });

  test("and a key beside the certificate is told, since certificates are public", () => {
    const problems = check({ ...node, certificatePem: `${node.keyPem}${node.certificatePem}` });
    expect(problems).toEqual([
      expect.stringMatching(/has a private key beside the certificate; give the key as keyPem/),
    ]);
  });

  test.skipIf(!hasOpenssl)("with an encrypted key by OpenSSL, both forms", () => {
    const given = opensslSigned(authority, "/CN=x", ["subjectAltName=IP:10.0.0.7,IP:fd00::7,DNS:*.example.com"]);
    expect(check(given)).toEqual([]);
    withOpenssl({ key: given.keyPem }, (openssl) => {
      for (const form of [[], ["-traditional"]]) {
        const keyPem = openssl("pkey", "-in", "key", "-aes256", "-passout", "pass:secret", ...form);
        expect(check({ ...given, keyPem })).toEqual([expect.stringMatching(/keyPem: is encrypted/)]);
      }
      // Its parameters before it, as older commands write them.
      const parameters = openssl("ecparam", "-name", "prime256v1");
      const keyPem = `${parameters}${openssl("pkey", "-in", "key", "-traditional")}`;
      expect(check({ ...given, keyPem })).toEqual([]);
    });
  });

  // OpenSSL is asked the same question, so that what is taken here is what servers take.
  test.skipIf(!hasOpenssl).each([
    ["none", [], true],
    ["both", ["extendedKeyUsage=serverAuth,clientAuth"], true],
    ["serverAuth", ["extendedKeyUsage=serverAuth"], false],
    ["any", ["extendedKeyUsage=anyExtendedKeyUsage"], false],
  ] as const)("may have these extended key usages as a node: %s", (_, extensions, isTaken) => {
    const san = "subjectAltName=IP:10.0.0.7,IP:fd00::7,DNS:db-0.example.com";
    const given = opensslSigned(authority, "/CN=x", [san, ...extensions]);
    expect(check(given).length === 0).toBe(isTaken);
    const byOpenssl = withOpenssl({ ca: authority.certificatePem, leaf: given.certificatePem }, (openssl) => {
      try {
        for (const purpose of ["sslserver", "sslclient"])
          openssl("verify", "-purpose", purpose, "-CAfile", "ca", "leaf");
        return true;
      } catch {
        return false;
      }
    });
    expect(byOpenssl).toBe(isTaken);
  });

  test.skipIf(!hasOpenssl)(
    "is told from an impostor's by its signature, where names and key identifiers tell nothing",
    async () => {
      const [ours, theirs] = [1, 2].map(() =>
        opensslAuthority("/CN=same", EC, ["-addext", "subjectKeyIdentifier=none"]),
      );
      const san = [
        "subjectAltName=IP:10.0.0.7,IP:fd00::7,DNS:db-0.example.com",
        "subjectKeyIdentifier=none",
        "authorityKeyIdentifier=none",
      ];
      const authorityPem = ours?.certificatePem ?? "";
      expect(check(opensslSigned(ours as TlsIdentity, "/CN=x", san), { authorityPem })).toEqual([]);
      expect(check(opensslSigned(theirs as TlsIdentity, "/CN=x", san), { authorityPem })).toEqual([
        expect.stringMatching(/CN=x was signed by CN=same, and not by CN=same/),
      ]);
    },
  );

  test.skipIf(!hasOpenssl)("may come through intermediates, if they come along", () => {
    const root = opensslAuthority("/CN=root", EC);
    const between = opensslSigned(root, "/CN=between", AUTHORITY_EXTENSIONS);
    const given = opensslSigned(between, "/CN=x", ["subjectAltName=IP:10.0.0.7,IP:fd00::7,DNS:db-0.example.com"]);
    const authorityPem = root.certificatePem;
    const whole = { ...given, certificatePem: `${given.certificatePem}${between.certificatePem}` };
    expect(check(whole, { authorityPem })).toEqual([]);
    expect(check(given, { authorityPem })).toEqual([
      expect.stringMatching(/CN=x was signed by CN=between, and not by CN=root; give one of theirs, followed by those/),
    ]);
    const noAuthority = opensslSigned(root, "/CN=between", []);
    const forged = opensslSigned(noAuthority, "/CN=x", ["subjectAltName=IP:10.0.0.7,IP:fd00::7,DNS:db-0.example.com"]);
    const chain = { ...forged, certificatePem: `${forged.certificatePem}${noAuthority.certificatePem}` };
    expect(check(chain, { authorityPem })).toEqual([
      expect.stringMatching(/CN=between signed another one, but is no authority/),
    ]);
  });

  test.skipIf(!hasOpenssl)("with a short RSA key is refused as OpenSSL does, and one that signed itself", () => {
    const san = ["subjectAltName=IP:10.0.0.7,IP:fd00::7,DNS:db-0.example.com"];
    const short = opensslSigned(authority, "/CN=x", san, { key: ["rsa:1024"] });
    expect(check(short)).toEqual([expect.stringMatching(/CN=x has an RSA key of 1024 bits, which OpenSSL refuses/)]);
    const itself = opensslAuthority("/CN=self", EC, [
      "-addext",
      "basicConstraints=critical,CA:FALSE",
      "-addext",
      ...san,
    ]);
    expect(check(itself)).toEqual([
      expect.stringMatching(/CN=self signed itself; give one that was signed by CN=ours/),
    ]);
  });
});

describe("a handed-in authority", () => {
  const checkIt = (given: { certificatePem: string; keyPem?: string }, when = soon) =>
    checkAuthority("tls.authority", given, { now: when });

  test("is taken where nothing is wrong, with its key and without", () => {
    expect(checkIt(authority)).toEqual([]);
    expect(checkIt({ certificatePem: `${authority.certificatePem}${other.certificatePem}` })).toEqual([]);
  });

  test("has all its problems told at once", () => {
    expect(checkIt({ ...node, keyPem: authority.keyPem }, later(51))).toEqual([
      "tls.authority.certificatePem: CN=db-0 is no authority (no basicConstraints CA:TRUE, or its key usage lacks keyCertSign); give certificates of authorities only",
      "tls.authority.keyPem: is not the key of CN=db-0; give the one that its certificate was made for",
      `tls.authority.certificatePem: CN=db-0 has ended at ${later(50).toISOString()}; give one that holds now`,
      "tls.authority.certificatePem: CN=db-0 was signed by CN=ours, whose certificate is missing; add those up to the root, which servers look for",
    ]);
  });

  test("has ended: it cannot sign, but a bundle may keep one that has", async () => {
    const problem = `tls.authority.certificatePem: CN=ours has ended at ${later(100).toISOString()}`;
    expect(checkIt(authority, later(101))).toEqual([`${problem}; give one that holds now`]);
    expect(checkIt({ certificatePem: authority.certificatePem }, later(101))).toEqual([
      `${problem}; give one that holds`,
    ]);
    const long = await makeAuthority({ commonName: "long", days: 300, now });
    expect(checkIt({ certificatePem: `${authority.certificatePem}${long.certificatePem}` }, later(101))).toEqual([]);
  });

  test.skipIf(!hasOpenssl)("comes with its root, and has a key that signs", () => {
    const root = opensslAuthority("/CN=root", EC);
    const between = opensslSigned(root, "/CN=between", AUTHORITY_EXTENSIONS);
    expect(checkIt(between)).toEqual([expect.stringMatching(/CN=between was signed by CN=root, whose certificate is/)]);
    expect(checkIt({ ...between, certificatePem: `${between.certificatePem}${root.certificatePem}` })).toEqual([]);
    expect(checkIt(opensslAuthority("/CN=ed", ["ed25519"]))).toEqual([
      "tls.authority.keyPem: is a key of type ed25519; an authority's key is EC (P-256, P-384, P-521) or RSA",
    ]);
    expect(checkIt(opensslAuthority("/CN=k", ["ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"]))).toEqual([
      expect.stringMatching(/keyPem: is a key of type ec on curve secp256k1; an authority's key is/),
    ]);
  });
});
