import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ProxyOptions, readProxy } from "../../../components/operations/cli/proxy";

const KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n";
const FINGERPRINT = `SHA256:${"A".repeat(43)}`;
const OTHER = `SHA256:${"B".repeat(43)}`;

describe("the way in, as it is typed", () => {
  let cwd: string;
  beforeAll(() => {
    cwd = mkdtempSync(join(tmpdir(), "prc-proxy-"));
    writeFileSync(join(cwd, "key"), KEY);
    writeFileSync(join(cwd, "key.pub"), "ssh-ed25519 AAAA me");
  });
  afterAll(() => rmSync(cwd, { recursive: true, force: true }));

  const read = (options: ProxyOptions, env: Record<string, string> = { SSH_AUTH_SOCK: "/run/agent" }) =>
    readProxy(options, { env, cwd });

  test("none", async () => {
    expect(await read({})).toBeUndefined();
    expect(await read({}, { REDIS_CLUSTER_PROXY: "" })).toBeUndefined();
  });

  test.for([
    ["bastion", { host: "bastion" }],
    ["ops@bastion.example.com", { host: "bastion.example.com", user: "ops" }],
    ["ops@10.0.0.5:2222", { host: "10.0.0.5", user: "ops", port: 2222 }],
    ["bastion:2222", { host: "bastion", port: 2222 }],
    ["fe80::1", { host: "fe80::1" }],
    ["ops@fe80::1%eth0", { host: "fe80::1%eth0", user: "ops" }],
    ["ops@[fe80::1]:2222", { host: "fe80::1", user: "ops", port: 2222 }],
    ["[fe80::1]", { host: "fe80::1" }],
  ] as const)("%s", async ([proxy, expected]) => {
    expect(await read({ proxy })).toEqual({
      ...expected,
      agentSocketPath: "/run/agent",
      dialErrorLimit: 3,
      perDialTimeout: 10,
    });
  });

  test.for(["", "@bastion", "ops@", "bastion:0", "bastion:99999", "a b", "ssh://bastion", "bastion:port", "a@b@c"])(
    "%j is refused",
    async (proxy) => {
      await expect(read({ proxy })).rejects.toThrow(
        /^--proxy: ".*" is not \[USER@\]HOST\[:PORT\], such as ops@bastion\.example\.com:22$/,
      );
    },
  );

  test("a key instead of the agent, from the option or the environment, relative or at home", async () => {
    const expected = { host: "b", privateKey: KEY, dialErrorLimit: 3, perDialTimeout: 10 };
    expect(await read({ proxy: "b", "proxy-key": "key" })).toEqual(expected);
    expect(await read({ proxy: "b", "proxy-key": `~/${relative(homedir(), join(cwd, "key"))}` })).toEqual(expected);
    const env = {
      REDIS_CLUSTER_PROXY: "b",
      REDIS_CLUSTER_PROXY_KEY: join(cwd, "key"),
      REDIS_CLUSTER_PROXY_KEY_PASSWORD: "passphrase",
      REDIS_CLUSTER_PROXY_HOST_KEY: FINGERPRINT,
      REDIS_CLUSTER_PROXY_PASSWORD: "password",
    };
    expect(await read({}, env)).toEqual({
      ...expected,
      privateKeyPassword: "passphrase",
      password: "password",
      hostKey: FINGERPRINT,
    });
    // What is typed decides over what is set.
    expect(await read({ proxy: "c", "proxy-host-key": OTHER }, env)).toMatchObject({
      host: "c",
      hostKey: OTHER,
    });
  });

  test("what makes no sense says so, without anything of the key", async () => {
    await expect(read({ "proxy-key": "key" })).rejects.toThrow(/^--proxy-key goes with --proxy/);
    await expect(read({ "proxy-host-key": FINGERPRINT })).rejects.toThrow(/^--proxy-host-key goes with --proxy/);
    await expect(read({ proxy: "b", "proxy-key": "nowhere" })).rejects.toThrow(
      "cannot read the private key nowhere: there is no such file",
    );
    await expect(read({ proxy: "b", "proxy-key": "key.pub" })).rejects.toThrow(
      "the private key key.pub is a public key; give its private half (the file without .pub)",
    );
    await expect(read({ proxy: "b", "proxy-host-key": "SHA256:x" })).rejects.toThrow(
      /^--proxy-host-key: "SHA256:x" is no SHA-256 fingerprint/,
    );
    await expect(read({ proxy: "b" }, {})).rejects.toThrow(
      /^--proxy: there is nothing to log in with: SSH_AUTH_SOCK names no agent; start one, or give --proxy-key FILE$/,
    );
  });
});
