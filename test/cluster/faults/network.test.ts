import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { expect, test } from "vitest";
import { until } from "../../support/formation";
import { namesOf, removeLeftovers } from "../../support/network";
import { networkFor } from "../../support/zones";

test("what a killed run left is removed with its processes, and a living one's is left alone", async (context) => {
  const network = await networkFor(context, { zones: ["zone-a"], hostsPerZone: 1 });
  const { ensureIp } = await import("../../../infra/toolchain/iproute.mjs");
  const ip = await ensureIp();
  // Its owner is a process that has ended.
  const owner = spawn("true");
  await once(owner, "close");
  const name = `prc-${owner.pid}-1-1-zone-a`;
  execFileSync(ip, ["netns", "add", name]);
  const inside = spawn("nsenter", [`--net=/run/netns/${name}`, "sleep", "600"], { stdio: "ignore" });
  const ended = once(inside, "exit");
  await until("it runs in there", () => execFileSync(ip, ["netns", "pids", name], { encoding: "utf8" }).trim() !== "");

  const own = namesOf(`prc-${process.pid}-`);
  expect(own).toHaveLength(2);
  expect(removeLeftovers(ip)).toContain(name);
  expect(await ended).toEqual([null, "SIGKILL"]);
  expect(namesOf(name)).toEqual([]);
  expect(namesOf(`prc-${process.pid}-`)).toEqual(own);

  network.dispose();
  expect(namesOf(`prc-${process.pid}-`)).toEqual([]);
  // The kernel takes a namespace apart after the command has ended.
  await until("its route is gone", () => !execFileSync(ip, ["route"], { encoding: "utf8" }).includes(network.here));
});
