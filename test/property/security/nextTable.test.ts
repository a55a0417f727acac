import { X509Certificate } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { CertificatesInputs, CertificateTable, MadeCertificate } from "../../../components/security/certificates";
import { nextTable } from "../../../components/security/nextTable";
import { makeAuthority, readCertificate } from "../../../components/security/x509";

const DAY = 24 * 60 * 60 * 1000;
const START = Date.UTC(2026, 0, 1);
const RUNS = process.env.FULL ? 200 : 20;

const handedIn = await Promise.all(
  ["given 1", "given 2"].map((commonName) => makeAuthority({ commonName, days: 365 * 200, now: new Date(START) })),
);

type Event =
  | { readonly type: "wait"; readonly days: number }
  | { readonly type: "node" | "client" | "readdress"; readonly which: number }
  | { readonly type: "rotate" | "rotateAuthority" | "nothing" }
  | { readonly type: "authority"; readonly given: number | undefined };

const which = fc.nat({ max: 2 });
const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ type: fc.constant("wait" as const), days: fc.integer({ min: 1, max: 120 }) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("wait" as const), days: fc.integer({ min: 1, max: 1500 }) }) },
  { weight: 6, arbitrary: fc.record({ type: fc.constantFrom("node" as const, "client", "readdress"), which }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constantFrom("rotate" as const, "rotateAuthority", "nothing") }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant("authority" as const), given: fc.constantFrom(undefined, 0, 1) }),
  },
);

const days = fc.record({
  certificate: fc.integer({ min: 2, max: 400 }),
  authority: fc.integer({ min: 400, max: 3650 }),
  renewBefore: fc.integer({ min: 1, max: 60 }),
  renewAuthorityBefore: fc.integer({ min: 1, max: 500 }),
});

test("whatever happens over years, every node has what holds, and what it may still have is kept", async () => {
  await fc.assert(
    fc.asyncProperty(days, fc.array(event, { minLength: 5, maxLength: 14 }), async (howLong, events) => {
      let inputs: CertificatesInputs = {
        cluster: "db",
        nodes: { "db-0": { addresses: ["10.0.0.1"], dnsNames: ["db-0"] } },
        clients: ["app"],
        rotation: "",
        authorityRotation: "",
        days: howLong,
        given: {},
        table: {},
      };
      let now = START;
      let old: Partial<CertificatesInputs> = {};
      for (const [i, one] of ([{ type: "nothing" }, ...events] as Event[]).entries()) {
        if (one.type === "wait") now += one.days * DAY;
        inputs = happened(inputs, one, i);
        const { table, problems } = await nextTable(old, inputs, new Date(now));
        expect(problems).toEqual([]);
        const after = { ...inputs, table: table as CertificateTable };
        holds(after, now);
        if ("authorities" in (old.table ?? {})) kept(old as typeof after, after, now, one);
        // As the state gives it back.
        old = JSON.parse(JSON.stringify(after)) as CertificatesInputs;
        expect((await nextTable(old, inputs, new Date(now))).table).toBe(old.table);
      }
    }),
    { numRuns: RUNS },
  );
});

function happened(inputs: CertificatesInputs, one: Event, i: number): CertificatesInputs {
  switch (one.type) {
    case "node": {
      const { [`db-${one.which}`]: was, ...others } = inputs.nodes;
      const added = { [`db-${one.which}`]: { addresses: [`10.0.0.${i + 1}`], dnsNames: [`db-${one.which}`] } };
      return { ...inputs, nodes: was ? others : { ...others, ...added } };
    }
    case "readdress": {
      const was = inputs.nodes[`db-${one.which}`];
      if (!was) return inputs;
      return { ...inputs, nodes: { ...inputs.nodes, [`db-${one.which}`]: { ...was, addresses: [`fd00::${i + 1}`] } } };
    }
    case "client": {
      const name = `client-${one.which}`;
      const others = inputs.clients.filter((other) => other !== name);
      return { ...inputs, clients: others.length < inputs.clients.length ? others : [...others, name].sort() };
    }
    case "rotate":
      return { ...inputs, rotation: String(i) };
    case "rotateAuthority":
      return { ...inputs, authorityRotation: String(i) };
    case "authority": {
      const authority = one.given === undefined ? undefined : handedIn[one.given];
      return { ...inputs, given: authority ? { authority } : {} };
    }
    default:
      return inputs;
  }
}

function holds({ nodes, clients, table }: CertificatesInputs & { readonly table: CertificateTable }, now: number) {
  const { authorities } = table;
  expect(authorities.length).toBeLessThanOrEqual(3);
  expect(authorities.map((one) => one.generation)).toEqual(
    [...authorities.map((one) => one.generation)].sort((a, b) => b - a),
  );
  expect(new Set(authorities.map((one) => one.fingerprint)).size).toBe(authorities.length);
  const isNow = ({ notBefore, notAfter }: { notBefore: string; notAfter: string }) =>
    Date.parse(notBefore) <= now && now < Date.parse(notAfter);
  expect(isNow(readCertificate(authorities[0]?.certificatePem ?? ""))).toBe(true);
  expect(Object.keys(table.nodes)).toEqual(Object.keys(nodes).sort());
  expect(Object.keys(table.clients)).toEqual(clients);
  const all = [
    ...Object.entries(table.nodes).map(([name, made]) => ({ made, names: nodes[name] })),
    ...Object.values(table.clients).map((made) => ({ made, names: { addresses: [], dnsNames: [] } })),
  ];
  for (const { made, names } of all) {
    const latest = made[0] as MadeCertificate;
    expect(latest.authority).toBe(authorities[0]?.generation);
    for (const authority of authorities) {
      const ofIt = made.filter((one) => one.authority === authority.generation);
      expect(ofIt.length).toBeLessThanOrEqual(2);
      if (Date.parse(authority.notAfter) <= now) continue;
      const facts = readCertificate(ofIt[0]?.certificatePem ?? "");
      expect({ now: isNow(facts), addresses: facts.addresses, dnsNames: facts.dnsNames }).toEqual({
        now: true,
        ...names,
      });
    }
    for (const one of made) {
      const signer = authorities.find(({ generation }) => generation === one.authority);
      const certificate = new X509Certificate(one.certificatePem);
      // By an authority that is kept, and not for longer than that.
      expect(certificate.verify(new X509Certificate(signer?.certificatePem ?? "").publicKey)).toBe(true);
      expect(Date.parse(one.notAfter)).toBeLessThanOrEqual(Date.parse(signer?.notAfter ?? ""));
      const { fingerprint, notBefore, notAfter } = readCertificate(one.certificatePem);
      expect(one).toMatchObject({ fingerprint, notBefore, notAfter });
    }
    expect(made.map((one) => one.authority)).toEqual(made.map((one) => one.authority).sort((a, b) => b - a));
  }
}

/** What nodes may have loaded after the run before is still there, and only what had to be renewed was. */
function kept(
  before: { readonly table: CertificateTable },
  after: { readonly table: CertificateTable },
  now: number,
  one: Event,
) {
  const signers = after.table.authorities.map(({ fingerprint }) => fingerprint);
  // Dropped only for two that came later.
  expect(before.table.authorities.slice(0, 2).every(({ fingerprint }) => signers.includes(fingerprint))).toBe(true);
  for (const [name, made] of Object.entries(after.table.nodes)) {
    const [was] = before.table.nodes[name] ?? [];
    if (!was) continue;
    expect(made.map(({ fingerprint }) => fingerprint)).toContain(was.fingerprint);
    const isNew = made[0]?.fingerprint !== was.fingerprint;
    if (one.type === "rotate") expect(isNew).toBe(true);
    if (one.type === "nothing" || one.type === "client" || one.type === "node") expect(isNew).toBe(false);
    if (one.type === "wait" && Date.parse(was.notAfter) <= now) expect(isNew).toBe(true);
  }
}
