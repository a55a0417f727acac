import { randomInt } from "node:crypto";
import type { ResourceRunner } from "../../cluster/shim";
import { ownEntry } from "../../security/ownEntry";
import { renamed } from "../../spec/renamed";
import { sorted } from "./formation";
import { withoutUndefined } from "./partialFailure";
import { hasUnknown, UNKNOWN } from "./unknowns";

/** The passwords of one user. */
export interface PasswordRecord {
  /** Counts its passwords, from 1. */
  readonly generation: number;
  readonly current: string;
  /** Those of before, the latest first: a node may still have one that a run did not get to. */
  readonly former: readonly { readonly generation: number; readonly password: string }[];
}

export type PasswordTable = Readonly<Record<string, PasswordRecord>>;

/** Inputs of the resource that keeps the passwords of a cluster. */
export interface PasswordsInputs {
  readonly cluster: string;
  /** Names of all users. */
  readonly users: readonly string[];
  /** Another text than before renews every password that was generated. */
  readonly rotation: string;
  /** Passwords that the program gives, by user; secret. */
  readonly given: Readonly<Record<string, string>>;
  /** Empty as the program declares it, and made by `check`; secret. */
  readonly table: PasswordTable;
}

/** More rotations than may follow each other without one run that comes to its end. */
const MOST_FORMER = 8;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/** 190 bits: nobody finds it by trying, nor from its SHA-256. */
const LENGTH = 32;

export function generatePassword(): string {
  return Array.from({ length: LENGTH }, () => ALPHABET[randomInt(ALPHABET.length)]).join("");
}

/**
 * Keeps the passwords of a cluster in the stack's state, as a secret, and makes them. It speaks to nobody: what it says is to hold,
 * formation brings about. `check` makes them, so that everything that depends on them is known in previews; what a
 * preview makes is thrown away.
 */
export const passwordsRunner: ResourceRunner<PasswordsInputs, PasswordsInputs> = {
  async check(olds, news) {
    const name = renamed(olds.cluster, news.cluster);
    if (name)
      return { inputs: { ...news, table: olds.table ?? {} }, failures: [{ property: "cluster", reason: name }] };
    if (hasUnknown(news)) return { inputs: { ...news, table: UNKNOWN as unknown as PasswordTable }, failures: [] };
    const failures = Object.entries(news.given).flatMap(([user, password]) =>
      whyNoPassword(password).map((why) => ({ property: "given", reason: `users.${user}.password: ${why}` })),
    );
    if (failures.length > 0) return { inputs: { ...news, table: olds.table ?? {} }, failures };
    const rotates = olds.rotation !== undefined && olds.rotation !== news.rotation;
    const table = Object.fromEntries(
      news.users.map((user) => [user, nextRecord(ownEntry(olds.table, user), ownEntry(news.given, user), rotates)]),
    );
    return { inputs: { ...news, table }, failures };
  },

  async diff(_id, olds, news) {
    const changes = JSON.stringify(sorted(declared(olds))) !== JSON.stringify(sorted(declared(news)));
    return { changes, replaces: [] };
  },

  async create(inputs) {
    return { id: `${inputs.cluster}-passwords`, outs: withoutUndefined({ ...inputs }) };
  },

  async read(id, props) {
    return { id, props };
  },

  async update(_id, _olds, news) {
    return { outs: withoutUndefined({ ...news }) };
  },

  async delete() {
    // There is nothing but the state.
  },
};

/** Of a value that was an output until now. It is never shown. */
function whyNoPassword(value: unknown): string[] {
  if (typeof value !== "string") return [`got a ${typeof value}; must be a string, better a secret Output`];
  return value === "" ? ["is empty; give one, or leave it out"] : [];
}

/** A password that is given is the one that holds; a generated one stays until a rotation. */
export function nextRecord(
  was: PasswordRecord | undefined,
  given: string | undefined,
  rotates: boolean,
): PasswordRecord {
  if (!was) return { generation: 1, current: given ?? generatePassword(), former: [] };
  const current = given ?? (rotates ? generatePassword() : was.current);
  if (current === was.current) return was;
  const former = [{ generation: was.generation, password: was.current }, ...was.former].slice(0, MOST_FORMER);
  return { generation: was.generation + 1, current, former };
}

function declared({ users, rotation, given, table }: PasswordsInputs): unknown {
  return { users, rotation, given, table };
}
