/** What `changeLogin` needs of ioredis's Cluster and of its connections to single nodes. */
interface LoginNode {
  options: { username?: string | undefined; password?: string | undefined };
  auth(username: string, password: string): Promise<unknown>;
}
interface LoginClient {
  on(event: "+node", listener: (node: LoginNode) => void): unknown;
  nodes(): LoginNode[];
}

const logins = new WeakMap<object, { readonly username: string; readonly password: string }>();

/**
 * Has a running ioredis Cluster log in with another password, as after a rotation, while it goes on: what is connected logs in
 * again where it is, and every connection that is made later takes the new password. ioredis itself keeps the one that
 * it was made with.
 * @throws Error what a server answers that does not take it
 */
export async function changeLogin(
  client: LoginClient,
  login: { readonly username: string; readonly password: string },
): Promise<void> {
  const { username, password } = login;
  if (!logins.has(client)) client.on("+node", (node) => Object.assign(node.options, logins.get(client)));
  logins.set(client, { username, password });
  await Promise.all(
    client.nodes().map((node) => {
      Object.assign(node.options, { username, password });
      return node.auth(username, password);
    }),
  );
}
