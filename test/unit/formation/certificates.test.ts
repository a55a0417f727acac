import { describe, expect, test } from "vitest";
import { certificatesGoal, planCertificates } from "../../../components/formation/certificates";
import type { AnsweringNode } from "../../../components/formation/observation";
import type { IssuedCertificates } from "../../../components/security/certificates";

const FINGERPRINTS = ["1".repeat(64), "2".repeat(64)] as const;
const [END, LATER] = ["2030-01-01T00:00:00.000Z", "2040-01-01T00:00:00.000Z"];
const issued: IssuedCertificates = {
  authorities: [
    { generation: 2, fingerprint: "b".repeat(64), notAfter: LATER },
    { generation: 1, fingerprint: "a".repeat(64), notAfter: END },
  ],
  nodes: {
    db: [
      { fingerprint: FINGERPRINTS[1], notAfter: LATER, authority: 2 },
      { fingerprint: FINGERPRINTS[0], notAfter: END, authority: 1 },
    ],
  },
};
const since = "2029-12-31T00:00:00.000Z";
const inForce = {
  shown: { generation: 1, since },
  trusted: { generation: 1, since },
  oldest: 1,
  certificatesExpire: END,
  authorityExpires: END,
};

describe("what is to be shown", () => {
  test("is of the former authority until everybody trusts the later one, but not once it is over", () => {
    const at = (time: string) => certificatesGoal(issued, 3600, inForce, Date.parse(time));
    expect(at("2029-12-31T12:00:00Z")).toMatchObject({ shown: 1, oldest: 1 });
    expect(at(END)).toMatchObject({ shown: 2, oldest: 1 });
  });
});

test("a node that shows what nobody knows any more is trusted by all others until it shows something else", () => {
  const node = {
    answering: true,
    name: "db",
    certificates: {
      certificateFile: "/tls/unknown.crt",
      trustFile: "/tls/unknown.crt",
      shown: { fingerprint: "f".repeat(64), notAfter: END },
    },
  } as unknown as AnsweringNode;
  const goal = { issued, shown: 2, oldest: 2, overlapSeconds: 0 };
  expect(planCertificates(goal, [node])).toMatchObject([{ do: "trustAuthorities", count: 2 }]);
});
