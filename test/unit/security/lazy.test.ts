import { createRequire } from "node:module";
import { expect, test } from "vitest";
import { nextTable } from "../../../components/security/nextTable";
import { AUTHORITY_EXTENSIONS, EC, hasOpenssl, opensslAuthority, opensslSigned } from "./openssl";

const isLoaded = () =>
  Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes("/@peculiar/x509/"));

test.skipIf(!hasOpenssl)(
  "what makes certificates is loaded when one is to be made, and not for looking at them",
  async () => {
    const names = { addresses: ["10.0.0.1"], dnsNames: [] };
    const days = { certificate: 10, authority: 100, renewBefore: 3, renewAuthorityBefore: 30 };
    const declared = { cluster: "db", rotation: "", authorityRotation: "", days, clients: [], table: {} };
    const authority = opensslSigned(opensslAuthority("/CN=root", EC), "/CN=authority", AUTHORITY_EXTENSIONS);
    const root = opensslAuthority("/CN=root", EC);
    const node = opensslSigned(root, "/CN=db-0", ["subjectAltName=IP:10.0.0.1"]);
    const given = { caCertificatePem: root.certificatePem, nodes: { "db-0": node } };
    const now = new Date(Date.now() + 60_000);
    const inputs = { ...declared, nodes: { "db-0": names }, given };
    const { table } = await nextTable({}, inputs, now);
    expect(Object.keys(table)).toEqual(["authorities", "nodes", "clients"]);
    expect((await nextTable({ ...inputs, table }, inputs, now)).table).toBe(table);
    expect((await nextTable({}, { ...inputs, given: { authority } }, now)).problems).toHaveLength(1);
    expect(isLoaded()).toBe(false);
    await nextTable({}, { ...inputs, given: {} }, now);
    expect(isLoaded()).toBe(true);
  },
);
