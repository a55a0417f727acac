/**
 * For applications: how to set up ioredis so that a cluster which is scaled, rolled or repaired meanwhile costs them
 * milliseconds and no error. Loads nothing but itself: no Pulumi, no client library.
 */
export { handleChanges, ioredisOptions, mayRepeat, transact } from "./ioredis";
