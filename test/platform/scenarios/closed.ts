import { expect, test } from "vitest";
import type { ClusterCredentials } from "../../../components/cluster/inventory";
import { ask, clientTls, loginOf } from "../../support/clients";
import { findings, type Secrets } from "../../support/secrets";
import { type Subject, UNCHANGED } from "../subject";

const APP = { keys: ["c*", "{c*"], channels: [], commands: ["+@read", "+@write", "+@transaction", "+wait"] };

/** TLS with certificates on both sides, and nobody who comes in without a password. */
export const CLOSED = { users: { app: APP }, passwordOverlapSeconds: 0, tls: { overlapSeconds: 0 } };

/** A cluster that lets in only whom it knows. */
export function closed(subject: () => Subject): void {
  const secrets: Record<string, string> = {};
  const remember = ({ users = {}, tls }: ClusterCredentials, when: string) => {
    for (const [user, { password }] of Object.entries(users)) secrets[`password of ${user} ${when}`] = password;
    if (tls?.keyPem) secrets[`key of clients ${when}`] = tls.keyPem;
    if (tls?.admin?.keyPem) secrets[`key of operators ${when}`] = tls.admin.keyPem;
  };

  test("an open connection, no certificate, no password and a wrong one are refused", async () => {
    const [node] = await subject().project.nodes();
    if (!node) throw new Error("there is no node");
    const credentials = await subject().project.credentials();
    const login = loginOf(credentials);
    expect(await ask(node, login, "PING")).toBe("PONG");
    const { tls, ...plain } = login;
    const { ca } = tls ?? {};
    await expect(ask(node, plain, "PING")).rejects.toThrow();
    await expect(ask(node, { ...plain, tls: { ...(ca ? { ca } : {}) } }, "PING")).rejects.toThrow(
      /alert|closed|reset/i,
    );
    const shown = { tls: clientTls(credentials.tls ?? {}) };
    await expect(ask(node, shown, "PING")).rejects.toThrow("NOAUTH");
    await expect(ask(node, { ...shown, username: "app", password: "wrong" }, "PING")).rejects.toThrow("WRONGPASS");
  });

  test("passwords and certificates are rotated under load, and no machine is touched", async () => {
    const { project, cluster, load } = subject();
    const machines = await cluster.machines();
    const [node] = await project.nodes();
    if (!node) throw new Error("there is no node");
    const before = await project.credentials();
    remember(before, "at first");
    const expires = (await project.inventory()).tls?.certificatesExpire;
    await subject().change("new ones beside the former", {
      passwordRotation: "2",
      tls: { overlapSeconds: 0, rotation: "2" },
    });
    const after = await project.credentials();
    remember(after, "after the rotation");
    expect(after.password).not.toBe(before.password);
    expect(after.tls?.certificatePem).not.toBe(before.tls?.certificatePem);
    expect((await project.inventory()).tls?.certificatesExpire).not.toBe(expires);
    for (const each of [before, after]) expect(await ask(node, loginOf(each), "PING")).toBe("PONG");
    await load.changeLogin(loginOf(after));
    await subject().change("the former end", {});
    const { tls } = loginOf(after);
    await expect(ask(node, { ...loginOf(before), ...(tls ? { tls } : {}) }, "PING")).rejects.toThrow("WRONGPASS");
    expect((await subject().up()).stdout).toMatch(UNCHANGED);
    expect(await cluster.machines()).toEqual(machines);
  });

  test("a killed leader is started again, and a roll goes through, with what is valid now", async () => {
    const { name } = await subject().aNode("master");
    await subject().mended(() => subject().cluster.kill([name]));
    const places = await subject().places();
    await subject().change("a roll", { redisConfig: { "tcp-backlog": "256" } });
    expect(await subject().places()).toEqual(places);
  });

  test("no password and no key is in what the platform shows of its machines, in what runs printed, or in the plain state", async () => {
    const { cluster, project, printed } = subject();
    const tables = (await project.engine.exportStack({ showSecrets: true })).deployment.resources ?? [];
    const all: Secrets = { ...secrets, ...inTables(tables) };
    // Those of the outputs, of replicas and monitors, of the authority and of every node.
    expect(Object.keys(all).length).toBeGreaterThan(15);
    const places = new Map([
      ...(await cluster.visible()),
      ["printed text", printed.join("\n")],
      ["plain state", JSON.stringify(await project.engine.exportStack())],
    ]);
    expect(findings(places, all)).toEqual([]);
  });
}

/** Passwords and private keys of a state whose secrets are shown. */
function inTables(value: unknown): Record<string, string> {
  const found: Record<string, string> = {};
  let n = 0;
  JSON.parse(JSON.stringify(value), (key, each) => {
    const text = typeof each === "string" ? each : "";
    if (typeof each?.plaintext === "string") Object.assign(found, renamed(inTables(JSON.parse(each.plaintext)), ++n));
    else if (/^(keyPem|current|previous|password)$/.test(key) && text.length > 8)
      found[`${key} ${++n} of the state`] = text;
    return each;
  });
  return found;
}

function renamed(secrets: Record<string, string>, n: number): Record<string, string> {
  return Object.fromEntries(Object.entries(secrets).map(([name, secret]) => [`${name}, in secret ${n}`, secret]));
}
