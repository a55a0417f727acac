import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { PROXY_DEFAULTS } from "../../../components/access/defaults";

/** Both say it to somebody: the arguments to users, the types to whoever calls. */
const FILES = ["infra/platforms/existing/args.ts", "components/access/types.ts"];

describe.each(FILES)("defaults of a proxy are what %s says", (file) => {
  const text = readFileSync(join(__dirname, "../../..", file), "utf8");
  test.each(Object.entries(PROXY_DEFAULTS))("%s: %s", (name, value) => {
    const proxy = text.slice(text.search(/interface Proxy(Args|Access) /));
    const said = new RegExp(`Default: (\\S+?)[.;][^\\n]*\\*/\\s+(?:readonly )?${name}\\?:`).exec(proxy)?.[1];
    expect(said).toBe(String(value));
  });
});
