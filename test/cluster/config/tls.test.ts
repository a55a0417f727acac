import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { allDirectives, clusterDirectives, mergeDirectives } from "../../../components/config/clusterDirectives";
import { endpointDirectives, storageDirectives } from "../../../components/config/nodeDirectives";
import { normalizeSetting } from "../../../components/config/normalize";
import { renderRedisConf } from "../../../components/config/redisConf";
import { freePort, startServer, TEST_SERVER_NAMES, testServers } from "../../support/servers";
import { aSpec, engineOf } from "../../unit/config/specs";

test.for(TEST_SERVER_NAMES)("%s starts with TLS only and announces the TLS port", async (name, { skip }) => {
  const servers = (await testServers()) ?? skip("no test servers");
  const cliPath = servers[name].cliPath ?? skip("no redis-cli came with the server");
  const dir = mkdtempSync(join(tmpdir(), "prc-tls-"));
  const [certFile, keyFile] = [join(dir, "node.pem"), join(dir, "node.key")];
  const subject = ["-subj", "/CN=node", "-addext", "subjectAltName=IP:127.0.0.1"];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", keyFile];
  execFileSync("openssl", ["req", "-x509", ...key, ...subject, "-days", "1", "-out", certFile], { stdio: "pipe" });
  const port = await freePort();
  const split = mergeDirectives(
    clusterDirectives(aSpec({ engine: engineOf(name) })),
    endpointDirectives({ address: "127.0.0.1", port, busPort: port + 10_000 }, { certFile, keyFile, caFile: certFile }),
    { boot: storageDirectives({ dir }), live: [] },
  );
  const ask = (...args: string[]) =>
    execFileSync(
      cliPath,
      ["-p", String(port), "--tls", "--cacert", certFile, "--cert", certFile, "--key", keyFile, ...args],
      { encoding: "utf8" },
    ).trimEnd();
  const server = await startServer({
    server: servers[name],
    conf: renderRedisConf(allDirectives(split)),
    dir,
    port,
    ready: () => {
      try {
        return ask("PING") === "PONG";
      } catch {
        return false;
      }
    },
  });
  try {
    for (const directive of split.boot.concat(split.live).filter(({ name: key }) => /tls|port|bind/.test(key))) {
      const [, value = ""] = ask("CONFIG", "GET", directive.name).split("\n");
      expect(`${directive.name} ${normalizeSetting(directive.name, value)}`).toBe(
        `${directive.name} ${normalizeSetting(directive.name, directive.value)}`,
      );
    }
    // The announced TLS port is the one in what clients are told.
    expect(ask("CLUSTER", "NODES")).toContain(`127.0.0.1:${port}@${port + 10_000}`);
    for (const directive of split.live) expect(ask("CONFIG", "SET", directive.name, directive.value)).toBe("OK");
  } finally {
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  }
});
