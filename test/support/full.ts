import { test } from "vitest";

/** A test of `npm run test:full` alone: something at every commit shows the same, or comes close to it. */
export const onlyInFull = test.skipIf(!process.env.FULL);
