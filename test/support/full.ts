import { test } from "vitest";

/** A test of `npm run test:full` alone: what it shows at length, a shorter one shows at every commit. */
export const onlyInFull = test.skipIf(!process.env.FULL);
