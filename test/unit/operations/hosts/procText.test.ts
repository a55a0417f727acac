import { describe, expect, it } from "vitest";
import {
  addressKey,
  answersAt,
  isLoopback,
  parseChoice,
  parseListeners,
  parseMaxclients,
  parseOpenFiles,
  parseOwnAddresses,
  parseProcessStatus,
} from "../../../../components/operations/hosts/procText";

const key = (address: string) => addressKey(address) ?? `no address: ${address}`;

describe("what /proc says", () => {
  it("an address is the same in every spelling", () => {
    expect(key("::ffff:10.0.0.1")).toBe(key("10.0.0.1"));
    expect(key("FE80::1%eth0")).toBe(key("fe80:0:0:0:0:0:0:1"));
    expect(key("::1")).toBe(`${"0".repeat(31)}1`);
    for (const none of ["redis-1.example", "256.1.1.1.1", "1:2", "1::2::3", "cafe"])
      expect(addressKey(none)).toBeUndefined();
    expect([key("127.9.9.9"), key("::1")].every(isLoopback)).toBe(true);
    expect(isLoopback(key("10.0.0.1"))).toBe(false);
  });

  // Recorded on a little-endian machine: a server on 127.0.1.1, one on every address, an established connection, one on ::.
  const tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0101007F:1B58 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 31337 1 0000000000000000 100 0 0 10 0
   1: 00000000:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 31338 1 0000000000000000 100 0 0 10 0
   2: 0101007F:1B58 0101007F:C350 01 00000000:00000000 00:00000000 00000000   101        0 31339 1 0000000000000000 20 4 30 10 -1
`;
  const tcp6 = `   0: 00000000000000000000000000000000:18EB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 31340 1 0000000000000000 100 0 0 10 0
   1: 0000000000000000FFFF00000101007F:18EC 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 31341 1 0000000000000000 100 0 0 10 0
`;

  it("who listens, and at which addresses that answers", () => {
    const [own, all] = parseListeners(tcp);
    expect(parseListeners(tcp)).toHaveLength(2);
    expect(own).toEqual({ address: key("127.0.1.1"), port: 7000, uid: 101, inode: "31337" });
    expect(answersAt(own?.address ?? "", key("127.0.1.1"))).toBe(true);
    expect(answersAt(own?.address ?? "", key("127.0.2.1"))).toBe(false);
    expect(answersAt(all?.address ?? "", key("10.0.0.1"))).toBe(true);
    const [any6, mapped] = parseListeners(tcp6);
    expect(answersAt(any6?.address ?? "", key("10.0.0.1"))).toBe(true);
    expect(mapped?.address).toBe(key("127.0.1.1"));
  });

  it("which addresses a network has itself", () => {
    const trie = `Local:
  +-- 10.1.0.0/24 2 0 2
     |-- 10.1.0.7
        /32 host LOCAL
     |-- 10.1.0.255
        /32 link BROADCAST
`;
    const own = parseOwnAddresses(trie, "fe800000000000000042acfffe110002 05 40 20 80     eth0\n");
    expect([...own].sort()).toEqual([key("10.1.0.7"), key("fe80::42:acff:fe11:2")].sort());
  });

  it("limits, states and choices", () => {
    const limits = (soft: string) => `Limit   Soft Limit  Hard Limit  Units\nMax open files   ${soft}  20000   files\n`;
    expect(parseOpenFiles(limits("1024"))).toBe(1024);
    expect(parseOpenFiles(limits("unlimited"))).toBe(Number.POSITIVE_INFINITY);
    expect(parseOpenFiles("")).toBeUndefined();
    expect(parseProcessStatus("Name:\tx\nUid:\t0\t101\t0\t0\nNSpid:\t4711\t1\nTHP_enabled:\t0\n")).toEqual({
      innerPid: 1,
      uid: 101,
      thpEnabled: false,
    });
    expect(parseProcessStatus("Name:\tx\n")).toEqual({});
    expect(parseChoice("always [madvise] never\n")).toBe("madvise");
  });

  it.each<[string, number | undefined]>([
    ["", 10_000],
    ["# maxclients 5\nport 1\n", 10_000],
    ['maxclients 500\nMaxClients "600"\n', 600],
    ["maxclients 500\ninclude /etc/redis/more.conf\n", undefined],
  ])("redis.conf %j asks for %s clients", (conf, maxclients) => {
    expect(parseMaxclients(conf, 10_000)).toBe(maxclients);
  });
});
