import type { Proxy as ProxyPort } from "./proxy";
import { openSshProxy } from "./ssh";
import type { ProxyAccess } from "./types";

const open = new Map<string, { readonly proxy: ProxyPort; users: number }>();

/**
 * The proxy that goes with an access, one for all in this process who go the same way at the same time: a server that many
 * connections come to at once turns some of them away (MaxStartups). It ends when the last of them has closed it.
 */
export function shareProxy(access: ProxyAccess): ProxyPort {
  const key = JSON.stringify(access);
  const shared = open.get(key) ?? { proxy: openSshProxy(access), users: 0 };
  shared.users++;
  open.set(key, shared);
  let closed = false;
  const way = async () => {
    if (closed) throw new Error("the way to the nodes was closed here");
    return shared.proxy;
  };
  return {
    connect: async (host, port) => (await way()).connect(host, port),
    ready: async () => (await way()).ready?.(),
    close: () => {
      if (closed) return;
      closed = true;
      if (--shared.users > 0) return;
      open.delete(key);
      shared.proxy.close();
    },
  };
}
