/**
 * What the frozen shims load inside Pulumi's provider process: `pulumi-redis-cluster/runner`. The exported names are the
 * `kind`s that are written in stored state; they never change.
 */
import { formationRunner } from "./formation";
import { guardRunner } from "./guard";

export const providers = { ClusterFormation: formationRunner, NodeGuard: guardRunner };
