import ssh2 from "ssh2";
import { describe, expect, type TestContext, test } from "vitest";
import { openSshProxy } from "../../../components/access/ssh";

/**
 * A real sshd that asks for a password reads the system's shadow file, so here the library's own server stands in for one: what is
 * shown is which logins are tried, in which order, and which answers are given.
 */
async function serve({ onTestFinished }: TestContext, methods: readonly string[]) {
  const { Server } = ssh2;
  const { private: hostKey, public: publicKey } = readableKeys();
  const tried: string[] = [];
  const clients = new Set<{ end(): unknown }>();
  const server = new Server({ hostKeys: [hostKey] }, (client) => {
    clients.add(client);
    client.on("error", () => {});
    client.on("authentication", (login) => {
      tried.push(login.method);
      if (!methods.includes(login.method)) return login.reject([...methods] as never);
      if (login.method === "password")
        return login.password === "right" ? login.accept() : login.reject([...methods] as never);
      if (login.method !== "keyboard-interactive") return login.reject([...methods] as never);
      login.prompt([{ prompt: "Name: ", echo: true }], () => {
        login.prompt([{ prompt: "Password: ", echo: false }], (answers) => {
          if (answers[0] === "right") login.accept();
          else
            login.prompt([{ prompt: "Password: ", echo: false }], (more) => {
              tried.push(`asked again: ${more[0]}`);
              login.reject([...methods] as never);
            });
        });
      });
    });
    client.on("ready", () => client.on("tcpip", (accept) => accept().end("hello")));
  });
  const port = await new Promise<number>((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port)),
  );
  onTestFinished(() => {
    for (const client of clients) client.end();
    server.close();
  });
  const open = (password: string) => {
    const proxy = openSshProxy(
      { host: "127.0.0.1", port, password, hostKey: publicKey.split(" ").slice(0, 2).join(" "), dialErrorLimit: 1 },
      { env: { SSH_AUTH_SOCK: "/nowhere" } },
    );
    onTestFinished(() => proxy.close());
    return proxy.connect("10.0.0.1", 6379);
  };
  return { open, tried };
}

/** About one of 300 that the library makes, it cannot read itself. */
function readableKeys(): { readonly private: string; readonly public: string } {
  for (;;) {
    const keys = ssh2.utils.generateKeyPairSync("ed25519");
    if (!(ssh2.utils.parseKey(keys.private) instanceof Error)) return keys;
  }
}

describe.each([["password"], ["keyboard-interactive"]])("a server that takes %s", (method) => {
  test("lets in who has the password", async (context) => {
    const { open, tried } = await serve(context, [method]);
    const stream = await open("right");
    expect(String((await stream.toArray())[0])).toBe("hello");
    expect(tried).toEqual(["none", method]);
  });

  test("and nobody else: no secret is said, and it is tried once", async (context) => {
    const { open, tried } = await serve(context, [method]);
    const error = await open("the wrong one").catch((e: Error) => e);
    expect(String(error)).toMatch(
      new RegExp(
        `login as root refused; tried the password; it takes ${method}; is the password right, is the user right\\?$`,
      ),
    );
    expect(String(error)).not.toContain("wrong one");
    expect(tried.filter((t) => t === method)).toHaveLength(1);
    expect(tried.join()).not.toContain("asked again: the wrong one");
  });
});
