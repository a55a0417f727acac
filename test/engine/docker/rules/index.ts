import type { ResourceRules } from "../schema";
import { container } from "./container";
import { network, remoteImage, volume } from "./others";

export { provider } from "./others";
export { source } from "./source";

export const containerType = "docker:index/container:Container";
export const networkType = "docker:index/network:Network";
export const volumeType = "docker:index/volume:Volume";
export const remoteImageType = "docker:index/remoteImage:RemoteImage";

/** The types that the double knows. */
export const rules: Readonly<Record<string, ResourceRules>> = {
  [containerType]: container,
  [networkType]: network,
  [volumeType]: volume,
  [remoteImageType]: remoteImage,
};
