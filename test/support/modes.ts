/** How the cluster of a scenario speaks. */
export interface Mode {
  /** Arguments beside those of the scenario. */
  readonly args: Readonly<Record<string, unknown>>;
  readonly strict: boolean;
}

export const OPEN: Mode = { args: {}, strict: false };

/** TLS on all ports, certificates asked of everybody, and nobody who comes in without a password. */
export const STRICT: Mode = {
  args: {
    tls: {},
    users: { app: { keys: ["*"], commands: ["+@read", "+@write", "+@transaction", "+wait"] } },
  },
  strict: true,
};

/** Files of scenarios run twice: as they are, and in the test project `strict`, which sets this. Whatever makes a cluster asks here. */
export const MODE: Mode = process.env.STRICT ? STRICT : OPEN;
