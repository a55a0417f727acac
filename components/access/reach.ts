import * as net from "node:net";
import type { Duplex } from "node:stream";
import * as tls from "node:tls";
import type { Proxy as NodeProxy } from "./proxy";
import { shareProxy } from "./sharedProxies";
import type { Access, TlsAccess } from "./types";

/** Where a node listens, and the name that its certificate may carry instead of the address. */
export interface Place {
  readonly address: string;
  readonly port: number;
  readonly hostname?: string;
}

/** What a node showed of itself; without TLS nothing. */
export interface ShownCertificate {
  /** SHA-256, 64 hex digits in lower case. */
  readonly fingerprint: string;
  /** ISO 8601. */
  readonly notAfter: string;
}

export interface Reached {
  readonly stream: Duplex;
  readonly certificate?: ShownCertificate;
}

/** A node does not prove who it is. */
export class NodeNotTrusted extends Error {
  override name = "NodeNotTrusted";
}

/** A node did not take the certificate that it was shown, or misses one. */
export class CertificateRefused extends Error {
  override name = "CertificateRefused";

  /** @param cause what the node said. Default: it only closed the connection */
  constructor(cause?: Error) {
    const said = (cause as { code?: string } | undefined)?.code ?? "it closed the connection";
    super(
      `it takes no certificate that is known here (${said}): it has to be of an authority that the node trusts (tls-ca-cert-file), and its time not over`,
      { cause },
    );
  }
}

/** Servers that give out no tickets are waited for that long at the least, and for as many times what the handshake took. */
const TICKET_MILLISECONDS = 250;
const TICKET_HANDSHAKES = 4;

/**
 * Opens streams to nodes: directly or through a proxy, as they are or under TLS. A stream under TLS is handed out only after the
 * node's certificate was checked: its authority, its time, its names.
 */
export class Reach {
  readonly #tls: TlsAccess | undefined;
  readonly #proxy: NodeProxy | undefined;
  readonly #ways: Readonly<Record<string, string>>;
  readonly #timeoutMilliseconds: number;

  /** @param timeoutMilliseconds how long one connection may take to be made, its handshake included */
  constructor({ tls, proxy, ways = {} }: Pick<Access, "tls" | "proxy" | "ways">, timeoutMilliseconds: number) {
    this.#tls = tls;
    this.#ways = ways;
    this.#proxy = proxy && shareProxy(proxy);
    this.#timeoutMilliseconds = timeoutMilliseconds;
  }

  /** How many certificates of our own there are to try; 1 where there is none to show. */
  get identities(): number {
    return Math.max(1, this.#tls?.identities?.length ?? 0);
  }

  /**
   * @param identity which of our certificates to show, from 0
   * @param onConnected called once the other end has taken the connection; under TLS nothing is known of it then
   * @throws Error why there is no connection; NodeNotTrusted where the node is not who it should be
   */
  async open(place: Place, identity = 0, onConnected?: () => void): Promise<Reached> {
    const raw = await this.#raw(place, this.#timeoutMilliseconds);
    onConnected?.();
    if (!this.#tls) return { stream: raw };
    try {
      return await shakeHands(raw, place, this.#tls, identity, this.#timeoutMilliseconds);
    } catch (error) {
      raw.destroy();
      throw error;
    }
  }

  /** Makes what all ways to nodes have in common, so that its time does not count as a node's. @throws Error of the proxy */
  async ready(): Promise<void> {
    await this.#proxy?.ready?.();
  }

  /**
   * Whether anything listens there, without a word to it.
   * @returns what is in the way: an error's code, or "no answer"; undefined where nothing is
   */
  async tryPort(place: Place, timeoutMilliseconds: number): Promise<string | undefined> {
    // The far end has some way to go, too.
    const limit = this.#proxy ? timeoutMilliseconds + PROXIED_MORE_MILLISECONDS : timeoutMilliseconds;
    let timer: NodeJS.Timeout | undefined;
    // Late, it may fail with nobody left to hear of it.
    const tried = async () => {
      const stream = await this.#raw(place, limit);
      stream.on("error", () => {});
      stream.destroy();
      return undefined;
    };
    try {
      await this.ready();
      const late = new Promise<string>((resolve) => {
        timer = setTimeout(() => resolve(NO_ANSWER), limit);
      });
      const outcome = tried();
      outcome.catch(() => {});
      return await Promise.race([outcome, late]);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      return code === "ETIMEDOUT" ? NO_ANSWER : (code ?? message);
    } finally {
      clearTimeout(timer);
    }
  }

  #raw(place: Place, timeoutMilliseconds: number): Promise<Duplex> {
    if (this.#proxy) return this.#proxy.connect(place.address, place.port);
    const [, address, port] = /^(.+):(\d+)$/.exec(this.#ways[`${place.address}:${place.port}`] ?? "") ?? [];
    const way = address === undefined ? place : { address, port: Number(port) };
    return connectDirectly(way, timeoutMilliseconds);
  }

  close(): void {
    this.#proxy?.close();
  }
}

const PROXIED_MORE_MILLISECONDS = 1_000;
const NO_ANSWER = "no answer";

function connectDirectly({ address, port }: Place, timeoutMilliseconds: number): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: address, port, noDelay: true });
    const timer = setTimeout(() => {
      socket.destroy(timedOut("connect ETIMEDOUT"));
    }, timeoutMilliseconds);
    socket.once("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.removeAllListeners("error");
      resolve(socket);
    });
  });
}

function timedOut(message: string): Error {
  return Object.assign(new Error(message), { code: "ETIMEDOUT" });
}

function shakeHands(
  raw: Duplex,
  place: Place,
  access: TlsAccess,
  identity: number,
  timeoutMilliseconds: number,
): Promise<Reached> {
  const own = access.identities?.[identity];
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      socket: raw,
      ca: access.caCertificatePem,
      ...(own ? { cert: own.certificatePem, key: own.keyPem } : {}),
      ...(place.hostname === undefined ? {} : { servername: place.hostname }),
      // Judged below: a certificate whose time is over may be one that is to be replaced.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    });
    const timer = setTimeout(() => socket.destroy(timedOut("no TLS handshake in time")), timeoutMilliseconds);
    const fail = (error: Error) => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    let done = false;
    socket.once("error", (error) => fail(done || isAlert(error) ? new CertificateRefused(error) : error));
    socket.once("close", () =>
      fail(
        done
          ? new CertificateRefused()
          : new Error("the connection was closed in the TLS handshake (is there TLS at all?)"),
      ),
    );
    socket.once("secureConnect", () => {
      done = true;
      const certificate = judge(socket, place, access);
      if (certificate instanceof Error) return fail(certificate);
      const open = () => {
        if (socket.destroyed) return;
        clearTimeout(timer);
        clearTimeout(ticket);
        for (const event of ["error", "close", "session"]) socket.removeAllListeners(event);
        resolve({ stream: socket, certificate });
      };
      // In TLS 1.3 a node judges our certificate after we take the handshake for done: its first ticket says that it took it.
      // The way to it may be a long one.
      const patience = Math.max(TICKET_MILLISECONDS, TICKET_HANDSHAKES * (performance.now() - began));
      const ticket = setTimeout(open, socket.getProtocol() === "TLSv1.3" ? patience : 0);
      // Not from within: the socket is being read at that moment, and a write would break its records.
      socket.once("session", () => setImmediate(open));
    });
  });
}

function judge(socket: tls.TLSSocket, place: Place, access: TlsAccess): ShownCertificate | NodeNotTrusted {
  const shown = socket.getPeerCertificate();
  const fingerprint = (shown.fingerprint256 ?? "").replaceAll(":", "").toLowerCase();
  const notAfter = shown.valid_to ? new Date(shown.valid_to).toISOString() : "";
  const why = String(socket.authorizationError ?? "");
  const isMade = access.made?.includes(fingerprint) ?? false;
  // Whoever holds the key of a certificate that was made for this cluster is a node of it, however old that is.
  if (!socket.authorized && !(isMade && /EXPIRED|NOT_YET_VALID/.test(why)))
    return new NodeNotTrusted(`its certificate is not trusted: ${describe(why, notAfter)}`);
  const names = [place.hostname, place.address].filter((name) => name !== undefined);
  if (names.some((name) => tls.checkServerIdentity(name, shown) === undefined)) return { fingerprint, notAfter };
  return new NodeNotTrusted(
    `its certificate is for ${shown.subjectaltname ?? "nobody"}, not for ${names.join(" or ")}`,
  );
}

function describe(code: string, notAfter: string): string {
  if (/EXPIRED/.test(code)) return `its time ended at ${notAfter}`;
  if (/NOT_YET_VALID/.test(code)) return "its time has not begun";
  if (/SELF_SIGNED|ISSUER|UNABLE_TO_VERIFY|SIGNATURE/.test(code)) return `it is of another authority (${code})`;
  return code;
}

/** What a node says of our certificate, or that it misses one. */
function isAlert(error: Error): boolean {
  const code = (error as { code?: string }).code ?? "";
  return /^ERR_SSL_.*ALERT/.test(code) && /CERTIFICATE|UNKNOWN_CA|BAD_CERT|ACCESS_DENIED|HANDSHAKE_FAILURE/.test(code);
}
