import { describe, expect, test } from "vitest";
import { certificatesRunner } from "../../../components/formation/runner/certificates";
import { UNKNOWN } from "../../../components/formation/runner/unknowns";
import {
  type CertificatesInputs,
  type CertificateTable,
  expiryOf,
  issuedOf,
} from "../../../components/security/certificates";
import { nextTable } from "../../../components/security/nextTable";
import { issueCertificate, makeAuthority, readCertificate } from "../../../components/security/x509";
import { AUTHORITY_EXTENSIONS, EC, hasOpenssl, opensslAuthority, opensslSigned } from "./openssl";

const DAY = 24 * 60 * 60 * 1000;
const start = new Date(Math.floor(Date.now() / 1000) * 1000);
const later = (days: number) => new Date(start.getTime() + days * DAY);
const names = { addresses: ["10.0.0.1"], dnsNames: ["db-0"] };
const plain: CertificatesInputs = {
  cluster: "db",
  nodes: { "db-0": names, "db-1": { addresses: ["10.0.0.2"], dnsNames: ["db-1"] } },
  clients: ["app"],
  rotation: "",
  authorityRotation: "",
  days: { certificate: 90, authority: 3650, renewBefore: 30, renewAuthorityBefore: 365 },
  given: {},
  table: {},
};
type Made = CertificatesInputs & { readonly table: CertificateTable };

async function next(old: Partial<CertificatesInputs>, inputs: CertificatesInputs, now = start): Promise<Made> {
  const { table, problems } = await nextTable(old, inputs, now);
  expect(problems).toEqual([]);
  return { ...inputs, table: table as CertificateTable };
}

async function problemsOf(inputs: Partial<CertificatesInputs>, now = start): Promise<string[]> {
  const { table, problems } = await nextTable({}, { ...plain, ...inputs }, now);
  expect(table).toEqual({});
  return problems.map(({ property, reason }) => `${property}: ${reason}`);
}

const authority = await makeAuthority({ commonName: "given", days: 365, now: start });
const byAuthority = (commonName: string, address: string) =>
  issueCertificate(authority, {
    ...{ commonName, addresses: [address], dnsNames: [commonName], usage: "node", days: 90, now: start },
  });
const givenNodes = { "db-0": await byAuthority("db-0", "10.0.0.1"), "db-1": await byAuthority("db-1", "10.0.0.2") };
const caCertificatePem = authority.certificatePem;

describe("a made authority", () => {
  test("is renewed before its end, and the former one goes on signing until a third comes", async () => {
    let at = await next({}, plain);
    const first = at.table.authorities[0];
    for (const [days, generations] of [
      [3650 - 366, [1]],
      [3650 - 364, [2, 1]],
      [3650 - 10, [2, 1]],
      [7000, [3, 2, 1]],
      [10_400, [4, 3, 2]],
    ] as const) {
      at = await next(at, plain, later(days));
      expect(at.table.authorities.map(({ generation }) => generation)).toEqual(generations);
      expect(at.table.nodes["db-0"]?.[0]?.authority).toBe(generations[0]);
    }
    expect(at.table.authorities.map(({ fingerprint }) => fingerprint)).not.toContain(first?.fingerprint);
  });

  test("tells its cluster and generation by its name", async () => {
    const { table } = await next(await next({}, plain), { ...plain, authorityRotation: "2" });
    const called = table.authorities.map(({ certificatePem }) => readCertificate(certificatePem).commonName);
    expect(called).toEqual(["db authority 2", "db authority 1"]);
  });
});

describe("certificates", () => {
  test("are renewed within so many days of their end, and never in the first half of their time", async () => {
    const at = await next({}, plain);
    expect((await next(at, plain, later(59))).table).toBe(at.table);
    const renewed = await next(at, plain, later(60.5));
    expect(renewed.table.nodes["db-0"]?.map(({ fingerprint }) => fingerprint)).toEqual([
      expect.not.stringMatching(at.table.nodes["db-0"]?.[0]?.fingerprint ?? ""),
      at.table.nodes["db-0"]?.[0]?.fingerprint,
    ]);
    const short = { ...plain, days: { ...plain.days, certificate: 10 } };
    const brief = await next({}, short);
    expect((await next(brief, short, later(4.5))).table).toBe(brief.table);
    expect((await next(brief, short, later(5.5))).table).not.toBe(brief.table);
  });

  test("are made anew for a node whose names changed, in whatever order and spelling they come, and for no other", async () => {
    const at = await next(
      {},
      { ...plain, nodes: { ...plain.nodes, "db-0": { addresses: ["fd00::1", "10.0.0.1"], dnsNames: ["a", "b"] } } },
    );
    const same = { addresses: ["10.0.0.1", "FD00:0::1"], dnsNames: ["B", "a"] };
    expect((await next(at, { ...plain, nodes: { ...plain.nodes, "db-0": same } })).table).toBe(at.table);
    const { table } = await next(at, { ...plain, nodes: { ...plain.nodes, "db-0": names } });
    expect(readCertificate(table.nodes["db-0"]?.[0]?.certificatePem ?? "")).toMatchObject(names);
    expect(table.nodes["db-0"]?.[1]).toEqual(at.table.nodes["db-0"]?.[0]);
    expect(table.nodes["db-1"]).toEqual(at.table.nodes["db-1"]);
    expect(table.clients).toEqual(at.table.clients);
  });

  test("keep host names that others were told to come by until they are renewed for another reason", async () => {
    const told = (name: string) => ({ addresses: ["10.0.0.1"], dnsNames: [name, "db-0"], required: [name] });
    const namesIn = ({ table }: Made) =>
      [...readCertificate(table.nodes["db-0"]?.[0]?.certificatePem ?? "").dnsNames].sort();
    const step = (at: Partial<CertificatesInputs>, node: CertificatesInputs["nodes"][string], more = {}, now = start) =>
      next(at, { ...plain, nodes: { ...plain.nodes, "db-0": node }, ...more }, now);
    const one = await step({}, told("a.one"));
    const gone = await step(one, names);
    // None is made: the one that is there is good for both.
    expect(gone.table).toEqual(one.table);
    expect((await step(gone, names)).table).toBe(gone.table);
    const other = await step(one, told("a.other"));
    expect(namesIn(other)).toEqual(["a.one", "a.other", "db-0"]);
    expect((await step(other, told("a.other"))).table).toBe(other.table);
    expect(namesIn(await step(gone, names, { rotation: "2" }))).toEqual(["db-0"]);
    expect(namesIn(await step(gone, names, {}, later(61)))).toEqual(["db-0"]);
    // Who renews while names go does not take them from clients that have them.
    expect(namesIn(await step(one, names, { rotation: "2" }))).toEqual(["a.one", "db-0"]);
  });

  test("go with their nodes and clients", async () => {
    const at = await next(await next({}, plain), { ...plain, nodes: { "db-1": names }, clients: [] });
    expect(Object.keys(at.table.nodes)).toEqual(["db-1"]);
    expect(at.table.clients).toEqual({});
  });

  test("for what is no name are a problem, all at once", async () => {
    const nodes = { "db-0": { addresses: ["db-0", "fe80::1%eth0"], dnsNames: ["a b"] } };
    expect(await problemsOf({ nodes, clients: ["c".repeat(65)] })).toEqual([
      'nodes: db-0: "db-0" is no IP address that a certificate can carry; use another one',
      'nodes: db-0: "fe80::1%eth0" is no IP address that a certificate can carry; use another one',
      'nodes: db-0: "a b" is no host name that a certificate can carry; use another one',
      `clients: "${"c".repeat(65)}" has 65 characters; a certificate's common name has 1 to 64; use another one`,
    ]);
  });
});

describe("the authority whose certificates nodes show", () => {
  test("is not pushed out by others, made or given, and says what to do; one that ends by itself waits", async () => {
    const first = await next({}, plain);
    const second = await next(first, { ...plain, authorityRotation: "2" });
    const third = await next(second, { ...plain, authorityRotation: "3" });
    const fourth = { ...plain, authorityRotation: "4" };
    const { table, problems } = await nextTable(third, fourth, start, 1);
    expect(table).toBe(third.table);
    expect(problems).toEqual([
      {
        property: "authorityRotation",
        reason: expect.stringMatching(
          /^tls\.authorityRotation: 2 other authorities were declared since the one whose .* declare "3" again, and run `up` until caCertificatePem holds one/,
        ),
      },
    ]);
    const given = await nextTable(third, { ...third, given: { authority } }, start, 1);
    expect(given.problems).toMatchObject([{ property: "given", reason: expect.stringContaining("tls.authority: 2") }]);
    expect((await nextTable(third, fourth, start, 2)).problems).toEqual([]);
    expect((await nextTable(third, third, later(3640), 1)).problems).toEqual([]);
    const ended = (await nextTable(third, third, later(3640), 1)).table as CertificateTable;
    expect(ended.authorities).toEqual(third.table.authorities);
    const later2 = (await nextTable(third, third, later(3640), 2)).table as CertificateTable;
    expect(later2.authorities.map(({ generation }) => generation)).toEqual([4, 3, 2]);
  });
});

describe("a given authority", () => {
  test("takes the place of a made one, which goes on beside it, and gives it back", async () => {
    const made = await next({}, plain);
    const given = { ...plain, given: { authority } };
    const at = await next(made, given);
    expect(at.table.authorities.map(({ generation, certificatePem }) => [generation, certificatePem])).toEqual([
      [2, authority.certificatePem],
      [1, made.table.authorities[0]?.certificatePem],
    ]);
    expect(at.table.nodes["db-0"]?.map((one) => one.authority)).toEqual([2, 1]);
    const back = await next(at, plain);
    expect(back.table.authorities.map(({ generation }) => generation)).toEqual([3, 2, 1]);
    // Given again, it is the latest, with what it had signed.
    const again = await next(back, given);
    expect(again.table.authorities.map(({ generation }) => generation)).toEqual([4, 3, 1]);
    expect(again.table.nodes["db-0"]?.[0]?.fingerprint).toBe(at.table.nodes["db-0"]?.[0]?.fingerprint);
    expect((await next(again, { ...given, authorityRotation: "x" })).table).toBe(again.table);
  });

  test("near its end has certificates that end with it, made once; when it has ended that is said", async () => {
    const given = { ...plain, given: { authority } };
    const at = await next(await next({}, given), given, later(330));
    expect(at.table.nodes["db-0"]?.[0]?.notAfter).toBe(at.table.authorities[0]?.notAfter);
    expect((await next(at, given, later(360))).table).toBe(at.table);
    const { table, problems } = await nextTable(at, given, later(366));
    expect(table).toBe(at.table);
    expect(problems).toEqual([
      {
        property: "given",
        reason: `tls.authority.certificatePem: CN=given has ended at ${later(365).toISOString()}; give one that holds now`,
      },
    ]);
  });

  test.skipIf(!hasOpenssl)("may have its root in the list of authorities", async () => {
    const root = opensslAuthority("/CN=root", EC);
    const between = opensslSigned(root, "/CN=between", AUTHORITY_EXTENSIONS);
    const soon = later(0.1);
    expect(await problemsOf({ given: { authority: between } }, soon)).toEqual([
      expect.stringMatching(/^given: tls.authority.certificatePem: CN=between was signed by CN=root, whose/),
    ]);
    const { table } = await next(
      {},
      { ...plain, given: { authority: between, caCertificatePem: root.certificatePem } },
      soon,
    );
    expect(table.authorities[0]?.certificatePem.match(/BEGIN/g)).toHaveLength(2);
    expect(table.nodes["db-0"]?.[0]?.certificatePem.match(/BEGIN/g)).toHaveLength(2);
  });
});

describe("given certificates", () => {
  const given = { ...plain, clients: [], given: { caCertificatePem, nodes: givenNodes } };

  test("are kept as they are, and a changed one takes the place of the former", async () => {
    const at = await next({}, given);
    expect(at.table.authorities).toMatchObject([{ generation: 1, certificatePem: caCertificatePem }]);
    expect(at.table.authorities[0]).not.toHaveProperty("keyPem");
    expect(at.table.nodes["db-0"]).toMatchObject([{ ...givenNodes["db-0"], authority: 1 }]);
    expect((await next(at, given, later(80))).table).toBe(at.table);
    const renewed = await byAuthority("db-0", "10.0.0.1");
    const changed = await next(at, {
      ...given,
      given: { caCertificatePem, nodes: { ...givenNodes, "db-0": renewed } },
    });
    expect(changed.table.nodes["db-0"]).toMatchObject([renewed, givenNodes["db-0"]]);
    expect(changed.table.nodes["db-1"]).toEqual(at.table.nodes["db-1"]);
  });

  test("stay with another authority beside theirs, which makes another generation", async () => {
    const other = await makeAuthority({ commonName: "other", days: 365, now: start });
    const at = await next(await next({}, given), {
      ...given,
      given: { ...given.given, caCertificatePem: `${other.certificatePem}\n# ours\n${caCertificatePem}` },
    });
    expect(at.table.authorities.map(({ generation }) => generation)).toEqual([2, 1]);
    expect(at.table.nodes["db-0"]).toMatchObject([{ ...givenNodes["db-0"], authority: 2 }]);
  });

  test("are one with those that are made, where the authority's key is given for some", async () => {
    const some = { ...plain, given: { authority, nodes: { "db-0": givenNodes["db-0"] } } };
    const at = await next({}, some);
    expect(at.table.nodes["db-0"]).toMatchObject([givenNodes["db-0"]]);
    expect(readCertificate(at.table.nodes["db-1"]?.[0]?.certificatePem ?? "").dnsNames).toEqual(["db-1"]);
    // Taken back: whoever does that may know why.
    const back = await next(at, { ...plain, given: { authority } });
    expect(back.table.nodes["db-0"]?.map(({ fingerprint }) => fingerprint)).toEqual([
      expect.not.stringMatching(at.table.nodes["db-0"]?.[0]?.fingerprint ?? ""),
      at.table.nodes["db-0"]?.[0]?.fingerprint,
    ]);
  });

  test("have all their problems told at once, and no key shown", async () => {
    const problems = await problemsOf({
      given: {
        caCertificatePem: "x",
        nodes: { "db-0": { certificatePem: "y", keyPem: givenNodes["db-1"].keyPem } },
        clients: { app: givenNodes["db-0"] },
      },
    });
    expect(problems).toEqual([
      "given: tls.caCertificatePem: is not PEM; give a certificate as PEM, which begins with -----BEGIN CERTIFICATE-----",
      "given: tls.nodeCertificates.db-0.certificatePem: is not PEM; give a certificate as PEM, which begins with -----BEGIN CERTIFICATE-----",
      "given: tls.nodeCertificates.db-1: no certificate is given, and without the authority's key none can be made; give one, or tls.authority with its key",
    ]);
    expect(await problemsOf({ given: { nodes: givenNodes } })).toEqual([
      "given: tls.caCertificatePem: not given, though certificates are; give the certificate of the authority that signed them",
    ]);
  });
});

describe("what may be told", () => {
  test("holds no PEM, and says when what is in use ends", async () => {
    const at = await next(await next({}, plain), { ...plain, nodes: { ...plain.nodes, "db-1": names } }, later(10));
    const issued = issuedOf(at.table);
    expect(JSON.stringify(issued)).not.toMatch(/BEGIN|Pem/);
    expect(issued.nodes["db-1"]).toHaveLength(2);
    expect(expiryOf(issued)).toEqual({
      authority: later(3650).toISOString(),
      certificate: { node: "db-0", notAfter: later(90).toISOString() },
    });
    expect(expiryOf({ authorities: [], nodes: {} })).toEqual({});
  });
});

describe("the resource", () => {
  test("makes its table in `check`, the same again afterwards, and says a change when there is one", async () => {
    const { inputs: first, failures } = await certificatesRunner.check({}, plain);
    expect(failures).toEqual([]);
    const { id, outs } = await certificatesRunner.create(first);
    expect(id).toBe("db-certificates");
    expect(await certificatesRunner.read(id, outs)).toEqual({ id, props: outs });
    const { inputs: second } = await certificatesRunner.check(first, plain);
    expect(JSON.stringify(second)).toBe(JSON.stringify(first));
    expect(await certificatesRunner.diff(id, outs, second)).toEqual({ changes: false, replaces: [] });
    const { inputs: third } = await certificatesRunner.check(first, { ...plain, rotation: "2" });
    expect(await certificatesRunner.diff(id, outs, third)).toEqual({ changes: true, replaces: [] });
    expect((await certificatesRunner.update(id, outs, third)).outs).toEqual(third);
    await certificatesRunner.delete(id, outs);
  });

  test("knows nothing while an address is unknown, and fails with what was given", async () => {
    const nodes = { "db-0": { addresses: [UNKNOWN], dnsNames: [] } };
    expect(await certificatesRunner.check({}, { ...plain, nodes })).toMatchObject({
      inputs: { table: UNKNOWN },
      failures: [],
    });
    const { inputs, failures } = await certificatesRunner.check({}, { ...plain, given: { caCertificatePem: "" } });
    expect(inputs.table).toEqual({});
    expect((failures ?? []).map(({ property }) => property)).toEqual(["given", "given", "given", "given"]);
  });
});
