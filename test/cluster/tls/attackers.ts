import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { AddressInfo } from "node:net";
import * as net from "node:net";
import * as tls from "node:tls";
import type { TlsIdentity } from "../../../components/access/types";
import type { InventoryNode } from "../../../components/cluster/inventory";
import { DAY_MILLISECONDS } from "../../../components/security/certificates";
import { issueCertificate, type NewCertificate } from "../../../components/security/x509";
import { freePort, type RunningServer, type ServerProgram, startServer } from "../../support/servers";

type Endpoint = Pick<InventoryNode, "address" | "port">;

/** What came of a connection: the code of the error that ended it, and what was answered before. */
export interface Knock {
  readonly code: string;
  readonly answer: string;
  /** Absent where no handshake was finished. */
  readonly cipher?: string;
}

/** Connects, says something, and listens until somebody closes or the answer is there. Without options as plain TCP. */
export function knock(
  { address, port }: Endpoint,
  options: tls.ConnectionOptions | undefined,
  say: string | Buffer = "PING\r\n",
): Promise<Knock> {
  return new Promise((resolve) => {
    const at = { host: address, port };
    const socket = options ? tls.connect({ ...at, ...options }) : net.connect(at);
    let [code, answer] = ["", ""];
    socket.setTimeout(10_000, () => socket.destroy(Object.assign(new Error("silent"), { code: "SILENT" })));
    socket.once(options ? "secureConnect" : "connect", () => socket.write(say));
    socket.on("data", (data) => {
      answer += data.toString("latin1");
      if (answer.endsWith("\r\n")) socket.end();
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      code ||= error.code ?? error.message;
    });
    let cipher: string | undefined;
    socket.once("secureConnect", () => {
      cipher = (socket as tls.TLSSocket).getCipher().name;
    });
    socket.once("close", () => resolve({ code, answer, ...(cipher === undefined ? {} : { cipher }) }));
  });
}

/** A certificate of an authority of the attacker's choice. @param startedDaysAgo when its time began, which lasts for `days` */
export function certificate(
  authority: TlsIdentity,
  wanted: Partial<NewCertificate> & { readonly startedDaysAgo?: number } = {},
): Promise<TlsIdentity> {
  const { startedDaysAgo = 0, ...own } = wanted;
  return issueCertificate(authority, {
    commonName: "attacker",
    addresses: [],
    dnsNames: [],
    usage: "node",
    days: 30,
    ...own,
    now: new Date(Date.now() - startedDaysAgo * DAY_MILLISECONDS),
  });
}

/** Says that it is a node, and says OK to whatever it hears. */
export interface Impostor {
  readonly address: string;
  readonly port: number;
  /** Everything that was said to it under TLS. */
  heard(): string;
  close(): Promise<void>;
}

/** Where no node of a cluster of three zones is. */
export const ELSEWHERE = "127.0.9.9";

export async function impostor({ certificatePem, keyPem }: TlsIdentity): Promise<Impostor> {
  let heard = "";
  const server = tls.createServer({ cert: certificatePem, key: keyPem, requestCert: true, rejectUnauthorized: false });
  const open = new Set<net.Socket>();
  server.on("connection", (socket) => open.add(socket));
  server.on("secureConnection", (socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => {
      heard += data.toString("latin1");
      socket.write("+OK\r\n");
    });
  });
  server.listen(0, ELSEWHERE);
  await once(server, "listening");
  return {
    address: ELSEWHERE,
    port: (server.address() as AddressInfo).port,
    heard: () => heard,
    close: async () => {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** A node of nobody, with a port of its own for the attacker; short of patience, so that its attempts end soon. */
export async function foreignNode(
  server: ServerProgram,
  identity?: TlsIdentity & { readonly caCertificatePem: string },
): Promise<RunningServer> {
  const port = await freePort(ELSEWHERE);
  const own = [`port ${port}`, "cluster-enabled yes", "cluster-node-timeout 1000", 'save ""'];
  // Else it is looked for where its connections come from, and not found, whatever it shows.
  const conf = [...own, `cluster-announce-ip ${ELSEWHERE}`];
  if (!identity) return startServer({ server, address: ELSEWHERE, conf: conf.join("\n") });
  conf.push(
    ...[`tls-port ${await freePort(ELSEWHERE)}`, "tls-cluster yes", "tls-replication yes", "tls-auth-clients no"],
    ...["tls-cert-file cert.pem", "tls-key-file key.pem", "tls-ca-cert-file ca.pem"],
  );
  const { certificatePem, keyPem, caCertificatePem } = identity;
  const files = { "cert.pem": certificatePem, "key.pem": keyPem, "ca.pem": caCertificatePem };
  return startServer({ server, address: ELSEWHERE, conf: conf.join("\n"), files });
}

const HEADER_BYTES = 2256;
const PUBLISH = 4;

/**
 * A message of the cluster bus that says it is from a certain node: PUBLISH, which does no harm. Its header is the same in all
 * versions from 7.0 on.
 */
export function forgedPublish(senderId: string, channel: string, text: string): Buffer {
  const data = Buffer.concat([Buffer.alloc(8), Buffer.from(channel), Buffer.from(text)]);
  data.writeUInt32BE(channel.length, 0);
  data.writeUInt32BE(text.length, 4);
  const message = Buffer.concat([Buffer.alloc(HEADER_BYTES), data]);
  message.write("RCmb", 0);
  message.writeUInt32BE(message.length, 4);
  message.writeUInt16BE(1, 8);
  message.writeUInt16BE(PUBLISH, 12);
  message.write(senderId, 40, "latin1");
  return message;
}

/** As `knock`, for who listens and answers nothing: the connection stays open for a moment. */
export function tell({ address, port }: Endpoint, options: tls.ConnectionOptions, message: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: address, port, ...options });
    socket.once("error", reject);
    // Closed by a proper end, behind the message.
    socket.once("secureConnect", () => socket.end(message));
    socket.once("close", () => resolve());
  });
}

/** Ports on which a process listens, ascending. */
export function listening(pid: number): number[] {
  const inodes = new Map<string, number>(
    readFileSync(`/proc/${pid}/net/tcp`, "utf8")
      .split("\n")
      .slice(1)
      .flatMap((line) => {
        const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
        return state === "0A" ? [[`socket:[${inode}]`, Number.parseInt(local.split(":")[1] ?? "", 16)] as const] : [];
      }),
  );
  const held = readdirSync(`/proc/${pid}/fd`).map((descriptor) => readlinkSync(`/proc/${pid}/fd/${descriptor}`));
  return held.flatMap((link) => inodes.get(link) ?? []).sort((a, b) => a - b);
}
