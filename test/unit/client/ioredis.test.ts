import { EventEmitter } from "node:events";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { ClusterOptions } from "ioredis";
import { describe, expect, test } from "vitest";
import { handleChanges, ioredisOptions, mayRepeat, transact } from "../../../components/client";

/** An error as ioredis gives it for a transaction. */
function failure(message: string, ...previous: string[]): Error {
  return Object.assign(new Error(message), { previousErrors: previous.map((text) => new Error(text)) });
}

const ABORTED = "EXECABORT Transaction discarded because of previous errors.";

describe("client options", () => {
  test("README shows the very ones", () => {
    const options: ClusterOptions = ioredisOptions;
    const readme = readFileSync(resolve("README.md"), "utf8");
    for (const [name, value] of Object.entries(options)) expect(readme).toContain(`${name}: ${value}`);
  });
});

test("a rejected ASKING is handled, and still told to whoever waits for it", async () => {
  const client = handleChanges(Object.assign(new EventEmitter(), { nodes: () => [] }));
  const asking = () => Promise.reject<unknown>(new Error("Connection is closed."));
  const node = { asking, duplicate: () => ({ cluster: () => {}, on: () => {} }) };
  client.emit("+node", node);
  // Unhandled, it would fail this run.
  void node.asking();
  await expect(node.asking()).rejects.toThrow("Connection is closed.");
});

test("a node without slots counts as one that did not answer, unless there is no other; anything else is handed on", () => {
  const nodes: { duplicate: () => { cluster: (...args: never[]) => void; on: () => void } }[] = [];
  const client = handleChanges(Object.assign(new EventEmitter(), { nodes: () => nodes }));
  const add = (error: Error | null, slots?: unknown) => {
    const cluster = (_: string, callback: (...answer: unknown[]) => void) => callback(error, slots);
    const node = { asking: async () => "OK", duplicate: () => ({ cluster, on: () => {} }) };
    nodes.push(node);
    client.emit("+node", node);
    return (subcommand = "SLOTS") => {
      const seen: unknown[] = [];
      node.duplicate().cluster(subcommand, (...answer) => seen.push(...answer));
      return seen;
    };
  };
  const failed = new Error("Connection is closed.");
  const [left, serving, silent] = [add(null, []), add(null, [[0, 16383]]), add(failed)];
  expect(left()).toEqual([new Error("this node is in no cluster"), []]);
  expect(left("LINKS")).toEqual([null, []]);
  expect(serving()).toEqual([null, [[0, 16383]]]);
  expect(silent()).toEqual([failed, undefined]);
  nodes.splice(1);
  expect(left()).toEqual([null, []]);
});

test("why a node could not be asked is told in place of a closed connection", () => {
  const looking = Object.assign(new EventEmitter(), {
    cluster: (_: string, callback: (...answer: unknown[]) => void) => {
      looking.emit("error", new Error("Hostname/IP does not match certificate's altnames"));
      callback(new Error("Connection is closed."));
    },
  });
  const client = handleChanges(Object.assign(new EventEmitter(), { nodes: () => [] }));
  const node = { asking: async () => "OK", duplicate: () => looking };
  client.emit("+node", node);
  const seen: unknown[] = [];
  (node.duplicate() as { cluster: (...args: unknown[]) => void }).cluster("SLOTS", (...answer: unknown[]) =>
    seen.push(...answer),
  );
  expect(seen).toEqual([new Error("Hostname/IP does not match certificate's altnames"), undefined]);
});

describe("a transaction may be repeated", () => {
  test.each([
    [failure("ASK 100 127.0.0.1:7000")],
    [failure("TRYAGAIN Multiple keys request during rehashing of slot")],
    [failure(ABORTED, "ASK 100 127.0.0.1:7000", "ASK 100 127.0.0.1:7000")],
    [failure(ABORTED, "MOVED 100 127.0.0.1:7000", "TRYAGAIN Multiple keys request")],
    [failure("Too many Cluster redirections. Last error: ReplyError: ASK 100 127.0.0.1:7000")],
  ])("%s", (error) => expect(mayRepeat(error)).toBe(true));

  test.each([
    [failure("Connection is closed.")],
    [failure("ERR syntax error")],
    [failure(ABORTED)],
    [failure(ABORTED, "ASK 100 127.0.0.1:7000", "ERR unknown command 'ste'")],
    [failure(ABORTED, "Connection is closed.")],
    ["ASK"],
  ])("not after %s", (error) => expect(mayRepeat(error)).toBe(false));
});

describe("transact", () => {
  /** Each attempt ends as given, the last one with its results. */
  function clientOf(failures: readonly Error[]) {
    const asked: string[] = [];
    let attempt = 0;
    const multi = () => ({
      exec: async () => {
        const error = failures[attempt++];
        if (error) throw error;
        return [[null, "OK"]] as const;
      },
    });
    const exists = async (key: string) => {
      asked.push(key);
      return 0;
    };
    return { client: { multi, exists }, asked, attempts: () => attempt };
  }

  test("repeats what was redirected, and asks for a key of the slot that nobody has", async () => {
    const { client, asked, attempts } = clientOf([
      failure("ASK 1 127.0.0.1:7000"),
      failure(ABORTED, "TRYAGAIN Multiple keys request"),
    ]);
    expect(await transact(client, "user:{7}:cart", (multi) => multi)).toEqual([[null, "OK"]]);
    expect(attempts()).toBe(3);
    expect(asked).toEqual(["{7}:pulumi-redis-cluster:nobody", "{7}:pulumi-redis-cluster:nobody"]);
  });

  test("a key that no other can share a slot with by its tag is asked for itself", async () => {
    const { client, asked } = clientOf([failure("ASK 1 127.0.0.1:7000")]);
    await transact(client, "a{}b", (multi) => multi);
    expect(asked).toEqual(["a{}b"]);
  });

  test("throws what is no redirection, at once", async () => {
    const { client, attempts } = clientOf([failure("Connection is closed.")]);
    await expect(transact(client, "key", (multi) => multi)).rejects.toThrow("Connection is closed.");
    expect(attempts()).toBe(1);
  });
});
