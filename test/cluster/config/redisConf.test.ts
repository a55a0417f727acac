import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Redis } from "ioredis";
import { describe, expect, test } from "vitest";
import { checkRedisConfig } from "../../../components/config/checkRedisConfig";
import { allDirectives, clusterDirectives, mergeDirectives } from "../../../components/config/clusterDirectives";
import { directiveTable } from "../../../components/config/directives";
import { endpointDirectives, storageDirectives } from "../../../components/config/nodeDirectives";
import { normalizeSetting } from "../../../components/config/normalize";
import { renderRedisConf } from "../../../components/config/redisConf";
import type { Directive } from "../../../components/config/types";
import { keySlot } from "../../../components/spec/keySlot";
import { freePort, startServer, TEST_SERVER_NAMES, testServers } from "../../support/servers";
import { aPersistence, aSpec, engineOf, MODES } from "../../unit/config/specs";

async function reported(client: Redis): Promise<Map<string, string>> {
  const answer = (await client.call("CONFIG", "GET", "*")) as string[];
  const values = new Map<string, string>();
  for (let at = 0; at + 1 < answer.length; at += 2) values.set(answer[at] as string, answer[at + 1] as string);
  return values;
}

/** Declared and reported values, both in the one spelling; what the server does not report is named. */
function compared(directives: readonly Directive[], values: ReadonlyMap<string, string>) {
  const show = (name: string, value: string | undefined) =>
    `${name} ${value === undefined ? "(not reported)" : normalizeSetting(name, value)}`;
  return {
    declared: directives.map(({ name, value }) => show(name, value)),
    seen: directives.map(({ name }) => show(name, values.get(name))),
  };
}

// A broad sample beyond what the component sets by itself, in spellings that servers do not print back.
const SAMPLE: Readonly<Record<string, string>> = {
  "active-expire-effort": "5",
  activerehashing: "NO",
  "auto-aof-rewrite-min-size": "96mb",
  "auto-aof-rewrite-percentage": "80",
  "client-output-buffer-limit": "slave 512mb 128mb 90",
  "client-query-buffer-limit": "2gb",
  "cluster-allow-pubsubshard-when-down": "no",
  "cluster-link-sendbuf-limit": "64mb",
  databases: "1",
  hz: "1000",
  "io-threads": "2",
  "latency-tracking": "no",
  "latency-tracking-info-percentiles": "50.0  99 99.99",
  "list-max-listpack-size": "-3",
  loglevel: "Warning",
  "lua-time-limit": "7000",
  maxclients: "500",
  "maxmemory-clients": "5%",
  "maxmemory-samples": "7",
  "notify-keyspace-events": "lKx$gszhetdE",
  "oom-score-adj": "relative",
  "oom-score-adj-values": "0  300 900",
  "proto-max-bulk-len": "256mb",
  "proc-title-template": "{title} \"quoted\" #1 {listen-addr} é\t'x' \\end",
  "repl-backlog-size": "48M",
  "shutdown-on-sigterm": "now save",
  "slowlog-log-slower-than": "-1",
  "stream-node-max-bytes": "8k",
  "tcp-backlog": "128",
  timeout: "30",
  unixsocketperm: "0700",
  "zset-max-ziplist-value": "1kb",
};

describe.for(TEST_SERVER_NAMES)("%s", (name) => {
  test.for(MODES)(
    "starts with what is rendered for persistence %s and reports every value back",
    async (mode, { skip }) => {
      const servers = (await testServers()) ?? skip("no test servers");
      const dir = mkdtempSync(join(tmpdir(), "prc conf ")); // a blank in the path, as on many a Mac
      const port = await freePort();
      const spec = aSpec({
        engine: engineOf(name),
        persistence: aPersistence(mode),
        maxmemoryBytes: 1024 ** 3,
        maxmemoryPolicy: "allkeys-lru",
        minReplicasToWrite: 1,
        replicasPerMaster: 2,
      });
      const split = mergeDirectives(
        clusterDirectives(spec),
        endpointDirectives({ address: "127.0.0.1", port, busPort: port + 10_000, hostname: "node-1.example.test" }),
        { boot: storageDirectives({ dir, pidfile: join(dir, "node.pid") }), live: [] },
      );
      const directives = allDirectives(split);
      const { declared } = compared(directives, new Map());
      const server = await startServer({
        server: servers[name],
        conf: renderRedisConf(directives, "one node"),
        dir,
        port,
      });
      try {
        const client = server.connect();
        const { seen } = compared(directives, await reported(client));
        expect(seen).toEqual(declared);
        // What is called live can be set, to the very value that is declared, on the running server.
        for (const directive of split.live) {
          expect(`${directive.name} ${await client.call("CONFIG", "SET", directive.name, directive.value)}`).toBe(
            `${directive.name} OK`,
          );
        }
        expect(compared(directives, await reported(client)).seen).toEqual(declared);
        expect(await client.call("CONFIG", "REWRITE")).toBe("OK");
      } finally {
        await server.stop();
      }
      // The file that the server has written itself gives the same values.
      const rewritten = readFileSync(join(dir, "redis.conf"), "utf8");
      expect(rewritten).toContain("Generated by CONFIG REWRITE");
      const again = await startServer({ server: servers[name], conf: rewritten, dir, port });
      try {
        expect(compared(directives, await reported(again.connect())).seen).toEqual(declared);
      } finally {
        await again.stop();
      }
      rmSync(dir, { recursive: true, force: true });
    },
  );

  test("takes a broad sample of redisConfig, in other spellings than its own", async ({ skip }) => {
    const servers = (await testServers()) ?? skip("no test servers");
    const engine = engineOf(name);
    const facts = directiveTable(engine).facts;
    const redisConfig = Object.fromEntries(Object.entries(SAMPLE).filter(([directive]) => facts.has(directive)));
    expect(checkRedisConfig(redisConfig, engine)).toEqual([]);
    const split = clusterDirectives(aSpec({ engine, redisConfig }));
    const server = await startServer({ server: servers[name], directives: allDirectives(split) });
    try {
      const client = server.connect();
      const { declared, seen } = compared(allDirectives(split), await reported(client));
      expect(seen).toEqual(declared);
      for (const directive of split.live) await client.call("CONFIG", "SET", directive.name, directive.value);
      expect(compared(allDirectives(split), await reported(client)).seen).toEqual(declared);
    } finally {
      await server.stop();
    }
  });

  test("reads quoted values of any kind", async ({ skip }) => {
    const servers = (await testServers()) ?? skip("no test servers");
    const values = [
      "plain",
      "two words",
      'say "hi"',
      "it's",
      "back\\slash",
      "#hash",
      "tab\tnew\nline\r",
      "\u0001\u007f",
      "Zürich 東京 🚀",
      " leading",
      "\\x41",
      "$HOME",
      "a\u2028b",
    ];
    // Directives that take any text, and do nothing with it while TLS is off and nothing replicates.
    const names = [
      "masterauth",
      "masteruser",
      "replica-announce-ip",
      ...[
        "ca-cert-dir",
        "ca-cert-file",
        "cert-file",
        "ciphers",
        "ciphersuites",
        "client-cert-file",
        "client-key-file",
        "client-key-file-pass",
        "key-file",
        "key-file-pass",
      ].map((rest) => `tls-${rest}`),
    ];
    const directives = values.map((value, index) => ({ name: names[index] as string, value }));
    const server = await startServer({ server: servers[name], directives });
    try {
      const answers = await reported(server.connect());
      expect(directives.map((directive) => answers.get(directive.name))).toEqual(values);
    } finally {
      await server.stop();
    }
  });

  test("puts keys into the slots that keySlot says", async ({ skip }) => {
    const servers = (await testServers()) ?? skip("no test servers");
    const server = await startServer({
      server: servers[name],
      directives: [{ name: "cluster-enabled", value: "yes" }],
    });
    try {
      const client = server.connect();
      const keys = Array.from({ length: 2_000 }, (_, index) => randomKey(index));
      const slots = await Promise.all(keys.map((key) => client.call("CLUSTER", "KEYSLOT", key)));
      expect(keys.map((key) => keySlot(key))).toEqual(slots);
    } finally {
      await server.stop();
    }
  });
});

/** Any bytes, with braces more often than chance would have them. */
function randomKey(index: number): Buffer {
  const bytes = Array.from({ length: index % 40 }, () => Math.floor(Math.random() * 256));
  return Buffer.from(bytes.map((byte) => (byte < 40 ? 0x7b : byte < 80 ? 0x7d : byte)));
}
