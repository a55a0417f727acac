export { checkRedisConfig } from "./checkRedisConfig";
export { allDirectives, clusterDirectives, mergeDirectives, splitDirectives } from "./clusterDirectives";
export { endpointDirectives, storageDirectives, tlsDirectives } from "./nodeDirectives";
export { describeSetting, normalizeSetting } from "./normalize";
export { renderRedisConf } from "./redisConf";
export type { Directive, DirectiveSplit, NodeEndpoint } from "./types";
export { upgradeProblem } from "./upgrade";
export { renderUsersAcl } from "./usersAcl";
