import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { accessOfCredentials, readAccess } from "../../../components/operations/cli/access";
import type { Console } from "../../../components/operations/cli/console";

const cwd = mkdtempSync(join(tmpdir(), "prc-access-"));
afterAll(() => rmSync(cwd, { recursive: true, force: true }));
const write = (name: string, text: string) => writeFileSync(join(cwd, name), text);
const console: Console = { out() {}, error() {}, isTerminal: false, width: 80, env: {}, cwd };
const identity = (name: string) => ({ certificatePem: `certificate of ${name}`, keyPem: `key of ${name}` });

describe("how a verb logs in", () => {
  test("by the credentials of a stack: as its operator, with the certificate of one", () => {
    const tls = { caCertificatePem: "ca", ...identity("client"), admin: identity("admin") };
    const credentials = { username: "app", password: "x", admin: { username: "admin", password: "y" }, tls };
    expect(accessOfCredentials(JSON.stringify(credentials), "a file")).toEqual({
      username: "admin",
      password: "y",
      tls: { caCertificatePem: "ca", identities: [identity("admin")] },
    });
    const { admin: _, ...shared } = tls;
    expect(accessOfCredentials(JSON.stringify({ username: "default", tls: shared }), "a file")).toEqual({
      tls: { caCertificatePem: "ca", identities: [identity("client")] },
    });
    expect(accessOfCredentials('{"username":"default"}', "a file")).toEqual({});
  });

  test.each(["nothing of the kind", "[1]", "null", '{"password":"secret-1234"}'])(
    "%j is refused, and not shown",
    (text) => {
      const refused = () => accessOfCredentials(text, "creds.json");
      expect(refused).toThrow(/^creds\.json (is not JSON|holds no credentials); it should hold the stack's output/);
      expect(refused).not.toThrow(/secret-1234/);
    },
  );

  test("by files in the words of redis-cli, beside the login of the environment", async () => {
    for (const name of ["ca", "cert", "key"]) write(name, `text of ${name}`);
    const env = { REDIS_CLUSTER_USER: "ops", REDIS_CLUSTER_PASSWORD: "p" };
    expect(await readAccess({ cacert: "ca", cert: "cert", key: "key" }, undefined, { ...console, env })).toEqual({
      username: "ops",
      password: "p",
      tls: { caCertificatePem: "text of ca", identities: [{ certificatePem: "text of cert", keyPem: "text of key" }] },
    });
    expect(await readAccess({ cacert: "ca" }, { username: "known" }, console)).toEqual({
      username: "known",
      tls: { caCertificatePem: "text of ca" },
    });
  });

  test.each([
    [{ cert: "cert", key: "key" }, "--cert goes with --cacert FILE"],
    [{ cacert: "ca", key: "key" }, "--cert and --key go together"],
    [{ credentials: "c", cacert: "ca" }, "--credentials and --cacert exclude each other"],
    [{ cacert: "missing" }, "--cacert: cannot read missing: there is no such file"],
  ])("%j: %s", async (options, message) => {
    await expect(readAccess(options, undefined, console)).rejects.toThrow(message);
  });
});
