import { output, secret } from "@pulumi/pulumi";
import { expect, test } from "vitest";
import { checkConnection } from "../../../components/spec/checkConnection";
import { Problems } from "../../../components/spec/reader";

function errors(connection: unknown): string[] {
  const problems = new Problems();
  checkConnection(problems, connection);
  return problems.list.map((p) => `${p.severity} ${p.property}: ${p.message}`);
}

const KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n";

test.for([
  ["none", undefined],
  ["directly", {}],
  ["a bastion by an agent, known to this machine", { proxy: { host: "bastion.example.com" } }],
  ["an address", { proxy: { host: "fe80::1%eth0" } }],
  [
    "everything",
    {
      proxy: {
        host: "10.0.0.5",
        port: 2222,
        user: "ops",
        password: "p",
        privateKey: KEY,
        privateKeyPassword: "q",
        agentSocketPath: "/run/agent",
        hostKey: `SHA256:${"A".repeat(43)}`,
        dialErrorLimit: 0,
        perDialTimeout: 0,
      },
    },
  ],
  [
    "what is known later",
    { proxy: { host: output("x"), user: output("u"), privateKey: secret(KEY), hostKey: output("") } },
  ],
] as const)("%s is fine", ([, connection]) => {
  expect(errors(connection)).toEqual([]);
});

test("all problems at once, each with what to do, and no secret in any", () => {
  const found = errors({
    host: "10.0.0.5",
    proxi: {},
    proxy: {
      host: "root@bastion:22",
      port: 70_000,
      user: "root@bastion",
      password: 12345678,
      privateKey: "~/.ssh/id_rsa_of_ops",
      privateKeyPassword: "",
      hostKey: "bastion ssh-ed25519 AAAA",
      agentSocketPath: "",
      dialErrorLimit: -1,
      perDialTimeout: 1.5,
      hostkey: "x",
    },
  });
  expect(found).toEqual([
    "error connection.host: is about an SSH server; give it as connection.proxy",
    'error connection.proxi: is not an argument; did you mean "proxy"?',
    'error connection.proxy.hostkey: is not an argument; did you mean "hostKey"?',
    "error connection.proxy.host: has a user in it; give the host alone, and the user as `user`",
    "error connection.proxy.port: 70000 is too high; use 65535 or less",
    'error connection.proxy.user: "root@bastion" is no name of a user; give it alone, the host apart',
    "error connection.proxy.agentSocketPath: is empty; leave it out to use SSH_AUTH_SOCK",
    expect.stringMatching(/^error connection\.proxy\.hostKey: "bastion ssh-ed25519 AAAA" is neither a public key/),
    "error connection.proxy.password: got a number; must be a string, better a secret Output",
    "error connection.proxy.privateKeyPassword: is empty; give it, or leave it out",
    expect.stringMatching(/^error connection\.proxy\.privateKey: is no key \(it is a single line/),
    "error connection.proxy.dialErrorLimit: -1 is too low; use the number of tries, or 0 to try for ever",
    expect.stringMatching(/^error connection\.proxy\.perDialTimeout: 1\.5 is not a whole number/),
  ]);
  expect(found.join()).not.toMatch(/12345678|id_rsa_of_ops/);
});

test.for([
  [{ proxy: {} }, /proxy\.host: is missing; give the name or address of the SSH server/],
  [{ proxy: "bastion" }, /connection\.proxy: got a string; must be a plain object: \{ host/],
  [{ proxy: { host: "bastion:22" } }, /and the port as `port`/],
  [{ proxy: { host: "[fe80::1]" } }, /without brackets/],
  [{ proxy: { host: "a b" } }, /is no host; give a name or an address/],
  [{ proxy: { host: 5 } }, /host: got 5 \(number\); must be a string/],
  [{ proxy: { host: "b", privateKeyPassword: "p" } }, /is given without a privateKey/],
  [{ proxy: { host: "b", privateKey: "ssh-ed25519 AAAA" } }, /is a public key; give its private half/],
  ["ssh", /^error connection: got a string; must be a plain object/],
] as const)("%j is refused", ([connection, message]) => {
  const found = errors(connection);
  expect(found).toHaveLength(1);
  expect(found[0]).toMatch(message);
});
