import { describe, expect, it } from "vitest";
import { hostLines } from "../../../../components/operations/hosts/draw";
import type { MachineFacts, NodeFacts, ProcessFacts, ServerFacts } from "../../../../components/operations/hosts/facts";
import { type HostSettingName, judgeHosts } from "../../../../components/operations/hosts/judge";
import { plain } from "../../../../components/operations/paint";

const WELL: MachineFacts = {
  overcommitMemory: 1,
  transparentHugePages: "madvise",
  clocksource: { current: "tsc", available: ["tsc", "hpet"] },
};
const PROCESS: ProcessFacts = {
  pid: 42,
  openFiles: 10_032,
  thpEnabled: true,
  writtenMaxclients: 10_000,
  somaxconn: 4096,
  otherNetwork: false,
};
const SERVER: ServerFacts = {
  os: "Linux 6.1.0 x86_64",
  pid: 42,
  maxclients: 10_000,
  tcpBacklog: 511,
  disableThp: true,
};

const node = (server: Partial<ServerFacts> = {}, process: Partial<ProcessFacts> = {}, name = "a"): NodeFacts => ({
  name,
  address: "10.0.0.1",
  server: { ...SERVER, ...server, process: { ...PROCESS, ...process } },
});
/** The same, where no process of it was found. */
const remote = (server: Partial<ServerFacts> = {}, name = "a", address = "10.0.0.1"): NodeFacts => ({
  name,
  address,
  server: { ...SERVER, ...server },
});

function judged(name: HostSettingName, nodes: readonly NodeFacts[], machine: MachineFacts = WELL) {
  const [host] = judgeHosts({ machine, nodes });
  return host?.settings.find((s) => s.name === name);
}

describe("judgeHosts", () => {
  it("has nothing to say of a host that is as its servers ask for", () => {
    const [host] = judgeHosts({ machine: WELL, nodes: [node()] });
    expect(host).toMatchObject({ address: "10.0.0.1", nodes: ["a"], seen: true, unseen: [] });
    expect(host?.settings.map((s) => s.name)).toEqual([
      "vm.overcommit_memory",
      "transparent_hugepage",
      "net.core.somaxconn",
      "nofile",
      "clocksource",
    ]);
    for (const setting of host?.settings ?? []) {
      expect(setting.ok).toBe(true);
      expect(setting.why ?? setting.remedy).toBeUndefined();
    }
  });

  it.each([0, 2])("overcommit_memory %i: with the command and the line that keeps it", (value) => {
    expect(judged("vm.overcommit_memory", [node()], { ...WELL, overcommitMemory: value })).toMatchObject({
      value: String(value),
      wanted: "1",
      ok: false,
      nodes: ["a"],
      remedy:
        "`sysctl -w vm.overcommit_memory=1`; to keep it, the line `vm.overcommit_memory = 1` in /etc/sysctl.d/60-redis.conf",
    });
  });

  describe("transparent huge pages", () => {
    const always = { ...WELL, transparentHugePages: "always" };

    it.each<[string, Partial<ServerFacts>, Partial<ProcessFacts>, boolean | undefined]>([
      ["switched off by the server for itself", {}, { thpEnabled: false }, true],
      ["set after the server had started", {}, { thpEnabled: true }, false],
      ["`disable-thp no`", { disableThp: false }, { thpEnabled: true }, false],
    ])("always, %s", (_name, server, process, ok) => {
      expect(judged("transparent_hugepage", [node(server, process)], always)?.ok).toBe(ok);
    });

    it("always, on a kernel that does not show a process's own state: the directive is believed", () => {
      const { thpEnabled: _hidden, ...hidden } = PROCESS;
      const of = (server: ServerFacts) => judged("transparent_hugepage", [{ ...node(), server }], always)?.ok;
      expect(of({ ...SERVER, process: hidden })).toBe(true);
      expect(of({ ...SERVER, disableThp: false, process: hidden })).toBe(false);
      const { disableThp: _untold, ...untold } = SERVER;
      expect(of({ ...untold, process: hidden })).toBeUndefined();
    });

    it("names those that it is about", () => {
      const nodes = [node({}, { thpEnabled: false }, "spared"), node({ disableThp: false }, {}, "hit")];
      const setting = judged("transparent_hugepage", nodes, always);
      expect(setting?.nodes).toEqual(["hit"]);
      expect(setting?.remedy).toContain("disable-thp yes");
      expect(setting?.remedy).toContain("/etc/tmpfiles.d/");
    });

    it.each(["madvise", "never"])("%s is as asked for", (mode) => {
      expect(judged("transparent_hugepage", [node()], { ...WELL, transparentHugePages: mode })).toMatchObject({
        value: mode,
        ok: true,
      });
    });
  });

  describe("somaxconn", () => {
    it("is measured by each server's own tcp-backlog", () => {
      expect(judged("net.core.somaxconn", [node({}, { somaxconn: 511 })])?.ok).toBe(true);
      expect(judged("net.core.somaxconn", [node({ tcpBacklog: 100 }, { somaxconn: 128 })])?.ok).toBe(true);
      const nodes = [node({}, { somaxconn: 128 }), node({ tcpBacklog: 2048 }, { somaxconn: 128 }, "b")];
      expect(judged("net.core.somaxconn", nodes)).toMatchObject({
        value: "128",
        wanted: "at least 2048",
        ok: false,
        nodes: ["a", "b"],
        remedy: expect.stringContaining("`sysctl -w net.core.somaxconn=2048`, then restart"),
      });
    });

    it("of another network namespace is set in there", () => {
      const setting = judged("net.core.somaxconn", [node({}, { somaxconn: 128, otherNetwork: true })]);
      expect(setting?.remedy).toContain("`nsenter --net=/proc/42/ns/net sysctl -w net.core.somaxconn=511`");
      expect(setting?.remedy).toContain("docker run --sysctl net.core.somaxconn=511");
    });
  });

  describe("open files", () => {
    it.each<[string, Partial<ServerFacts>, Partial<ProcessFacts>, boolean, string, string]>([
      ["enough", {}, {}, true, "10032", "at least 10032"],
      ["no limit", {}, { openFiles: Number.POSITIVE_INFINITY }, true, "unlimited", "at least 10032"],
      ["lowered", { maxclients: 992 }, { openFiles: 1024 }, false, "1024 (maxclients 992)", "at least 10032"],
      [
        "lowered by an odd limit",
        { maxclients: 4960 },
        { openFiles: 4992 },
        false,
        "4992 (maxclients 4960)",
        "at least 10032",
      ],
      [
        "lowered, from more than the default",
        { maxclients: 19_968 },
        { openFiles: 20_000, writtenMaxclients: 50_000 },
        false,
        "20000 (maxclients 19968)",
        "at least 50032",
      ],
      [
        "lowered, and written so by CONFIG REWRITE",
        { maxclients: 992 },
        { openFiles: 1024, writtenMaxclients: 992 },
        false,
        "1024 (maxclients 992)",
        "at least 10032",
      ],
      [
        "the limit was raised since, maxclients not",
        { maxclients: 4064 },
        {},
        false,
        "10032 (maxclients 4064)",
        "at least 10032",
      ],
      [
        "fewer clients, as redis.conf says",
        { maxclients: 500 },
        { openFiles: 1024, writtenMaxclients: 500 },
        true,
        "1024",
        "at least 532",
      ],
      [
        "fewer clients, as the command line says, to which the server raised its limit",
        { maxclients: 5000 },
        { openFiles: 5032 },
        true,
        "5032",
        "at least 5032",
      ],
      ["fewer clients, by CONFIG SET", { maxclients: 777 }, {}, true, "10032", "at least 809"],
      [
        "lowered by hand since the server started",
        {},
        { openFiles: 4096 },
        false,
        "4096 (maxclients 10000)",
        "at least 10032",
      ],
    ])("%s", (_name, server, process, ok, value, wanted) => {
      expect(judged("nofile", [node(server, process)])).toMatchObject({ ok, value, wanted });
    });

    it.each<[number, boolean, string]>([
      [10_000, true, "at least 10032"],
      [992, false, "1024 (maxclients 992)"],
      [4064, false, "4096 (maxclients 4064)"],
      [5000, true, "at least 5032"],
      [1024, true, "at least 1056"],
    ])("elsewhere, maxclients %i tells", (maxclients, ok, value) => {
      const [host] = judgeHosts({ machine: WELL, nodes: [remote({ maxclients })] });
      expect(host).toMatchObject({ seen: false, settings: [{ name: "nofile", ok, value }] });
      expect(host?.unseen).toHaveLength(4);
    });

    it("says how to raise it now, how to keep it, and what CONFIG REWRITE may have left", () => {
      const short = { openFiles: 1024 };
      const remedy = judged("nofile", [node({ maxclients: 992 }, short)])?.remedy;
      expect(remedy).toContain("`prlimit --pid 42 --nofile=10032:10032`, then `CONFIG SET maxclients 10000` on a;");
      expect(remedy).toContain("LimitNOFILE=10032");
      expect(remedy).not.toContain("CONFIG REWRITE");
      const rewritten = judged("nofile", [node({ maxclients: 992 }, { ...short, writtenMaxclients: 992 })])?.remedy;
      expect(rewritten).toContain("does not say `maxclients 992`");
      const raised = judged("nofile", [node({ maxclients: 992 })])?.remedy;
      expect(raised).toMatch(/^`CONFIG SET maxclients 10000` on a;/);
      const both = judged("nofile", [
        node({ maxclients: 992 }, short),
        node({ maxclients: 992 }, { ...short, pid: 43 }, "b"),
        node({}, {}, "c"),
      ]);
      expect(both?.nodes).toEqual(["a", "b"]);
      expect(both?.remedy).toContain("`for p in 42 43; do prlimit --pid $p --nofile=10032:10032; done`");
    });
  });

  it("warns of the clocksource that servers warn of", () => {
    const xen = (available: string[]) =>
      judged("clocksource", [node()], { ...WELL, clocksource: { current: "xen", available } });
    expect(xen(["xen", "tsc"])).toMatchObject({ ok: false, remedy: expect.stringContaining("`clocksource=tsc`") });
    expect(xen(["xen"])?.remedy).toContain("--check-system");
  });

  it("says why a host was not seen, and judges nothing that is not Linux's", () => {
    const silent: NodeFacts = { name: "d", address: "10.0.0.10" };
    const mac = remote({ os: "Darwin 23.1.0 arm64", maxclients: 992 }, "c", "10.0.0.3");
    const hosts = judgeHosts({ machine: {}, nodes: [silent, mac, remote({}, "b", "10.0.0.2")] });
    expect(hosts.map((h) => [h.address, h.seen, h.reason])).toEqual([
      ["10.0.0.2", false, "its servers are no processes that this machine shows"],
      ["10.0.0.3", false, "it runs on Darwin 23.1.0 arm64; these are settings of Linux"],
      ["10.0.0.10", false, "no server answers there, so none could be looked for"],
    ]);
    expect(hosts[1]).toMatchObject({ settings: [], unseen: [] });
  });

  it("leaves out what the machine does not show", () => {
    const [host] = judgeHosts({ machine: {}, nodes: [node()] });
    expect(host?.settings.map((s) => s.name)).toEqual(["net.core.somaxconn", "nofile"]);
    expect(host?.unseen).toEqual(["vm.overcommit_memory", "transparent_hugepage", "clocksource"]);
  });
});

describe("hostLines", () => {
  const draw = (nodes: readonly NodeFacts[], machine: MachineFacts, width = 120) =>
    hostLines(judgeHosts({ machine, nodes }), { paint: plain, width });

  it("draws nothing where all is as asked for, hosts that cannot be seen included", () => {
    expect(draw([node(), remote({}, "b", "10.0.0.2")], WELL)).toEqual([]);
  });

  it("draws one line a setting for all hosts that share it", () => {
    const here = ["127.0.1.1", "127.0.2.1", "127.0.3.1"].flatMap((address) =>
      ["a", "b"].map((name) => ({ ...node({}, {}, name), address })),
    );
    const lines = draw([...here, remote({ maxclients: 4064 }, "far", "10.9.9.9")], { ...WELL, overcommitMemory: 0 });
    // Update it only when the new text is better to look at.
    expect(lines.join("\n")).toMatchInlineSnapshot(`
      "
      ! 10.9.9.9: nofile is 4096 (maxclients 4064), wanted at least 10032; the server takes 4064 clients, not 10000, and
        refuses the next
        → \`prlimit --pid 42 --nofile=10032:10032\`, then \`CONFIG SET maxclients 10000\` on far; to keep it, \`LimitNOFILE=10032\`
          under [Service] in a drop-in of the server's unit (/etc/systemd/system/redis-server.service.d/nofile.conf), or what
          starts it instead; see that redis.conf does not say \`maxclients 4064\`: CONFIG REWRITE writes the lowered number
      ! 127.0.1.1, 127.0.2.1, 127.0.3.1: vm.overcommit_memory is 0, wanted 1; a background save or a full copy to a replica
        may fail for want of memory that it would never use
        → \`sysctl -w vm.overcommit_memory=1\`; to keep it, the line \`vm.overcommit_memory = 1\` in /etc/sysctl.d/60-redis.conf
        settings of 10.9.9.9 cannot be seen from here; nofile is what servers tell"
    `);
  });

  it("draws one line where only pids tell the remedies apart", () => {
    const low = (pid: number) => node({ maxclients: 992 }, { openFiles: 1024, pid });
    const lines = draw([low(1), { ...low(2), address: "10.0.0.2" }], WELL, 1000);
    expect(lines).toHaveLength(3);
    expect(lines[1]).toMatch(/^! 10\.0\.0\.1, 10\.0\.0\.2: nofile is 1024/);
    expect(lines[2]).toMatch(/^ {2}→ on 10\.0\.0\.1: `prlimit --pid 1 .*likewise on the others/);
  });

  it("names few of many hosts, and stays within the terminal", () => {
    const nodes = Array.from({ length: 30 }, (_, i) => ({ ...node({}, {}, `n${i}`), address: `10.0.0.${i}` }));
    const lines = draw(nodes, { ...WELL, overcommitMemory: 0 }, 60);
    expect(lines[1]).toMatch(/^! 10\.0\.0\.0, 10\.0\.0\.1, 10\.0\.0\.2 and 27 more hosts:/);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(60);
  });
});
