/**
 * What the frozen shims load inside Pulumi's provider process: `pulumi-redis-cluster/runner`. The exported names are the
 * `kind`s that are written in stored state; they never change.
 */
import { certificatesRunner } from "./certificates";
import { endingWithTheEngine } from "./engineWatch";
import { existingRunner } from "./existing";
import { formationRunner } from "./formation";
import { guardRunner } from "./guard";
import { passwordsRunner } from "./passwords";

export const providers = endingWithTheEngine({
  ClusterCertificates: certificatesRunner,
  ClusterFormation: formationRunner,
  ClusterPasswords: passwordsRunner,
  ExistingFormation: existingRunner,
  NodeGuard: guardRunner,
});
