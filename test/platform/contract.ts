import { afterAll, beforeAll, describe } from "vitest";
import { type EngineName, enginesHere } from "../engine/workspace";
import type { TestServerName } from "../support/servers";
import type { PlatformUnderTest } from "./platform";
import { calm } from "./scenarios/calm";
import { roll, scaling } from "./scenarios/changes";
import { CLOSED, closed } from "./scenarios/closed";
import { ending } from "./scenarios/ending";
import { faults } from "./scenarios/faults";
import { drift, guards } from "./scenarios/hands";
import { formerOf, killed } from "./scenarios/killed";
import { type Setting, Subject } from "./subject";

/**
 * What every platform promises, shown on real servers under a load that remembers what it wrote. A platform adds an adapter, and no test.
 * It runs on the hermetic engine, and once more on the Pulumi CLI where that is with the plugins of the platform.
 * @param server the one that nodes run
 */
export function contractOf(platform: PlatformUnderTest, server: TestServerName): void {
  for (const engine of enginesHere(...platform.plugins)) on({ platform, engine, server });
}

function on(setting: Setting): void {
  const { platform, server } = setting;
  const by: Record<EngineName, string> = { hermetic: "", cli: ", by the Pulumi CLI" };
  describe.skipIf(platform.missing !== undefined)(`${platform.name}, ${server}${by[setting.engine]}`, () => {
    describe("an open cluster", () => {
      const subject = upBeforeAll(setting);
      calm(subject);
      roll(subject);
      scaling(subject);
      faults(subject);
      drift(subject);
      guards(subject);
      ending(subject);
    });

    describe("a closed cluster", () => closed(upBeforeAll(setting, CLOSED)));

    describe("runs that are killed", () => {
      killed(
        given(() => Subject.create({ ...setting, server: formerOf(server) })),
        server,
      );
    });
  });
}

/** Formed, and under load. */
function upBeforeAll(setting: Setting, args: object = {}): () => Subject {
  return given(async (made) => {
    const subject = made(await Subject.create(setting, args));
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
