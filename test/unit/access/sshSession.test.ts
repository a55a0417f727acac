import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import type { Client } from "ssh2";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SshSession } from "../../../components/access/sshSession";

/** A connection over which a channel is asked for, and never opened. */
class Wire extends EventEmitter {
  bytesRead = 1_000;
  readonly session = new SshSession(
    Object.assign(new EventEmitter(), { forwardOut: () => {} }) as unknown as Client,
    this as unknown as Socket,
    "root@bastion:22",
    () => {},
  );

  /** What is said of a channel, where bytes arrive at these times, in milliseconds. */
  async said(arrivals: readonly number[]): Promise<string> {
    const said = this.session.forward("10.0.0.1", 6379).then(
      () => "opened",
      (error: Error) => error.message,
    );
    for (const at of arrivals) setTimeout(() => (this.bytesRead += 36), at);
    await vi.advanceTimersByTimeAsync(3_000);
    return said;
  }
}

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

const NODE = /^root@bastion:22 gets no answer of 10\.0\.0\.1:6379 within 2\.5 s/;
const SERVER = /^proxy root@bastion:22: no word from it for 2\.5 s/;

test("a server that says nothing is silent itself", async () => {
  expect(await new Wire().said([])).toMatch(SERVER);
});

test("what was on its way when the channel was asked for says nothing of the server now", async () => {
  expect(await new Wire().said([0, 120, 480])).toMatch(SERVER);
});

test("a server that answers a ping meanwhile is well: the node is silent", async () => {
  // Pings go out 1.5 s after the last word; the last may have come with the channel's request, and an answer takes up to half a second.
  for (const at of [510, 1_500, 2_000, 2_490]) expect(await new Wire().said([at])).toMatch(NODE);
});
