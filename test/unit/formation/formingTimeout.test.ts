import { expect, test } from "vitest";
import { formingNodeTimeout } from "../../../components/formation/plan";

// Measured with 30 nodes on two busy cores: at 500 ms handshakes alone made nodes miss pings, and who misses one connects anew.
test.each([
  [6, false, 500],
  [30, false, 500],
  [60, false, 1_000],
  [6, true, 500],
  [14, true, 500],
  [30, true, 1_000],
  [60, true, 2_000],
])("%i nodes, TLS %s: %i ms while they form", (nodes, tls, milliseconds) => {
  expect(formingNodeTimeout(nodes, tls)).toBe(milliseconds);
});
