import type { Source } from "../schema";

/**
 * What the rules in this folder were read from. They are facts of these files, property by property; nothing of the code is here.
 * @pulumi/docker 5.2.0 pins a provider that is newer than 4.5.0 by three arguments of containers. They are refused, or stand in
 * the rules with what the SDK's own documentation says of them.
 */
export const source: Source = {
  provider: "github.com/kreuzwerker/terraform-provider-docker",
  version: "4.5.0",
  commit: "5074970c71ce6cc393c74942d5d628943834beb9",
  files: [
    "internal/provider/resource_docker_container.go",
    "internal/provider/resource_docker_container_funcs.go",
    "internal/provider/resource_docker_container_structures.go",
    "internal/provider/resource_docker_network.go",
    "internal/provider/resource_docker_network_funcs.go",
    "internal/provider/resource_docker_volume.go",
    "internal/provider/resource_docker_image.go",
    "internal/provider/resource_docker_image_funcs.go",
    "internal/provider/config.go",
    "internal/provider/provider.go",
  ],
  notes: [
    "bridged by github.com/pulumi/pulumi-docker, commit 237b7899bb513613a7645e74d6981c12d054dcc7: provider/resources.go, schema.json",
    "bridge: github.com/pulumi/pulumi-terraform-bridge/v3 v3.137.0, pkg/tfbridge/{provider,schema}.go",
    "in the SDK and not in 4.5.0: Container.deviceCgroupRules (refused), uploads[].owner and .group (numeric IDs only)",
  ],
};
