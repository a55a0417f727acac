import { type Client, isNotFound, messageOf, type Operations } from "./client";

interface Image {
  readonly id: string;
  readonly digests: readonly string[];
}

export const images: Operations = {
  async create(client, inputs, state, keep) {
    const name = String(inputs.name);
    const image = await findImage(client, name).catch((error: unknown) => {
      throw new Error(`Unable to read Docker image into resource: ${messageOf(error)}`);
    });
    keep(image.id + name);
    return { ...state, ...outputs(name, image) };
  },

  async read(client, _id, state) {
    const name = String(state.name);
    const image = await localImage(client, name);
    return image && { id: image.id + name, outputs: { ...state, ...outputs(name, image) } };
  },

  async update(client, _id, _old, state) {
    const name = String(state.name);
    return { ...state, ...outputs(name, await findImage(client, name)) };
  },

  async delete(client, _id, state) {
    if (state.keepLocally === true) return;
    const name = String(state.name);
    if (!(await localImage(client, name))) return;
    await client.docker
      .getImage(name)
      .remove({ force: state.forceRemove === true })
      .catch((error: unknown) => {
        throw new Error(`Unable to remove Docker image: ${messageOf(error)}`);
      });
  },
};

function outputs(name: string, image: Image) {
  return { imageId: image.id, repoDigest: digest(name, image.digests) };
}

/** The one that is here, else pulled: what a registry has under the name meanwhile does not count. */
export async function findImage(client: Client, name: string): Promise<Image> {
  const local = await localImage(client, name);
  if (local) return local;
  try {
    const stream = await client.docker.pull(name);
    await new Promise<void>((resolve, reject) =>
      client.docker.modem.followProgress(stream, (error) => (error ? reject(error) : resolve())),
    );
  } catch (error) {
    throw new Error(`unable to pull image ${name}: error pulling image ${name}: ${messageOf(error)}`);
  }
  const pulled = await localImage(client, name);
  if (!pulled) throw new Error(`unable to find or pull image ${name}`);
  return pulled;
}

async function localImage({ docker }: Client, name: string): Promise<Image | undefined> {
  if (name === "") throw new Error("empty image name is not allowed");
  try {
    const { Id, RepoDigests } = await docker.getImage(name).inspect();
    return { id: Id, digests: RepoDigests ?? [] };
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw new Error(`unable to inspect image ${name}: ${messageOf(error)}`);
  }
}

/** Of several registries' digests the one whose name the image is asked by. */
function digest(name: string, digests: readonly string[]): string {
  if (digests.length < 2) return digests[0] ?? "";
  const bare = name.includes(":") ? name.slice(0, name.indexOf(":")) : name;
  return digests.find((item) => item.startsWith(bare)) ?? digests[0] ?? "";
}
