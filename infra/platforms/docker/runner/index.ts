import { endingWithTheEngine } from "../../../../components/formation/runner/engineWatch";
import { DockerNetwork } from "./network";
import { DockerNode } from "./node";

/** What the frozen shim loads in Pulumi's provider process, as `pulumi-redis-cluster/docker/runner`. */
export const providers = endingWithTheEngine({ DockerNetwork, DockerNode });
