import { afterAll, beforeAll, describe } from "vitest";
import type { TestServerName } from "../support/servers";
import type { PlatformUnderTest } from "./platform";
import { calm } from "./scenarios/calm";
import { roll, scaling } from "./scenarios/changes";
import { CLOSED, closed } from "./scenarios/closed";
import { ending } from "./scenarios/ending";
import { faults } from "./scenarios/faults";
import { drift, guards } from "./scenarios/hands";
import { formerOf, killed } from "./scenarios/killed";
import { Subject } from "./subject";

/**
 * What every platform promises, shown on real servers under a load that remembers what it wrote. A platform adds an adapter, and no test.
 * @param server the one that nodes run
 * @param share `whole`, or `short` for a server that differs little from one that has the whole of it
 */
export function contractOf(platform: PlatformUnderTest, server: TestServerName, share: "whole" | "short"): void {
  describe.skipIf(platform.missing !== undefined)(`${platform.name}, ${server}`, () => {
    describe("an open cluster", () => {
      const subject = upBeforeAll(platform, server);
      calm(subject);
      roll(subject);
      if (share === "whole") scaling(subject);
      faults(subject, share);
      if (share === "whole") {
        drift(subject);
        guards(subject);
      }
      ending(subject);
    });
    if (share === "short") return;

    describe("a closed cluster", () => closed(upBeforeAll(platform, server, CLOSED)));

    describe("runs that are killed", () => {
      killed(
        given(() => Subject.create(platform, formerOf(server))),
        server,
      );
    });
  });
}

/** Formed, and under load. */
function upBeforeAll(platform: PlatformUnderTest, server: TestServerName, args: object = {}): () => Subject {
  return given(async (made) => {
    const subject = made(await Subject.create(platform, server, args));
    await subject.mustUp();
    await subject.startLoad();
    return subject;
  });
}

/** @param make tells of what it made before anything of it can fail, so that it goes in any case */
function given(make: (made: (subject: Subject) => Subject) => Promise<Subject>): () => Subject {
  let subject: Subject | undefined;
  beforeAll(async () => {
    subject = await make((made) => {
      subject = made;
      return made;
    });
  });
  afterAll(() => subject?.dispose());
  return () => {
    if (!subject) throw new Error("there is no cluster");
    return subject;
  };
}
