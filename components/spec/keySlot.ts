/** CRC16-XMODEM (polynomial 0x1021, start 0), a byte at a time: the table of Redis's crc16.c, computed. */
const TABLE: readonly number[] = Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  return crc;
});

const OPEN = "{".charCodeAt(0);
const CLOSE = "}".charCodeAt(0);

/**
 * The hash slot of a key, 0 to 16383, as the server computes it (`keyHashSlot` in cluster.c). A string is taken as
 * UTF-8. Only the part between the first `{` and the first `}` after it is hashed, where that part is not empty: so
 * `{user:7}:cart` and `{user:7}:name` share a slot.
 */
export function keySlot(key: string | Uint8Array): number {
  const bytes = typeof key === "string" ? Buffer.from(key, "utf8") : key;
  let crc = 0;
  for (const byte of hashedPart(bytes)) crc = ((crc << 8) & 0xffff) ^ (TABLE[((crc >> 8) ^ byte) & 0xff] ?? 0);
  return crc & 16383;
}

function hashedPart(key: Uint8Array): Uint8Array {
  const open = key.indexOf(OPEN);
  if (open < 0) return key;
  const close = key.indexOf(CLOSE, open + 1);
  return close > open + 1 ? key.subarray(open + 1, close) : key;
}
