/** How the cluster of a scenario speaks. */
export interface Mode {
  readonly name: string;
  /** Arguments beside those of the scenario. */
  readonly args: Readonly<Record<string, unknown>>;
  readonly strict: boolean;
}

export const OPEN: Mode = { name: "open", args: {}, strict: false };

/** Under TLS, on all ports, with certificates asked of everybody, and nobody comes in without a password. */
export const STRICT: Mode = {
  name: "TLS and strict users",
  args: {
    tls: {},
    users: { app: { keys: ["*"], commands: ["+@read", "+@write", "+@transaction", "+wait"] } },
  },
  strict: true,
};

/**
 * In which modes the scenarios of a file are run: in `npm run test:full` in both; else in the open one, and where they are the sample of
 * the strict one in that as well. `STRICT=1` runs the strict one alone, whatever the file.
 */
export function modes({ sample = false } = {}): readonly Mode[] {
  if (process.env.STRICT) return [STRICT];
  return process.env.FULL || sample ? [OPEN, STRICT] : [OPEN];
}
