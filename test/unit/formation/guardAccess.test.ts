import { describe, expect, test } from "vitest";
import type { Access, TlsAccess } from "../../../components/access/types";
import { type GuardInputs, guardRunner } from "../../../components/formation/runner/guard";
import { withNotedAccess } from "../../../components/formation/runner/knowledge";

const certificates = (word: string): TlsAccess => ({
  caCertificatePem: `authority ${word}`,
  identities: [{ certificatePem: `certificate ${word}`, keyPem: `key ${word}` }],
});

const inputs = (cluster: string, access: Access): GuardInputs => ({
  cluster,
  node: `${cluster}-0-zone-a`,
  endpoint: { address: "127.0.1.1", port: 7000, busPort: 17000 },
  peers: [],
  instance: "one",
  dataOnDestroy: "keep",
  replicasPerMaster: 1,
  access,
});

// What a guard has recorded is from when it was made, and certificates are renewed meanwhile.
describe("a guard that is deleted", () => {
  test.each([
    ["without users", {}],
    ["with users", { username: "admin", password: "secret" }],
  ])("shows the certificates that the program of this command has, %s", async (what, login) => {
    const recorded = { ...login, tls: certificates("of before") };
    await guardRunner.check({}, inputs(what, { ...login, tls: certificates("of today") }));
    expect(withNotedAccess(what, recorded).tls).toEqual(certificates("of today"));
  });

  test("shows its own where no program says anything", () => {
    const recorded = { tls: certificates("of before") };
    expect(withNotedAccess("unheard of", recorded)).toEqual(recorded);
  });

  test("other certificates are written down, and replace nothing", async () => {
    const [olds, news] = ["of before", "of today"].map((word) => inputs("renewed", { tls: certificates(word) }));
    if (!olds || !news) throw new Error("no inputs");
    expect(await guardRunner.diff("guard", olds, news)).toMatchObject({ changes: true, replaces: [] });
    expect(await guardRunner.diff("guard", olds, { ...olds })).toMatchObject({ changes: false });
  });
});
