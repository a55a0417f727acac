import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type CertificatesInForce,
  certificateDifferences,
  certificatesGoal,
  planCertificates,
  provedCertificates,
} from "../../../components/formation/certificates";
import { apply } from "../../../components/formation/forecast";
import type { AnsweringNode } from "../../../components/formation/observation";
import type { Step } from "../../../components/formation/steps";
import type { IssuedCertificates } from "../../../components/security/certificates";
import { certificateFiles, trustFile } from "../../../components/security/files";

const NAMES = ["a", "b", "c", "d"];
/** As `ClusterCertificates` keeps them. */
const KEPT_AUTHORITIES = 3;
const OVERLAP_SECONDS = 100;
const END = "2030-01-01T00:00:00.000Z";

/** The certificates of a stack, and nodes that load them, for as long as runs come and are killed. */
class Stack {
  issued: IssuedCertificates = { authorities: [], nodes: {} };
  inForce: CertificatesInForce | undefined;
  nodes: AnsweringNode[] = [];
  now = 0;
  #serial = 0;
  /** What runs that ended well gave out to clients: whom to trust, and whose certificate to show. Each has a time to be replaced in. */
  #clients: { readonly trusts: readonly number[]; readonly shows: number; until: number }[] = [];

  /** Which authorities every file of trust stands for that there ever was. */
  readonly #trustOf = new Map<string, readonly number[]>();
  readonly #authorityOf = new Map<string, number>();

  constructor() {
    this.anotherAuthority();
    this.nodes = NAMES.map((name) => this.#started(name));
  }

  get latest(): number {
    return this.issued.authorities[0]?.generation ?? 0;
  }

  #certificate(authority: number) {
    this.#serial++;
    return { fingerprint: createHash("sha256").update(String(this.#serial)).digest("hex"), notAfter: END, authority };
  }

  /** As `ClusterCertificates` does it: the state keeps three authorities, and nodes show certificates of one of them. */
  get isRefused(): boolean {
    const { authorities } = this.issued;
    const last = authorities.at(-1)?.generation;
    return authorities.length === KEPT_AUTHORITIES && last === (this.inForce?.shown.generation ?? 1);
  }

  anotherAuthority(): void {
    const generation = this.latest + 1;
    const own = { generation, fingerprint: `f${generation}`.padStart(64, "0"), notAfter: END };
    const authorities = [own, ...this.issued.authorities].slice(0, KEPT_AUTHORITIES);
    const kept = new Set(authorities.map((a) => a.generation));
    this.issued = {
      authorities,
      nodes: Object.fromEntries(
        NAMES.map((name) => [
          name,
          [this.#certificate(generation), ...(this.issued.nodes[name] ?? []).filter((c) => kept.has(c.authority))],
        ]),
      ),
    };
    this.#learn();
  }

  renewal(): void {
    const { authorities, nodes } = this.issued;
    this.issued = {
      authorities,
      nodes: Object.fromEntries(
        NAMES.map((name) => {
          const latest = authorities.map(({ generation }) => this.#certificate(generation));
          const former = authorities.flatMap(
            ({ generation }) => (nodes[name] ?? []).find((c) => c.authority === generation) ?? [],
          );
          return [name, [...latest, ...former]];
        }),
      ),
    };
    this.#learn();
  }

  /** As the local platform starts a node that has nothing yet. */
  #started(name: string): AnsweringNode {
    const own = this.issued.nodes[name]?.[0];
    const oldest = this.issued.authorities.at(-1)?.generation ?? 0;
    return {
      answering: true,
      name,
      certificates: {
        certificateFile: `/tls/${certificateFiles(own?.fingerprint ?? "").certificate}`,
        trustFile: `/tls/${trustFile(this.issued, oldest)}`,
        shown: own && { fingerprint: own.fingerprint, notAfter: own.notAfter },
      },
    } as unknown as AnsweringNode;
  }

  #learn(): void {
    const generations = this.issued.authorities.map(({ generation }) => generation);
    for (const oldest of generations)
      this.#trustOf.set(
        trustFile(this.issued, oldest),
        generations.filter((each) => each >= oldest),
      );
    for (const made of Object.values(this.issued.nodes))
      for (const { fingerprint, authority } of made) this.#authorityOf.set(fingerprint, authority);
  }

  trusts({ certificates }: AnsweringNode): readonly number[] {
    return this.#trustOf.get(certificates?.trustFile.split("/").at(-1) ?? "") ?? [];
  }

  shows({ certificates }: AnsweringNode): number {
    return this.#authorityOf.get(certificates?.shown?.fingerprint ?? "") ?? 0;
  }

  /** One step, as the server carries it out. */
  #load(step: Step): void {
    const { nodes } = apply({ nodes: this.nodes }, step);
    this.nodes = (nodes as AnsweringNode[]).map((node) => {
      const { certificates, name } = node;
      if (!certificates || certificates.shown) return node;
      const made = this.issued.nodes[name]?.find((c) =>
        certificates.certificateFile.endsWith(certificateFiles(c.fingerprint).certificate),
      );
      return { ...node, certificates: { ...certificates, shown: made && { ...made } } };
    });
    this.expectTogether();
    this.expectClientsWelcome();
  }

  /** @param kill how many steps are carried out, of each batch in an order of its own, before the run is killed; undefined: none */
  run(kill: { readonly steps: number; readonly order: number } | undefined): void {
    const goal = certificatesGoal(this.issued, OVERLAP_SECONDS, this.inForce, this.now * 1000);
    let left = kill?.steps ?? Number.POSITIVE_INFINITY;
    for (let round = 0; ; round++) {
      expect(round).toBeLessThan(5);
      const steps = planCertificates(goal, this.nodes);
      if (steps.length === 0) break;
      const from = (kill?.order ?? 0) % steps.length;
      for (const step of [...steps.slice(from), ...steps.slice(0, from)]) {
        if (left-- <= 0) return;
        this.#load(step);
      }
    }
    expect(this.nodes.flatMap((node) => certificateDifferences(goal, node))).toEqual([]);
    this.inForce = provedCertificates(goal, this.inForce, this.now * 1000);
    const { oldest } = this.inForce;
    const trusts = this.issued.authorities.map(({ generation }) => generation).filter((each) => each >= oldest);
    const last = this.#clients.at(-1);
    if (last?.shows !== this.latest || last.trusts.join() !== trusts.join()) {
      if (last) last.until = this.now + OVERLAP_SECONDS;
      this.#clients.push({ trusts, shows: this.latest, until: Number.POSITIVE_INFINITY });
    }
    this.expectClientsWelcome();
  }

  /** Nodes find each other at every moment. */
  expectTogether(): void {
    for (const one of this.nodes)
      for (const other of this.nodes)
        expect(this.trusts(one), `${one.name} of ${other.name}`).toContain(this.shows(other));
  }

  /** Whoever has what was given out last, or what was until a short while ago. */
  expectClientsWelcome(): void {
    for (const { trusts, shows, until } of this.#clients) {
      if (this.now >= until) continue;
      for (const node of this.nodes) {
        expect(trusts, node.name).toContain(this.shows(node));
        expect(this.trusts(node), node.name).toContain(shows);
      }
    }
  }
}

const event = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("run" as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("kill" as const), steps: fc.nat(9), order: fc.nat(7) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("wait" as const), seconds: fc.integer({ min: 1, max: 150 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("renewal" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("authority" as const) }) },
);

describe("certificates of a running cluster", () => {
  test("whatever is renewed, killed and waited for: nodes find each other and clients are welcome at every step, and runs come to an end", () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(event, { minLength: 1, maxLength: 40 }), (begun, events) => {
        const stack = new Stack();
        if (begun) stack.run(undefined);
        for (const each of events) {
          if (each.do === "run") stack.run(undefined);
          else if (each.do === "kill") stack.run({ steps: each.steps, order: each.order });
          else if (each.do === "wait") stack.now += each.seconds;
          else if (each.do === "renewal") stack.renewal();
          else if (!stack.isRefused) stack.anotherAuthority();
        }
        // Two of them on their way at the most, of which the former is shown first.
        for (let run = 0; run < 5; run++) {
          stack.run(undefined);
          stack.now += OVERLAP_SECONDS;
        }
        stack.run(undefined);
        expect([stack.inForce?.oldest, stack.inForce?.shown.generation]).toEqual([stack.latest, stack.latest]);
      }),
      { numRuns: process.env.FULL ? 5_000 : 500 },
    );
  });
});
