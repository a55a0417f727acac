/** What holds of a proxy where nobody says otherwise; the words of the arguments repeat it, and a test compares them. */
export const PROXY_DEFAULTS = { port: 22, user: "root", dialErrorLimit: 10, perDialTimeout: 15 } as const;
