/** Why a proxy, or a node through it, was not reached. The message names the proxy and says what to do; it holds no secret. */
export class ProxyError extends Error {
  override name = "ProxyError";
  /** As of a socket of one's own, where it is the node beyond that refuses or is silent, or the connection that broke: ECONNREFUSED. */
  readonly code?: string;

  constructor(message: string, code?: string) {
    super(message);
    if (code !== undefined) this.code = code;
  }
}

/** Words of a server, fit for one line of an error. */
export function said(text: unknown): string {
  const line = String(text ?? "")
    .replace(/\p{Cc}+/gu, " ")
    .trim();
  return line.length > 200 ? `${line.slice(0, 197)}...` : line;
}
