import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { keySlot } from "../../../components/spec/keySlot";

const seed = Number(process.env.FC_SEED ?? 20240607);

/** CRC16-XMODEM by its definition: the message as a polynomial, followed by 16 zero bits, divided bit by bit. */
function crcByDivision(bytes: Uint8Array): bigint {
  let message = 0n;
  for (const byte of bytes) message = (message << 8n) | BigInt(byte);
  message <<= 16n;
  for (let bit = BigInt(bytes.length) * 8n + 15n; bit >= 16n; bit--)
    if ((message >> bit) & 1n) message ^= 0x11021n << (bit - 16n);
  return message;
}

/** The tag rule by a regular expression on one character a byte. */
function slotByDefinition(key: Uint8Array): number {
  const text = Buffer.from(key).toString("latin1");
  const tag = /^[^{]*\{([^}]+)\}/.exec(text)?.[1] ?? text;
  return Number(crcByDivision(Buffer.from(tag, "latin1")) % 16384n);
}

describe("hash slots", () => {
  // The first is the check value of CRC16-XMODEM (0x31c3); the rest are from the server's CLUSTER KEYSLOT and documents.
  test.each([
    ["123456789", 0x31c3],
    ["", 0],
    ["foo", 12182],
    ["somekey", 11058],
    ["foo{hash_tag}", 2515],
    ["bar{hash_tag}", 2515],
  ])("%s", (key, slot) => expect(keySlot(key)).toBe(slot));

  test("only the first non-empty tag counts", () => {
    expect(keySlot("{user1000}.following")).toBe(keySlot("user1000"));
    expect(keySlot("foo{{bar}}zap")).toBe(keySlot("{bar"));
    expect(keySlot("foo{bar}{zap}")).toBe(keySlot("bar"));
    expect(keySlot("foo{}{bar}")).toBe(slotByDefinition(Buffer.from("foo{}{bar}")));
    expect(keySlot("foo{}{bar}")).not.toBe(keySlot("bar"));
    expect(keySlot("}a{b}")).toBe(keySlot("b"));
  });

  test("a string is its UTF-8 bytes", () =>
    expect(keySlot("ключ{été}")).toBe(keySlot(Buffer.from("ключ{été}", "utf8"))));

  test("agrees with the definition on any bytes, tags among them", () => {
    const byte = fc.oneof(
      fc.integer({ min: 0, max: 255 }),
      fc.constantFrom(..."{}ab".split("").map((letter) => letter.charCodeAt(0))),
    );
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 40 }), (bytes) => {
        expect(keySlot(Uint8Array.from(bytes))).toBe(slotByDefinition(Uint8Array.from(bytes)));
      }),
      { seed, numRuns: 5000 },
    );
  });
});
