/** One file as a tar archive. */
export interface TarEntry {
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly content: Buffer;
}

const BLOCK = 512;

export function tar(entry: TarEntry): Buffer {
  const name = Buffer.from(entry.name);
  // Longer than the field: GNU's way, a file before it that holds the name.
  const long =
    name.length > 100
      ? [...file({ ...entry, name: "././@LongLink", content: Buffer.concat([name, Buffer.alloc(1)]) }, "L")]
      : [];
  return Buffer.concat([
    ...long,
    ...file({ ...entry, name: name.subarray(0, 100).toString("latin1") }, "0"),
    Buffer.alloc(2 * BLOCK),
  ]);
}

function file({ name, mode, uid, gid, content }: TarEntry, type: string): Buffer[] {
  const header = Buffer.alloc(BLOCK);
  const octal = (value: number, offset: number, length: number) =>
    header.write(`${value.toString(8).padStart(length - 1, "0")}\0`, offset, "latin1");
  header.write(name, 0, "latin1");
  octal(mode, 100, 8);
  octal(uid, 108, 8);
  octal(gid, 116, 8);
  octal(content.length, 124, 12);
  octal(Math.floor(Date.now() / 1000), 136, 12);
  header.write("        ", 148, "latin1");
  header.write(type, 156, "latin1");
  header.write("ustar  \0", 257, "latin1");
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return [header, content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)];
}
