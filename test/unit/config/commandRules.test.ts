import { describe, expect, test } from "vitest";
import { differences, parseAclLine } from "../../../components/config/aclList";
import { checkCommandRules } from "../../../components/config/checkCommandRules";
import { allowedBy, withoutDangerous } from "../../../components/config/commandRules";
import { commandTable } from "../../../components/config/commands";
import { usersOf } from "../../../components/config/users";
import type { Engine } from "../../../components/spec/spec";

const redis70: Engine = { name: "redis", version: "7.0.15" };
const table = commandTable(redis70);
const allows = (rules: readonly string[]) => allowedBy(rules, table);
const judge = (rules: readonly string[], engine: Engine | undefined = redis70) =>
  checkCommandRules("users.app.commands", rules, engine).map(({ severity, message }) => `${severity}: ${message}`);
const HASH = "a".repeat(64);

describe("which commands rules allow", () => {
  test("later rules are on top, a command takes its subcommands along, a category what is counted in it", () => {
    expect([...allows(["-@all", "+get", "+config", "-config|set"])].sort()).toEqual([
      "config",
      "config|get",
      "config|help",
      "config|resetstat",
      "config|rewrite",
      "get",
    ]);
    const reads = allows(["+@read", "-@dangerous"]);
    expect([reads.has("get"), reads.has("keys"), reads.has("set")]).toEqual([true, false, false]);
    expect(allows(["+@all", "-@all"]).size).toBe(0);
  });

  test("what is dangerous is left out unless it is asked for", () => {
    expect(withoutDangerous(["+@read", "-get"])).toEqual(["+@read", "-@dangerous", "-get"]);
    expect(withoutDangerous(["+@read", "+@dangerous"])).toEqual(["+@read", "+@dangerous"]);
    expect(withoutDangerous(["+@read", "+keys"])).toEqual(["+@read", "-@dangerous", "+keys"]);
    // Named before the category that it is in: named all the same.
    expect(allows(withoutDangerous(["+keys", "+@read"])).has("keys")).toBe(true);
    expect(allows(withoutDangerous(["+keys", "-keys", "+@read"])).has("keys")).toBe(false);
    expect(withoutDangerous(["+get", "+info"])).toEqual(["+get", "+info"]);
  });
});

describe("rules that this engine and version do not have", () => {
  test.for([
    ["+@reads", 'error: "+@reads": redis 7.0 has no category @reads; did you mean @read?'],
    ["+gets", 'error: "+gets": redis 7.0 has no command gets; did you mean get?'],
    ["+cluster|slot", 'error: "+cluster|slot": redis 7.0 has no cluster|slot; did you mean cluster|slots?'],
    ["+client|setinfo", expect.stringMatching(/^error: "\+client\|setinfo": redis 7\.0 has no client\|setinfo; /)],
    ["+get|x", 'error: "+get|x": get of redis 7.0 has no subcommands; leave out "|x"'],
    ["allkeys", expect.stringMatching(/^error: "allkeys" is no rule; use \+command/)],
    [">hunter2secret", expect.stringMatching(/^error: passwords do not belong among rules/)],
    ["hunter2secret", expect.stringMatching(/^error: commands\[0\] is no rule/)],
  ] as const)("%s", ([rule, message]) => {
    expect(judge([rule])).toEqual([message]);
  });

  test("a later version has it; a newer one than any table may have anything", () => {
    expect(judge(["+client|setinfo"], { name: "redis", version: "8.0" })).toEqual([]);
    expect(judge(["+hgetex"], { name: "redis", version: "7.4" })).toEqual([]);
    expect(judge(["+zzquux"], { name: "valkey", version: "10.0" })).toEqual([
      'warning: "+zzquux": valkey 10.0 has no command zzquux',
    ]);
    expect(checkCommandRules("commands", ["+whatever"], undefined)).toEqual([]);
  });

  test("more than most people mean is a warning", () => {
    expect(judge(["+@read", "+@write"])).toEqual([]);
    expect(judge(["+@all"])).toEqual([expect.stringMatching(/^warning: "\+@all" is every command but the dangerous/)]);
    expect(judge(["+@all", "+@dangerous"])).toEqual([expect.stringMatching(/is an administrator/)]);
    expect(judge(["+@scripting"])).toEqual([
      expect.stringMatching(/^warning: allows scripts \(eval, evalsha, fcall\)/),
    ]);
    expect(judge(["+@read", "+@admin", "+@dangerous"])).toEqual([
      expect.stringMatching(/"\+@dangerous" allows to stop/),
    ]);
  });
});

describe("what a server reports, compared with what is declared", () => {
  const app = { name: "app", passwordHashes: [HASH], keys: ["s:*", "%RW~y"], channels: ["ev*"], commands: ["+@read"] };
  const line = (more: string) => parseAclLine(`user app on sanitize-payload #${HASH} ${more}`);
  const compare = (more: string) => differences(app, line(more) ?? expect.fail("no user"), table);

  test("the same in other words is no difference", () => {
    expect(compare("~y ~s:* resetchannels &ev* -@all +@read")).toEqual([]);
    // As Redis 7.0 may write it.
    const bits = [...allows(["+@read"])].map((name) => `+${name}`).join(" ");
    expect(compare(`~s:* ~y &ev* -@all ${bits}`)).toEqual([]);
  });

  test("each kind of difference is named, without a hash", () => {
    expect(compare(`#${"b".repeat(64)} ~y ~s:* &ev* -@all +@read`)).toEqual(["other passwords"]);
    expect(compare("~s:* &* -@all +@read +set (+get ~x y)")).toEqual([
      "other keys",
      "other channels",
      "other commands",
      "further rules",
    ]);
    expect(differences(app, parseAclLine("user app off nopass -@all") ?? expect.fail("no user"), table)).toEqual([
      "disabled",
      "open without a password",
      "other passwords",
      "other keys",
      "other channels",
      "other commands",
    ]);
    expect(parseAclLine("nonsense")).toBeUndefined();
  });
});

describe("the users of a closed cluster", () => {
  const users = usersOf(
    {
      declared: [{ name: "app", keys: ["s:*"], channels: [], commands: ["+@write", "-info", "-client"] }],
      rotation: "",
      overlapSeconds: 0,
      openDefaultUser: false,
    },
    redis70,
  );
  const of = (name: string) => allows(users.find((user) => user.name === name)?.commands ?? []);

  test("the component's own, and the declared, each with what a cluster client needs and no more", () => {
    expect(users.map(({ name }) => name)).toEqual(["admin", "app", "monitor", "replication"]);
    const app = of("app");
    expect(["set", "cluster|slots", "ping", "readonly"].filter((name) => !app.has(name))).toEqual([]);
    expect(["flushall", "get", "info", "client|setname", "acl|setuser"].filter((name) => app.has(name))).toEqual([]);
    const monitor = of("monitor");
    expect(["info", "slowlog|get", "latency|latest", "cluster|nodes"].filter((name) => !monitor.has(name))).toEqual([]);
    const changing = [...monitor].filter((name) => table.categories.get(name)?.has("write"));
    expect([...changing, ...["config|get", "slowlog|reset", "get"].filter((name) => monitor.has(name))]).toEqual([]);
  });
});
