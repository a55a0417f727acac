import { expect, test } from "vitest";
import { checkRedisConfig, editDistance } from "../../../components/config/checkRedisConfig";
import { engineOf } from "./specs";

function messages(redisConfig: Record<string, string>, version = "redis-7.0"): Record<string, string> {
  return Object.fromEntries(
    checkRedisConfig(redisConfig, engineOf(version)).map(({ severity, property, message }) => [
      property.replace("redisConfig.", ""),
      `${severity}: ${message}`,
    ]),
  );
}

test("what is right passes, in any case and spelling that servers take", () => {
  expect(
    messages(
      {
        "latency-tracking": "no",
        LogLevel: "Warning",
        "client-query-buffer-limit": "2GB",
        "maxmemory-clients": "5%",
        "shutdown-on-sigterm": "nosave now",
        "cluster-announce-human-nodename": "x",
      },
      "redis-7.2",
    ),
  ).toEqual({});
});

test("all problems come together, each with what to do", () => {
  expect(
    messages({
      "tcp-keepalives": "1",
      maxmemory: "1gb",
      "min-slaves-to-write": "1",
      requirepass: "secret",
      include: "/etc/x",
      loadmodule: "/x.so",
      "rename-command": "FLUSHALL x",
      "latency-tracking": "maybe",
      hz: "ten",
      "active-expire-effort": "11",
      "proto-max-bulk-len": "-1",
      loglevel: "loud",
      "tls-cert-file": "/x",
      "cluster-announce-ip": "1.2.3.4",
      "client-output-buffer-limit": "replica 1gb",
      timeout: "030",
      "proc-title-template": "a\nb",
    }),
  ).toEqual({
    "tcp-keepalives": "error: unknown to redis 7.0; did you mean tcp-keepalive?",
    maxmemory: "error: is managed by the component: use the argument maxmemory",
    "min-slaves-to-write": "error: is managed by the component: use the argument minReplicasToWrite",
    requirepass:
      "error: does not belong here: redisConfig is shown in previews and kept in plain text, and with a file of users it has no effect; leave it out",
    include:
      "error: cannot be set here: a file on the node is outside of what a preview can show; give the directives themselves",
    loadmodule:
      "error: cannot be set here: modules are not supported: they must be on every node before it starts, and the server cannot report the line back",
    "rename-command":
      "error: cannot be set here: formation and clients need the commands under their own names; restrict users by their command rules instead",
    "latency-tracking": 'error: "maybe" is neither; use "yes" or "no"',
    hz: 'error: "ten" is not a whole number; use one like "100"',
    "active-expire-effort": 'error: "11" is out of range; use 1 to 10',
    "proto-max-bulk-len": 'error: "-1" is not a size; use one like "512mb" or "10gb"',
    loglevel: 'error: "loud" is not allowed; use one of "debug", "notice", "verbose", "warning"',
    "tls-cert-file": "error: is managed by the component: certificates and ports of TLS come from it; leave it out",
    "cluster-announce-ip":
      "error: is managed by the component: what a node announces comes from the platform; leave it out",
    "client-output-buffer-limit":
      'error: "replica 1gb" is not a list of limits; use "<class> <hard> <soft> <seconds>", as in "replica 512mb 128mb 60"',
    timeout: 'error: "030" is not a whole number; use one like "100"',
    "proc-title-template": 'error: "a\\nb" has a line break or a null character; use one line',
  });
});

test("a secret's value is never repeated", () => {
  for (const name of ["requirepass", "masterauth", "primaryauth", "tls-key-file-pass", "user"]) {
    expect(JSON.stringify(checkRedisConfig({ [name]: "s3cret" }, engineOf("valkey-9.1")))).not.toContain("s3cret");
  }
});

test("says since when, until when, or in which engine a directive is known", () => {
  expect(messages({ "set-max-listpack-entries": "1" })).toEqual({
    "set-max-listpack-entries": "error: unknown to redis 7.0; known from redis 7.2 on",
  });
  expect(messages({ "hide-user-data-from-log": "no" }, "redis-7.2")).toEqual({
    "hide-user-data-from-log": "error: unknown to redis 7.2; known from redis 7.4 on",
  });
  expect(messages({ "io-threads-do-reads": "yes" }, "redis-8.0")).toEqual({
    "io-threads-do-reads": "error: unknown to redis 8.0; known up to redis 7.4; leave it out",
  });
  expect(messages({ "import-mode": "no" }, "redis-8.0")).toEqual({
    "import-mode": "error: unknown to redis 8.0; valkey 8.1 has it, redis does not; leave it out",
  });
});

test("a version newer than all tables gets a warning for what nobody knows yet, and an error for what went away", () => {
  expect(messages({ "brand-new-thing": "1", "io-threads-do-reads": "yes" }, "redis-8.9")).toEqual({
    "brand-new-thing":
      "warning: unknown to redis 8.9 as far as known here; the server does not start if it does not know it",
    "io-threads-do-reads": "error: unknown to redis 8.9; known up to redis 7.4; leave it out",
  });
});

test("one directive under two names, or in two cases, is given once", () => {
  expect(messages({ "slave-priority": "1", "replica-priority": "2" })["slave-priority"]).toBe(
    "error: is the same directive as replica-priority; keep one of them",
  );
  expect(messages({ HZ: "10", hz: "20" }).hz).toBe("error: is the same directive as HZ; keep one of them");
});

test("a name with a line break or a blank is no name, and its problem is one line", () => {
  for (const { property, message } of checkRedisConfig(
    { "a\nb": "1", "a b": "1", "": "1", "a\u0000": "1" },
    engineOf("redis-7.0"),
  )) {
    expect(message).toContain("is no name of a directive");
    expect(`${property}${message}`).not.toMatch(/[\n\0]/);
  }
});

test("editDistance counts letters to change", () => {
  expect([editDistance("", "abc"), editDistance("kitten", "sitting"), editDistance("same", "same")]).toEqual([3, 3, 0]);
});
