import { createPrivateKey, X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  type CertificateUsage,
  issueCertificate,
  makeAuthority,
  readCertificate,
} from "../../../components/security/x509";
import { AUTHORITY_EXTENSIONS, EC, hasOpenssl, opensslAuthority, opensslSigned, withOpenssl } from "./openssl";

const DAY = 24 * 60 * 60 * 1000;
const HOUR = 60 * 60 * 1000;
const now = new Date(Math.floor(Date.now() / 1000) * 1000);
const names = { addresses: ["10.0.0.7", "fd00::7"], dnsNames: ["db-0.example.com", "db-0"] };
const leaf = { commonName: "db-0", ...names, usage: "node" as CertificateUsage, days: 90, now };

describe("an authority", () => {
  test("signs itself, may sign certificates but no further authority, and begins an hour ago", async () => {
    const made = await makeAuthority({ commonName: "db authority 1", days: 3650, now });
    const certificate = new X509Certificate(made.certificatePem);
    expect(certificate.ca).toBe(true);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.checkPrivateKey(createPrivateKey(made.keyPem))).toBe(true);
    expect(made.keyPem).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
    expect(readCertificate(made.certificatePem)).toEqual({
      fingerprint: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
      commonName: "db authority 1",
      notBefore: new Date(now.getTime() - HOUR).toISOString(),
      notAfter: new Date(now.getTime() + 3650 * DAY).toISOString(),
      addresses: [],
      dnsNames: [],
      isAuthority: true,
    });
    expect(certificate.serialNumber).toMatch(/^[0-9A-F]{32}$/);
  });

  test("has another key and serial number each time", async () => {
    const [a, b] = await Promise.all([1, 2].map(() => makeAuthority({ commonName: "same", days: 1, now })));
    expect(a?.keyPem).not.toBe(b?.keyPem);
    const serials = [a, b].map((one) => new X509Certificate(one?.certificatePem ?? "").serialNumber);
    expect(new Set(serials).size).toBe(2);
  });

  test("can end in a year that two digits do not tell", async () => {
    const made = await makeAuthority({ commonName: "long", days: 100 * 365, now });
    expect(readCertificate(made.certificatePem).notAfter).toBe(new Date(now.getTime() + 36_500 * DAY).toISOString());
  });

  test.each(["", "x".repeat(65)])("is not made with a name that no certificate carries: %j", async (commonName) => {
    await expect(makeAuthority({ commonName, days: 1, now })).rejects.toThrow(/common name has 1 to 64/);
  });

  test.each(['a, O=b + c="d\\', "#0401", "Zürich 東京"])(
    "keeps every character of its name: %s",
    async (commonName) => {
      const made = await makeAuthority({ commonName, days: 1, now });
      expect(readCertificate(made.certificatePem).commonName).toBe(commonName);
    },
  );
});

describe("a certificate", () => {
  test("of a node has its names and serves both ends of a connection", async () => {
    const authority = await makeAuthority({ commonName: "a", days: 3650, now });
    const made = await issueCertificate(authority, leaf);
    const certificate = new X509Certificate(made.certificatePem);
    const root = new X509Certificate(authority.certificatePem);
    expect(certificate.checkIssued(root)).toBe(true);
    expect(certificate.verify(root.publicKey)).toBe(true);
    expect(certificate.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
    expect(certificate.checkPrivateKey(createPrivateKey(made.keyPem))).toBe(true);
    expect(readCertificate(made.certificatePem)).toMatchObject({
      commonName: "db-0",
      ...names,
      isAuthority: false,
      notAfter: new Date(now.getTime() + 90 * DAY).toISOString(),
    });
    expect(made.certificatePem.match(/BEGIN/g)).toHaveLength(1);
  });

  test("of a client has no names and cannot serve", async () => {
    const authority = await makeAuthority({ commonName: "a", days: 3650, now });
    const made = await issueCertificate(authority, { ...leaf, addresses: [], dnsNames: [], usage: "client" });
    const certificate = new X509Certificate(made.certificatePem);
    expect(certificate.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
    expect(certificate.subjectAltName).toBeUndefined();
  });

  test("ends no later and begins no earlier than its authority", async () => {
    const authority = await makeAuthority({ commonName: "a", days: 30, now });
    const made = readCertificate((await issueCertificate(authority, leaf)).certificatePem);
    const { notBefore, notAfter } = readCertificate(authority.certificatePem);
    expect(made).toMatchObject({ notBefore, notAfter });
  });

  test("is not issued by an authority that has ended, nor with another's key, nor for what is no name", async () => {
    const authority = await makeAuthority({ commonName: "a", days: 30, now });
    const later = new Date(now.getTime() + 31 * DAY);
    await expect(issueCertificate(authority, { ...leaf, now: later })).rejects.toThrow(/the authority has ended: 2/);
    const other = await makeAuthority({ commonName: "a", days: 30, now });
    const mixed = { ...authority, keyPem: other.keyPem };
    await expect(issueCertificate(mixed, leaf)).rejects.toThrow(/key is not that of its certificate/);
    await expect(issueCertificate(authority, { ...leaf, addresses: ["db-0"] })).rejects.toThrow(/no IP address/);
    await expect(issueCertificate(authority, { ...leaf, dnsNames: ["a b"] })).rejects.toThrow(/no host name/);
  });

  test("leaves nothing in the process that others could mistake for metadata of decorators", async () => {
    await makeAuthority({ commonName: "a", days: 30, now });
    expect("getMetadata" in Reflect || "getOwnMetadata" in Reflect).toBe(false);
  });
});

describe.skipIf(!hasOpenssl)("OpenSSL", () => {
  test("reads in an authority and a certificate what they are to say", async () => {
    const authority = await makeAuthority({ commonName: "db authority 1", days: 3650, now });
    const node = await issueCertificate(authority, leaf);
    withOpenssl({ ca: authority.certificatePem, node: node.certificatePem }, (openssl) => {
      const text = openssl("x509", "-in", "ca", "-noout", "-text");
      expect(text).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
      expect(text).toMatch(/Key Usage: critical\s+Certificate Sign, CRL Sign/);
      const own = /Subject Key Identifier:\s+([0-9A-F:]+)/.exec(text)?.[1];
      expect(own).toMatch(/^([0-9A-F]{2}:){19}[0-9A-F]{2}$/);
      const of = openssl("x509", "-in", "node", "-noout", "-text");
      expect(of).toMatch(/Basic Constraints: critical\s+CA:FALSE/);
      expect(of).toMatch(/Key Usage: critical\s+Digital Signature\n/);
      expect(of).toMatch(/TLS Web Server Authentication, TLS Web Client Authentication/);
      expect(of).toMatch(/IP Address:10\.0\.0\.7, IP Address:FD00:0:0:0:0:0:0:7, DNS:db-0\.example\.com, DNS:db-0\n/);
      expect(/Authority Key Identifier:\s+(?:keyid:)?([0-9A-F:]+)/.exec(of)?.[1]).toBe(own);
      expect(of).toMatch(/ASN1 OID: prime256v1/);
    });
  });

  test("verifies nodes and clients for what they are for, and no more", async () => {
    const authority = await makeAuthority({ commonName: "a", days: 3650, now });
    const other = await makeAuthority({ commonName: "a", days: 3650, now });
    const [node, client] = [
      await issueCertificate(authority, leaf),
      await issueCertificate(authority, { ...leaf, addresses: [], dnsNames: [], usage: "client" }),
    ];
    const files = { ca: authority.certificatePem, other: other.certificatePem, node: node.certificatePem };
    withOpenssl({ ...files, client: client.certificatePem }, (openssl) => {
      const strictly = ["verify", "-x509_strict", "-auth_level", "2"];
      for (const name of ["-verify_ip 10.0.0.7", "-verify_ip fd00::7", "-verify_hostname db-0"])
        openssl(...strictly, "-purpose", "sslserver", ...name.split(" "), "-CAfile", "ca", "node");
      for (const file of ["node", "client"]) openssl(...strictly, "-purpose", "sslclient", "-CAfile", "ca", file);
      const refused = (...args: string[]) => expect(() => openssl(...strictly, ...args), args.join(" ")).toThrow();
      refused("-purpose", "sslserver", "-CAfile", "ca", "client");
      refused("-purpose", "sslserver", "-CAfile", "other", "node");
      refused("-purpose", "sslserver", "-verify_hostname", "db-1", "-CAfile", "ca", "node");
      refused("-purpose", "sslserver", "-verify_ip", "10.0.0.8", "-CAfile", "ca", "node");
    });
  });

  test.each([
    ["EC P-256", EC],
    ["EC P-384", ["ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"]],
    ["EC P-521", ["ec", "-pkeyopt", "ec_paramgen_curve:secp521r1"]],
    ["RSA", ["rsa:2048"]],
  ] as const)("verifies what a given %s authority signs, whatever its key's form and its name", async (_, key) => {
    const subject = "/C=CH/O=Müller \\/ Söhne, Ltd./CN=inner authority";
    const given = opensslAuthority(subject, key);
    const traditional = withOpenssl({ key: given.keyPem }, (openssl) => openssl("pkey", "-in", "key", "-traditional"));
    expect(traditional).toMatch(/BEGIN (EC|RSA) PRIVATE KEY/);
    await Promise.all(
      [given.keyPem, traditional].map(async (keyPem) => {
        const node = await issueCertificate({ ...given, keyPem }, leaf);
        withOpenssl({ ca: given.certificatePem, node: node.certificatePem }, (openssl) => {
          openssl("verify", "-purpose", "sslserver", "-CAfile", "ca", "node");
          // To the byte: some compare names like that.
          const issuer = openssl("x509", "-in", "node", "-noout", "-issuer", "-nameopt", "show_type,oneline");
          const own = openssl("x509", "-in", "ca", "-noout", "-subject", "-nameopt", "show_type,oneline");
          expect(issuer.replace("issuer=", "")).toBe(own.replace("subject=", ""));
        });
      }),
    );
  });

  test("verifies what an intermediate signs, from the node's own PEM and the root", async () => {
    const root = opensslAuthority("/CN=root");
    const between = opensslSigned(root, "/CN=between", AUTHORITY_EXTENSIONS);
    const chain = { ...between, certificatePem: `${between.certificatePem}${root.certificatePem}` };
    const node = await issueCertificate(chain, leaf);
    expect(node.certificatePem.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    withOpenssl({ root: root.certificatePem, node: node.certificatePem }, (openssl) => {
      openssl("verify", "-purpose", "sslserver", "-CAfile", "root", "-untrusted", "node", "node");
    });
    // Nor does it outlive who signed its authority.
    const short = opensslSigned(root, "/CN=short", AUTHORITY_EXTENSIONS, { days: 90 });
    const long = await issueCertificate(
      { ...short, certificatePem: `${short.certificatePem}${root.certificatePem}` },
      { ...leaf, days: 60 },
    );
    expect(readCertificate(long.certificatePem).notAfter).toBe(readCertificate(root.certificatePem).notAfter);
  });

  test("makes an authority without a key identifier, and it signs", async () => {
    const given = opensslAuthority("/CN=plain", EC, ["-addext", "subjectKeyIdentifier=none"]);
    const node = await issueCertificate(given, leaf);
    withOpenssl({ ca: given.certificatePem, node: node.certificatePem }, (openssl) => {
      expect(openssl("x509", "-in", "ca", "-noout", "-text")).not.toMatch(/Subject Key Identifier/);
      openssl("verify", "-purpose", "sslserver", "-CAfile", "ca", "node");
    });
  });
});

describe("reading", () => {
  test.each([
    ["", /^is empty; give a certificate as PEM/],
    ["MIIB", /^is not PEM/],
    ["-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----", /^is a private key, which nobody else may see/],
    ["-----BEGIN PUBLIC KEY-----\nSECRET\n-----END PUBLIC KEY-----", /^is PEM of another kind, PUBLIC KEY/],
    [
      "-----BEGIN CERTIFICATE-----\nSECRET\n-----END CERTIFICATE-----",
      /^is PEM, but the certificate in it cannot be read/,
    ],
  ])("says what is wrong with %j, and shows nothing of it", (pem, message) => {
    expect(() => readCertificate(pem)).toThrow(message);
    expect(() => readCertificate(pem)).not.toThrow(/SECRET/);
  });

  test.skipIf(!hasOpenssl)("takes names that hold commas and quotes as what they are", () => {
    const one = opensslAuthority("/CN=a", EC, ["-addext", "subjectAltName=DNS:A.Example.com,URI:http://a/,IP:::1"]);
    expect(readCertificate(one.certificatePem)).toMatchObject({ dnsNames: ["a.example.com"], addresses: ["::1"] });
  });
});
