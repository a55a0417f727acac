import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  allDirectives,
  clusterDirectives,
  mergeDirectives,
  unlistedManaged,
} from "../../../components/config/clusterDirectives";
import { directiveTable } from "../../../components/config/directives";
import { endpointDirectives, storageDirectives } from "../../../components/config/nodeDirectives";
import { quoteWord, renderRedisConf } from "../../../components/config/redisConf";
import { aPersistence, aSpec, engineOf, MODES } from "./specs";

const GOLDEN = join(__dirname, "golden");
mkdirSync(GOLDEN, { recursive: true });

const VERSIONS = ["redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1"];

// The golden files are what nodes of existing clusters have on disk. `vitest run -u test/unit/config` writes them anew; do
// that only for a change that is meant, say in the commit what it does to a running cluster, and note it in CHANGELOG.md:
// a line of the "boot" part that changes restarts every node, a line of the "live" part is set on every node.
describe.for(VERSIONS)("redis.conf of %s", (version) => {
  test.for(MODES)("with persistence %s", async (mode) => {
    const spec = aSpec({
      engine: engineOf(version),
      persistence: aPersistence(mode),
      maxmemoryBytes: 10 * 1024 ** 3,
      maxmemoryPolicy: "allkeys-lru",
    });
    const split = mergeDirectives(
      clusterDirectives(spec),
      endpointDirectives({ address: "127.0.1.1", port: 7000, busPort: 17000 }),
      { boot: storageDirectives({ dir: "/var/lib/redis" }), live: [] },
    );
    const text = `${renderRedisConf(split.boot, "boot: a change restarts the node")}\n${renderRedisConf(split.live, "live: a change is set while it runs")}`;
    await expect(text).toMatchFileSnapshot(join(GOLDEN, `${version}-${mode}.conf`));
  });
});

describe("clusterDirectives", () => {
  test.for([
    "redis-7.0",
    "redis-7.2",
    "redis-7.4",
    "redis-8.0",
    "redis-8.6",
    "valkey-8.0",
    "valkey-8.1",
    "valkey-9.0",
    "valkey-9.1",
    "valkey-10.0",
  ])("emits for %s only what its table knows, sorted, each once", (version) => {
    const engine = engineOf(version);
    const names = allDirectives(clusterDirectives(aSpec({ engine }))).map(({ name }) => name);
    expect(names).toEqual([...new Set(names)].sort());
    expect(names.filter((name) => !directiveTable(engine).facts.has(name))).toEqual([]);
  });

  test("redisConfig replaces defaults, under another name of theirs too, and never what is managed", () => {
    const redisConfig = {
      "tcp-keepalive": "10",
      "hash-max-ziplist-entries": "7",
      "client-output-buffer-limit": "replica 1gb 1gb 60",
      appendonly: "no",
      databases: "1",
    };
    const { boot, live } = clusterDirectives(aSpec({ redisConfig }));
    const all = new Map([...boot, ...live].map(({ name, value }) => [name, value]));
    expect(all.get("tcp-keepalive")).toBe("10");
    expect(all.get("hash-max-ziplist-entries")).toBe("7");
    expect(all.has("hash-max-listpack-entries")).toBe(false);
    expect(all.get("client-output-buffer-limit")).toBe(
      "normal 0 0 0 replica 1073741824 1073741824 60 pubsub 33554432 8388608 60",
    );
    expect(all.get("appendonly")).toBe("yes");
    expect(boot.map(({ name }) => name)).toEqual([
      "cluster-config-file",
      "cluster-enabled",
      "databases",
      "tcp-backlog",
    ]);
  });

  test("what arguments decide is refused in redisConfig", () => {
    expect(unlistedManaged(aSpec())).toEqual([]);
  });

  test("sizes the backlog and the replicas' buffers by maxmemory", () => {
    const of = (maxmemoryBytes: number) => {
      const { live } = clusterDirectives(aSpec({ maxmemoryBytes }));
      return live
        .filter(({ name }) => /^(repl-backlog-size|client-output-buffer-limit)$/.test(name))
        .map(({ value }) => /replica [\d ]+|^\d+$/.exec(value)?.[0].trim());
    };
    const mib = 1024 ** 2;
    expect(of(0)).toEqual([`replica ${256 * mib} ${64 * mib} 60`, `${32 * mib}`]);
    expect(of(100 * mib)).toEqual([`replica ${256 * mib} ${64 * mib} 60`, `${16 * mib}`]);
    expect(of(8192 * mib)).toEqual([`replica ${256 * mib} ${128 * mib} 60`, `${128 * mib}`]);
    expect(of(100_000 * mib)).toEqual([`replica ${512 * mib} ${256 * mib} 60`, `${256 * mib}`]);
  });
});

describe("endpointDirectives", () => {
  test("with TLS closes the plain port and announces the TLS port", () => {
    const { boot, live } = endpointDirectives(
      { address: "10.0.0.1", port: 6379, busPort: 16379, hostname: "a.example.test" },
      { certFile: "/tls/node.pem", keyFile: "/tls/node.key", caFile: "/tls/ca.pem" },
    );
    expect(renderRedisConf([...boot, ...live])).toBe(`bind 10.0.0.1
cluster-port 16379
port 0
tls-ca-cert-file /tls/ca.pem
tls-cert-file /tls/node.pem
tls-cluster yes
tls-key-file /tls/node.key
tls-port 6379
tls-replication yes
cluster-announce-bus-port 16379
cluster-announce-hostname a.example.test
cluster-announce-ip 10.0.0.1
cluster-announce-port 0
cluster-announce-tls-port 6379
cluster-preferred-endpoint-type hostname
`);
  });
});

describe("renderRedisConf", () => {
  test("one value is one word, however it looks; lists stay lists", () => {
    const text = renderRedisConf(
      [
        { name: "dir", value: "/Users/me/My Files" },
        { name: "MasterAuth", value: 'a"b\\c\n' },
        { name: "save", value: "" },
        { name: "save", value: "3600 1  300 100" },
        { name: "bind", value: "127.0.0.1 -::1" },
        { name: "client-output-buffer-limit", value: "normal 0 0 0 replica 1 2 3" },
        { name: "logfile", value: "é" },
      ],
      "made for node 1\nnot by hand",
    );
    expect(text).toBe(
      `# made for node 1\n# not by hand\n\ndir "/Users/me/My Files"\nmasterauth "a\\"b\\\\c\\n"\nsave ""\nsave 3600 1 300 100\nbind 127.0.0.1 -::1\nclient-output-buffer-limit normal 0 0 0\nclient-output-buffer-limit replica 1 2 3\nlogfile "\\xc3\\xa9"\n`,
    );
  });

  test("a name cannot bring a line of its own, nor a header", () => {
    expect(() => renderRedisConf([{ name: "a b", value: "c" }])).toThrow('"a b"');
    expect(() => renderRedisConf([{ name: "a\nrequirepass", value: "c" }])).toThrow("is no name");
    expect(renderRedisConf([], "a\rrequirepass x\nb")).not.toMatch(/^requirepass/m);
    expect(quoteWord("a\nrequirepass x")).toBe('"a\\nrequirepass x"');
  });
});
