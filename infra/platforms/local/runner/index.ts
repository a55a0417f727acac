import { endingWithTheEngine } from "../../../../components/formation/runner/engineWatch";
import { LocalNode } from "./node";
import { LocalVolume } from "./volume";

/** What the frozen shim loads in Pulumi's provider process, as `pulumi-redis-cluster/local/runner`. */
export const providers = endingWithTheEngine({ LocalNode, LocalVolume });
