import { createHash } from "node:crypto";
import * as os from "node:os";
import type Docker from "dockerode";
import type { CompletingRunner } from "../../../../components/cluster/shim";
import { hasUnknown, same } from "../../../../components/cluster/values";
import { renamed } from "../../../../components/spec/renamed";
import {
  type AddressRange,
  addressNumber,
  candidates,
  divide,
  nodeAddress,
  nodesIn,
  numberNodes,
  overlap,
  rangeOf,
} from "../subnet";
import { answered, NoDaemon, orGone } from "./daemon";
import { tooLittleMemory } from "./memory";
import { LABELS, type NetworkDeclaration, type NetworkInputs, type NetworkOutputs } from "./types";

type Runner = CompletingRunner<NetworkDeclaration, NetworkInputs, NetworkOutputs>;

/** What cannot change while containers are in it. */
const LASTING = ["name", "owner", "subnet", "dockerHost"] as const;

/**
 * A cluster's own network, and the address of every node in it. Decided while planning, so that previews show them, and kept from then on: others know
 * a node by its address. Made of nobody else's addresses: those of the daemon's networks, and of this machine's own, are left out.
 */
export const DockerNetwork: Runner = {
  async check(olds, news) {
    if (hasUnknown(news)) return { inputs: news as NetworkInputs, failures: [] };
    const fail = (property: string, reason: string) => ({
      inputs: news as NetworkInputs,
      failures: [{ property, reason: `${news.cluster}: ${reason}` }],
    });
    // The first of a cluster's resources, so that nothing was touched before this is said.
    const name = renamed(olds.cluster, news.cluster);
    if (name) return { inputs: news as NetworkInputs, failures: [{ property: "cluster", reason: name }] };
    let subnet = news.wantedSubnet || olds.subnet;
    try {
      const strangers =
        olds.owner === news.owner ? undefined : await answered(news.dockerHost, (docker) => foreign(docker, news));
      if (strangers) return fail("owner", strangers);
      const before = olds.nodeMemoryBytes ?? 0;
      if (olds.subnet !== undefined && (news.nodeMemoryBytes ?? 0) !== before) {
        const memory = await answered(news.dockerHost, (docker) => tooLittleMemory(docker, news, before));
        if (memory) return fail("nodeMemoryBytes", memory);
      }
      if (subnet === undefined || subnet !== olds.subnet) {
        const taken = await answered(news.dockerHost, (docker) => takenBy(docker, news));
        const range = subnet === undefined ? undefined : rangeOf(subnet);
        const by = range && taken.find((each) => overlap(each.range, range));
        if (by)
          return fail(
            "subnet",
            `subnet "${subnet}" overlaps ${by.who}; choose another, or leave it out and a free one is found`,
          );
        subnet ??= freeSubnet(news.owner, taken);
        if (subnet === undefined) return fail("subnet", "no free network was found; choose one with `subnet`");
      }
    } catch (error) {
      if (!(error instanceof NoDaemon)) throw error;
      return fail("dockerHost", error.message);
    }
    const numbers = numberNodes(subnet === olds.subnet ? (olds.numbers ?? {}) : {}, news.nodes, nodesIn(subnet));
    if (!numbers)
      return fail(
        "subnet",
        `subnet "${subnet}" has room for ${nodesIn(subnet)} nodes, those that leave among them; use a larger one`,
      );
    const own = subnet;
    const addresses = Object.fromEntries(
      Object.entries(numbers).map(([name, number]) => [name, nodeAddress(own, number)]),
    );
    return { inputs: { ...news, ...divide(subnet), numbers, addresses }, failures: [] };
  },

  async diff(_id, olds, news) {
    const replaces = LASTING.filter((name) => !hasUnknown(news[name]) && olds[name] !== news[name]);
    const changed = !same(noted(olds), noted(news));
    return { changes: replaces.length > 0 || changed || !olds.present, replaces, deleteBeforeReplace: true };
  },

  async create(inputs) {
    await answered(inputs.dockerHost, async (docker) => {
      const strangers = await foreign(docker, inputs);
      if (strangers) throw new Error(`${inputs.cluster}: ${strangers}`);
      await makeNetwork(docker, inputs);
    });
    return { id: inputs.name, outs: { ...inputs, present: true } };
  },

  async read(id, props) {
    const there = await answered(props.dockerHost, (docker) => orGone(docker.getNetwork(props.name).inspect()));
    return { id, props: { ...props, present: there !== undefined } };
  },

  async update(_id, _olds, news) {
    await answered(news.dockerHost, (docker) => makeNetwork(docker, news));
    return { outs: { ...news, present: true } };
  },

  async delete(_id, props) {
    await answered(props.dockerHost, async (docker) => {
      const network = docker.getNetwork(props.name);
      const there = await orGone(network.inspect());
      if (there?.Labels?.[LABELS.owner] !== props.owner) return;
      const guests = Object.values(there.Containers ?? {}).map((c) => (c as { Name?: string }).Name ?? "?");
      if (guests.length > 0)
        throw new Error(
          `${props.cluster}: network ${props.name} stays, since containers of others are in it: ${guests.sort().join(", ")}; disconnect them (docker network disconnect), then run this again`,
        );
      await orGone(network.remove());
    });
  },
};

/**
 * Containers come after their network, so those that are there before it are of a cluster that this state knows nothing of: of another
 * checkout whose project and stack have the same names, or of a state that was lost. Their volumes would be taken for this one's.
 */
async function foreign(docker: Docker, { owner }: NetworkDeclaration): Promise<string | undefined> {
  const label = `${LABELS.owner}=${owner}`;
  const there = await docker.listContainers({ all: true, filters: { label: [label] } });
  if (there.length === 0) return undefined;
  const names = there.map(({ Names, Id }) => (Names[0] ?? Id).replace(/^\//, "")).sort();
  return `this stack's state knows of no container, and there are ${there.length} of ${owner} (${names.slice(0, 3).join(", ")}${names.length > 3 ? ", …" : ""}): another checkout has a stack of the same name, or a state was lost. Name the stack or the cluster differently, or bring the state back; where nobody needs these containers, docker rm -f $(docker ps -aq --filter label=${label}) removes them, and their volumes with all data stay`;
}

/** What changes nothing of the network, and is to be known by the next run. */
function noted({ numbers, wantedSubnet, nodeMemoryBytes }: NetworkInputs): unknown {
  return [numbers, wantedSubnet, nodeMemoryBytes];
}

/** Makes the network, or takes over the one that a run which was killed has made. */
async function makeNetwork(
  docker: Docker,
  { cluster, name, owner, subnet, gateway, ipRange }: NetworkInputs,
): Promise<void> {
  const there = await orGone(docker.getNetwork(name).inspect());
  if (there) {
    if (there.Labels?.[LABELS.owner] !== owner)
      throw new Error(
        `${cluster}: there is a network ${name} already, which this stack did not make; remove it (docker network rm), or name the cluster differently`,
      );
    if (there.IPAM?.Config?.[0]?.Subnet === subnet) return;
    await docker.getNetwork(name).remove();
  }
  await docker.createNetwork({
    Name: name,
    CheckDuplicate: true,
    Driver: "bridge",
    IPAM: { Driver: "default", Config: [{ Subnet: subnet, Gateway: gateway, IPRange: ipRange }] },
    Labels: { [LABELS.owner]: owner, [LABELS.cluster]: cluster },
  });
}

interface Taken {
  readonly range: AddressRange;
  readonly who: string;
}

async function takenBy(docker: Docker, { name, owner }: NetworkDeclaration): Promise<Taken[]> {
  const networks = await docker.listNetworks();
  const ofDocker = networks
    .filter((network) => !(network.Name === name && network.Labels?.[LABELS.owner] === owner))
    .flatMap((network) =>
      (network.IPAM?.Config ?? []).flatMap(({ Subnet = "" }) => {
        const range = rangeOf(Subnet);
        return range ? [{ range, who: `Docker's network ${network.Name} (${Subnet})` }] : [];
      }),
    );
  const bridges = new Set(
    networks.flatMap((n) => [`br-${n.Id.slice(0, 12)}`, n.Options?.["com.docker.network.bridge.name"]]),
  );
  const ofMachine = Object.entries(os.networkInterfaces()).flatMap(([device, addresses = []]) =>
    bridges.has(device)
      ? []
      : addresses.flatMap(({ family, address, netmask }) => {
          if (family !== "IPv4") return [];
          const size = 2 ** 32 - addressNumber(netmask);
          const first = addressNumber(address) - (addressNumber(address) % size);
          return [{ range: { first, last: first + size - 1 }, who: `this machine's ${device} (${address})` }];
        }),
  );
  return [...ofDocker, ...ofMachine];
}

function freeSubnet(owner: string, taken: readonly Taken[]): string | undefined {
  const seed = createHash("sha256").update(owner).digest().readUInt16BE(0);
  return candidates(seed).find((subnet) => {
    const range = rangeOf(subnet);
    return range && !taken.some((each) => overlap(each.range, range));
  });
}
