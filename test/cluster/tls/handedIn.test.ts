import { X509Certificate } from "node:crypto";
import * as tls from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TlsIdentity } from "../../../components/access/types";
import { readCertificate } from "../../../components/security/x509";
import { ask, clientTls } from "../../support/clients";
import { onlyInFull } from "../../support/full";
import { Project } from "../../support/project";
import { findings } from "../../support/secrets";
import { testServers } from "../../support/servers";
import {
  AUTHORITY_EXTENSIONS,
  EC,
  hasOpenssl,
  opensslAuthority,
  opensslSigned,
  withOpenssl,
} from "../../unit/security/openssl";
import { knock } from "./attackers";
import { clientOf as connected, tlsOf } from "./support";

const servers = await testServers();

/** Three nodes less: these tests look at single nodes, not at zones. */
const SHAPE = { replicasPerMaster: 0, zones: ["a", "b", "c"] };
const NODES = ["sessions-0-a", "sessions-1-b", "sessions-2-c"];

/** What a node says that it is: all that it sends, its own certificate first. */
function shownBy({ address: host, port }: { address: string; port: number }, { certificatePem, keyPem }: TlsIdentity) {
  return new Promise<X509Certificate[]>((resolve, reject) => {
    const socket = tls.connect({ host, port, cert: certificatePem, key: keyPem, rejectUnauthorized: false });
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      const chain: X509Certificate[] = [];
      for (let one = socket.getPeerX509Certificate(); one; one = one.issuerCertificate) {
        chain.push(one);
        if (one.issuerCertificate?.fingerprint256 === one.fingerprint256) break;
      }
      socket.destroy();
      resolve(chain);
    });
  });
}

const clientOf = (authority: TlsIdentity, name: string) =>
  opensslSigned(authority, `/CN=${name}`, ["extendedKeyUsage=clientAuth"]);

describe.skipIf(!servers || !hasOpenssl)("an authority of the company", () => {
  const root = opensslAuthority("/O=Example/CN=Example root", EC);
  const intermediate = opensslSigned(root, "/O=Example/CN=Example databases", AUTHORITY_EXTENSIONS, {
    key: ["rsa:2048"],
  });
  const asText = (pem: string) => withOpenssl({ pem }, (openssl) => openssl("x509", "-in", "pem", "-text"));
  const asPkcs1 = (keyPem: string) =>
    withOpenssl({ key: keyPem }, (openssl) => openssl("rsa", "-in", "key", "-traditional"));
  let project: Project;

  beforeAll(async () => {
    if (!servers) throw new Error("no servers");
    // As companies hand them over: with text before each, the chain behind it, and a key of the old form.
    const authority = {
      certificatePem: `${asText(intermediate.certificatePem)}\r\n${asText(root.certificatePem)}`,
      keyPem: `an old form:\n${asPkcs1(intermediate.keyPem)}`,
    };
    project = await Project.create({ ...SHAPE, tls: { authority, clients: ["billing"] } }, servers["redis-7.0"]);
    await project.mustUp();
  });
  afterAll(() => project?.dispose());

  test("signs for nodes and clients: who trusts its root alone is satisfied with every node", async () => {
    const own = await tlsOf(project);
    const client = { ...clientTls(own), ca: root.certificatePem };
    for (const node of await project.nodes()) {
      expect(await ask(node, { tls: client }, "PING")).toBe("PONG");
      const [leaf, signer] = await shownBy(node, own as TlsIdentity);
      expect(leaf?.subject).toBe(`CN=${node.name}`);
      expect(signer?.fingerprint256).toBe(new X509Certificate(intermediate.certificatePem).fingerprint256);
    }
    expect(own.clients?.["billing"]?.certificatePem).toContain("BEGIN CERTIFICATE");
    const cluster = await connected(project);
    expect(await cluster.set("key", "value")).toBe("OK");
    cluster.disconnect();
  });

  test("nothing of its key is in the state, the output, or a node's folder", async () => {
    const preview = await project.engine.preview();
    const places = new Map([
      ["state", JSON.stringify(await project.engine.exportStack())],
      ["preview", preview.stdout + preview.stderr],
    ]);
    expect(findings(places, { intermediate: intermediate.keyPem, pkcs1: asPkcs1(intermediate.keyPem) })).toEqual([]);
  });

  test("with a passphrase, with another's key, or without its root is refused in the preview", async () => {
    const { certificatePem, keyPem } = intermediate;
    const encrypted = withOpenssl({ key: keyPem }, (openssl) =>
      openssl("pkey", "-in", "key", "-aes256", "-passout", "pass:not-to-be-seen"),
    );
    const chain = certificatePem + root.certificatePem;
    const wrong = [
      [{ certificatePem: chain, keyPem: encrypted }, /tls\.authority\.keyPem: is encrypted/],
      [{ certificatePem: chain, keyPem: root.keyPem }, /tls\.authority\.keyPem: is not the key of .*Example databases/],
      [
        { certificatePem, keyPem },
        /tls\.authority\.certificatePem: .* was signed by .*Example root, whose certificate is missing/,
      ],
      [
        { certificatePem: keyPem, keyPem },
        /tls\.authority\.certificatePem: is a private key, which nobody else may see/,
      ],
    ] as const;
    // What is judged is the same for all of them, and looked at one by one without servers.
    for (const [authority, reason] of process.env.FULL ? wrong : wrong.slice(0, 1)) {
      project.declare({ ...SHAPE, tls: { authority, clients: ["billing"] } });
      const { ok, stdout, stderr } = await project.engine.preview();
      expect([ok, stdout + stderr]).toEqual([false, expect.stringMatching(reason)]);
      expect(findings(new Map([["preview", stdout + stderr]]), { keyPem, root: root.keyPem })).toEqual([]);
      expect(stdout + stderr).not.toContain("not-to-be-seen");
    }
  });
});

describe.skipIf(!servers || !hasOpenssl)("certificates that somebody else signs", () => {
  const [company, former] = [opensslAuthority("/CN=Example nodes", EC), opensslAuthority("/CN=Example former", EC)];
  const addresses = ["127.0.0.1", "::1", ...Array.from({ length: 10 }, (_, i) => `127.0.${i + 1}.1`)];
  const names = (node: string, all = addresses) =>
    `subjectAltName=DNS:localhost,DNS:${node},${all.map((address) => `IP:${address}`).join(",")}`;
  const forNode = (node: string, options: { days?: number; addresses?: string[] } = {}) =>
    opensslSigned(
      company,
      `/CN=${node}`,
      [names(node, options.addresses), "extendedKeyUsage=serverAuth,clientAuth"],
      options.days === undefined ? {} : { days: options.days },
    );
  const nodeCertificates = Object.fromEntries(NODES.map((node) => [node, forNode(node)]));
  const clientCertificates = { admin: clientOf(company, "admin"), client: clientOf(company, "client") };
  const declaration = {
    ...SHAPE,
    tls: {
      caCertificatePem: company.certificatePem + former.certificatePem,
      nodeCertificates,
      clientCertificates,
      overlapSeconds: 0,
    },
  };
  let project: Project;
  const fingerprints = async () => {
    const shown = (await project.nodes()).map(async (node) => {
      const [leaf] = await shownBy(node, clientCertificates.client);
      return [node.name, leaf?.fingerprint256] as const;
    });
    return Object.fromEntries(await Promise.all(shown));
  };
  const fingerprintOf = ({ certificatePem }: TlsIdentity) => new X509Certificate(certificatePem).fingerprint256;

  beforeAll(async () => {
    if (!servers) throw new Error("no servers");
    project = await Project.create(declaration, servers["redis-7.0"]);
    await project.mustUp();
  });
  afterAll(() => project?.dispose());

  test("are what nodes show and clients get, and no authority's key is needed", async () => {
    expect(await fingerprints()).toEqual(
      Object.fromEntries(Object.entries(nodeCertificates).map(([node, one]) => [node, fingerprintOf(one)])),
    );
    const own = await tlsOf(project);
    expect(readCertificate(own.certificatePem ?? "").commonName).toBe("client");
    for (const node of await project.nodes()) expect(await ask(node, { tls: clientTls(own) }, "PING")).toBe("PONG");
    expect((await project.mustUp()).stdout).not.toMatch(/(updated|created|replaced|deleted)/);
  });

  test("that are wrong are refused in the preview, all at once, each by node and reason, and no key is shown", async () => {
    const [first = "", second = "", third = ""] = NODES;
    const foreign = opensslSigned(opensslAuthority("/CN=Example nodes", EC), `/CN=${third}`, [names(third)]);
    const wrong = {
      [first]: forNode(first, { addresses: ["10.0.0.1"] }),
      [second]: { ...forNode(second, { days: -1 }), keyPem: nodeCertificates[first]?.keyPem ?? "" },
      [third]: foreign,
      "sessions-9-a": forNode("sessions-9-a"),
    };
    project.declare({ ...declaration, tls: { ...declaration.tls, nodeCertificates: wrong } });
    const misspelt = await project.engine.preview();
    expect([misspelt.ok, misspelt.stdout + misspelt.stderr]).toEqual([
      false,
      expect.stringMatching(
        /tls\.nodeCertificates\.sessions-9-a: there is no node of that name; use one of sessions-0-a/,
      ),
    ]);
    const { "sessions-9-a": _, ...known } = wrong;
    project.declare({ ...declaration, tls: { ...declaration.tls, nodeCertificates: known } });
    const { ok, stdout, stderr } = await project.engine.preview();
    const said = stdout + stderr;
    expect(ok).toBe(false);
    for (const reason of [
      `tls.nodeCertificates.${first}.certificatePem: is for other names`,
      `tls.nodeCertificates.${second}.certificatePem: CN=${second} has ended at`,
      `tls.nodeCertificates.${second}.keyPem: is not the key of CN=${second}`,
      `tls.nodeCertificates.${third}.certificatePem: `,
    ])
      expect(said).toContain(reason);
    const keys = Object.entries({ ...wrong, ...nodeCertificates, foreign }).map(([name, { keyPem }]) => [name, keyPem]);
    expect(findings(new Map([["preview", said]]), Object.fromEntries(keys))).toEqual([]);
    project.declare(declaration);
  });

  test("a new one of one node is loaded live: no restart, and the others go on as they were", async () => {
    const [pids, before] = [await project.pids(), await fingerprints()];
    const [changed = ""] = NODES;
    const renewed = { ...declaration.tls, nodeCertificates: { ...nodeCertificates, [changed]: forNode(changed) } };
    project.declare({ ...declaration, tls: renewed });
    const { stdout } = await project.mustUp();
    expect(stdout).toMatch(new RegExp(`${changed}: .*certificate`));
    const after = await fingerprints();
    expect(after).toEqual({ ...before, [changed]: fingerprintOf(renewed.nodeCertificates[changed] as TlsIdentity) });
    expect(after).not.toEqual(before);
    expect(await project.pids()).toEqual(pids);
    if (!process.env.FULL) return;
    // Whoever takes it back has the former one again.
    project.declare(declaration);
    await project.mustUp();
    expect(await fingerprints()).toEqual(before);
  });

  onlyInFull("an authority that is taken out of the bundle is trusted no more", async () => {
    const [node] = await project.nodes();
    const stranger = clientOf(former, "client");
    const tryIn = () =>
      knock(node ?? expect.fail("no node"), {
        ca: company.certificatePem,
        cert: stranger.certificatePem,
        key: stranger.keyPem,
      });
    expect(await tryIn()).toMatchObject({ code: "", answer: "+PONG\r\n" });
    const pids = await project.pids();
    project.declare({ ...declaration, tls: { ...declaration.tls, caCertificatePem: company.certificatePem } });
    for (let runs = 0; ; runs++) {
      const { stdout } = await project.mustUp();
      if (!/(updated|created|replaced|deleted)/.test(stdout)) break;
      // Three stages, and one run that finds nothing left.
      expect(runs).toBeLessThan(5);
    }
    expect(await tryIn()).toMatchObject({ code: expect.stringMatching(/UNKNOWN_CA$/), answer: "" });
    expect(await project.pids()).toEqual(pids);
    const own = await tlsOf(project);
    expect(own.caCertificatePem).toBe(company.certificatePem);
  });
});
