import { describe, expect, test } from "vitest";
import { parseClusterNodes } from "../../../components/formation/clusterNodes";
import { countSlots } from "../../../components/formation/slots";
import recorded from "./recorded.json";

/**
 * CLUSTER NODES of real servers, asked from the first node of a 3+3 cluster whose nodes announce `node-<i>.example.net`:
 * alone, shaking hands with nobody, formed, with two open slots and two deleted ones, with a replica killed, and after a
 * master came back with another ID. A line may be added when a new version writes something new; none is changed.
 */
describe.each(Object.entries(recorded))("CLUSTER NODES of %s", (_server, texts) => {
  const own = (text: string) => parseClusterNodes(text).find((e) => e.myself);
  const others = (text: string) => parseClusterNodes(text).filter((e) => !e.myself);

  test("a node alone: itself, a master without slots", () => {
    expect(parseClusterNodes(texts.alone)).toHaveLength(1);
    expect(own(texts.alone)).toMatchObject({
      role: "master",
      health: "ok",
      handshake: false,
      noaddr: false,
      configEpoch: 0,
      linked: true,
      slots: [],
      openSlots: [],
    });
  });

  test("a handshake is no member: an ID of the node's own making, at the address that was given", () => {
    expect(others(texts.handshake)).toEqual([
      expect.objectContaining({ handshake: true, address: "127.0.9.9", port: 9, busPort: 10_009, linked: false }),
    ]);
  });

  test("a formed cluster: roles, masters, epochs, slots, and addresses without the host names", () => {
    const entries = parseClusterNodes(texts.formed);
    expect(entries).toHaveLength(6);
    const masters = entries.filter((e) => e.role === "master");
    expect(masters.map((e) => e.slots).sort((a, b) => (a[0]?.start ?? 0) - (b[0]?.start ?? 0))).toEqual([
      [{ start: 0, end: 5460 }],
      [{ start: 5461, end: 10_922 }],
      [{ start: 10_923, end: 16_383 }],
    ]);
    expect(masters.map((e) => e.configEpoch).sort()).toEqual([1, 2, 3]);
    expect(masters.every((e) => e.masterId === undefined)).toBe(true);
    for (const replica of entries.filter((e) => e.role === "replica"))
      expect(masters.map((m) => m.id)).toContain(replica.masterId);
    for (const e of entries) {
      expect(e.id).toMatch(/^[0-9a-f]{40}$/);
      expect(e.address).toMatch(/^127\.0\.[123]\.1$/);
      expect(e.busPort).toBe(e.port + 10_000);
      expect([e.health, e.handshake, e.noaddr, e.linked]).toEqual(["ok", false, false, true]);
    }
  });

  test("single slots, ranges and open slots, in the node's own line only", () => {
    const me = own(texts.open);
    expect(me?.slots).toEqual([
      { start: 0, end: 6 },
      { start: 8, end: 8 },
      { start: 10, end: 5460 },
    ]);
    const peerId = parseClusterNodes(texts.open).find((e) => e.slots[0]?.start === 5461)?.id;
    expect(me?.openSlots).toEqual([
      { slot: 5, direction: "migrating", peerId },
      { slot: 9000, direction: "importing", peerId },
    ]);
    expect(others(texts.open).every((e) => e.openSlots.length === 0)).toBe(true);
  });

  test("suspicion, agreed failure and an unknown address are told apart", () => {
    expect(
      others(texts.suspected)
        .map((e) => e.health)
        .sort(),
    ).toEqual(["fail?", "ok", "ok", "ok", "ok"]);
    expect(
      others(texts.failed)
        .map((e) => e.health)
        .sort(),
    ).toEqual(["fail", "ok", "ok", "ok", "ok"]);
    const lost = others(texts.noaddr).filter((e) => e.noaddr);
    expect(lost).toHaveLength(1);
    expect(lost[0]).toMatchObject({ address: "", port: 0, busPort: 0, role: "master", linked: false });
    // It still owns what it owned: nobody else may be given that.
    expect(countSlots(lost[0]?.slots ?? [])).toBe(5461);
  });
});

describe("CLUSTER NODES", () => {
  const id = "a".repeat(40);

  test("auxiliary fields after the host name, which may be empty, are passed over, an IPv6 address keeps its colons, old lines have no bus port", () => {
    const [aux, v6, old, unnamed] = parseClusterNodes(
      [
        `${id} 10.0.0.1:6379@16379,host.example.net,tls-port=0,shard-id=${"b".repeat(40)} myself,master - 0 0 4 connected 1 3-4`,
        `${id} fd00::1:6379@16379 slave ${id} 0 0 4 connected`,
        `${id} 10.0.0.1:6379 master - 0 0 0 disconnected`,
        `${id} fd00::1:6379@16379,,tls-port=0 master - 0 0 0 connected`,
        "",
      ].join("\n"),
    );
    expect(aux).toMatchObject({
      address: "10.0.0.1",
      port: 6379,
      busPort: 16_379,
      hostname: "host.example.net",
      slots: [
        { start: 1, end: 1 },
        { start: 3, end: 4 },
      ],
    });
    expect(v6).toMatchObject({ address: "fd00::1", port: 6379, role: "replica", masterId: id });
    expect(old).toMatchObject({ port: 6379, busPort: 0, linked: false });
    expect(unnamed).toMatchObject({ address: "fd00::1", port: 6379, busPort: 16_379 });
    expect([v6, old, unnamed].map((entry) => entry?.hostname)).toEqual([undefined, undefined, undefined]);
  });

  test("anything else is an error that shows the line", () => {
    expect(() => parseClusterNodes("ERR unknown command")).toThrow(
      /not a line of CLUSTER NODES: "ERR unknown command"/,
    );
  });
});
