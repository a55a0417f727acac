import { createHmac, randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  fingerprintOf,
  hostKeyAlgorithms,
  judgeHostKey,
  readHostKey,
  readKnownHosts,
} from "../../../components/access/hostKeys";

/** Any bytes do: nobody computes with the key here. */
function aKey(type: string, fill: number): Buffer {
  const part = (bytes: Buffer) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  return Buffer.concat([part(Buffer.from(type)), part(Buffer.alloc(32, fill))]);
}

const ed = aKey("ssh-ed25519", 1);
const other = aKey("ssh-ed25519", 2);
const rsa = aKey("ssh-rsa", 3);
const line = (key: Buffer, type = "ssh-ed25519") => `${type} ${key.toString("base64")}`;
const known = (text: string, host = "bastion.example.com", port = 22) =>
  readKnownHosts(new Map([["~/.ssh/known_hosts", text]]), host, port);
const judge = (text: string, offered: Buffer, host = "bastion.example.com", port = 22) =>
  judgeHostKey({ kind: "known", known: known(text, host, port) }, [offered], host, port);

/** As `ssh-keygen -H` writes a name. */
function hashed(name: string): string {
  const salt = randomBytes(20);
  return `|1|${salt.toString("base64")}|${createHmac("sha1", salt).update(name).digest("base64")}`;
}

describe("known_hosts", () => {
  test.for([
    ["a plain name", "bastion.example.com", "bastion.example.com", 22],
    ["whatever the case", "Bastion.Example.com", "BASTION.example.com", 22],
    ["a list", "10.0.0.5,bastion.example.com,other", "bastion.example.com", 22],
    ["a pattern", "*.example.com", "bastion.example.com", 22],
    ["a pattern of one letter", "bastion-?.example.com", "bastion-1.example.com", 22],
    ["a port of its own", "[bastion.example.com]:2222", "bastion.example.com", 2222],
    ["a pattern with a port", "[*.example.com]:2222", "bastion.example.com", 2222],
    ["a hashed name", hashed("bastion.example.com"), "bastion.example.com", 22],
    ["a hashed name in capitals", hashed("bastion.example.com"), "BASTION.example.com", 22],
    ["a hashed name with a port", hashed("[bastion.example.com]:2222"), "bastion.example.com", 2222],
    ["IPv6", "fe80::1", "fe80::1", 22],
    ["IPv6 with a port", "[fe80::1]:2222", "fe80::1", 2222],
    ["the plain name, where a port has no entry of its own", "bastion.example.com", "bastion.example.com", 2222],
  ] as const)("knows the server by %s", ([, patterns, host, port]) => {
    expect(judge(`# a comment\n\n${patterns} ${line(ed)} a comment\n`, ed, host, port)).toBeUndefined();
    expect(judge(`${patterns} ${line(ed)}`, other, host, port)).toBeDefined();
  });

  test.for([
    ["another name", "bastion2.example.com"],
    ["a port where there is none", "[bastion.example.com]:2222"],
    ["a pattern that is taken back", "*.example.com,!bastion.example.com"],
    ["a dot that is none", "bastion-example.com"],
    ["a hash of another name", hashed("other.example.com")],
    ["a hash with a port", hashed("[bastion.example.com]:2222")],
    ["a line that is cut off", "bastion.example.com ssh-ed25519"],
    ["a key that is none", "bastion.example.com ssh-ed25519 AAAA!"],
    ["a key of another type than it says", `bastion.example.com ssh-rsa ${ed.toString("base64")}`],
  ] as const)("does not know it by %s", ([, patterns]) => {
    const text = patterns.includes(" ") ? patterns : `${patterns} ${line(ed)}`;
    expect(judge(text, ed)).toMatch(/^its host key is not known: it shows ssh-ed25519 SHA256:/);
  });

  test("an unknown one: what it shows, where was looked, and both ways to go on", () => {
    const message = judge("", ed, "10.0.0.5", 2222);
    expect(message).toBe(
      `its host key is not known: it shows ssh-ed25519 ${fingerprintOf(ed)}, and nothing is known of [10.0.0.5]:2222 in ~/.ssh/known_hosts; compare it with the server's own (\`ssh-keygen -lf\` of its public key there), then give hostKey: "${fingerprintOf(ed)}", or add to ~/.ssh/known_hosts: [10.0.0.5]:2222 ${line(ed)}`,
    );
    expect(judgeHostKey({ kind: "known", known: readKnownHosts(new Map(), "b", 22) }, [ed], "b", 22)).toMatch(
      /and there is no known_hosts; /,
    );
  });

  test("another one than known: both fingerprints, the line, and to find out before anything is replaced", () => {
    const message = judge(`# first\nbastion.example.com ${line(other)}\n`, ed) ?? "";
    expect(message).toContain(`it shows ssh-ed25519 ${fingerprintOf(ed)}`);
    expect(message).toContain(`known is ssh-ed25519 ${fingerprintOf(other)} (~/.ssh/known_hosts:2)`);
    expect(message).toMatch(/somebody may be in between.*ssh-keygen -R 'bastion\.example\.com'/);
    // One of several is enough; one of another type is not.
    expect(judge(`bastion.example.com ${line(other)}\nbastion.example.com ${line(ed)}`, ed)).toBeUndefined();
    expect(judge(`bastion.example.com ${line(rsa, "ssh-rsa")}`, ed)).toMatch(/another one than known/);
    // What is known with the port decides over the plain name.
    expect(judge(`b ${line(ed)}\n[b]:2222 ${line(other)}`, ed, "b", 2222)).toMatch(/another one than known/);
  });

  test("a revoked key is refused though it is known, and authorities are skipped aloud", () => {
    const revoked = `bastion.example.com ${line(ed)}\n@revoked * ${line(ed)}\n`;
    expect(judge(revoked, ed)).toMatch(/is revoked \(~\/\.ssh\/known_hosts:2\): it shows/);
    expect(judge(`@cert-authority *.example.com ${line(other)}\n`, ed)).toMatch(
      /certificate authorities are not supported: ~\/\.ssh\/known_hosts:1 skipped/,
    );
    expect(judge(`@cert-authority *.elsewhere ${line(other)}\n`, ed)).not.toMatch(/authorit/);
  });
});

describe("hostKey", () => {
  test("a public key, with or without a comment, or a fingerprint", () => {
    for (const text of [line(ed), `${line(ed)} root@bastion\n`, fingerprintOf(ed), `${fingerprintOf(ed)}=`]) {
      const expected = readHostKey(text);
      if (typeof expected === "string") throw new Error(expected);
      expect(judgeHostKey(expected, [ed], "b", 22)).toBeUndefined();
      const wrong = judgeHostKey(expected, [rsa, other], "b", 22) ?? "";
      expect(wrong).toContain(`it shows ssh-rsa ${fingerprintOf(rsa)} and ssh-ed25519 ${fingerprintOf(other)}`);
      expect(wrong).toMatch(new RegExp(`expected is (ssh-ed25519 )?${fingerprintOf(ed).replace(/[+/]/g, "\\$&")}; `));
    }
  });

  test.for([
    ["bastion.example.com ssh-ed25519 AAAA", /without the host/],
    ["SHA256:short", /43 characters/],
    ["16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48", /MD5 fingerprint, which can be forged/],
    ["MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48", /MD5/],
    ["ssh-ed25519 AAAA", /no whole ssh-ed25519 key/],
    [`ssh-rsa ${ed.toString("base64")}`, /no whole ssh-rsa key/],
    [line(aKey("ssh-dss", 1), "ssh-dss"), /type ssh-dss, which is not supported/],
    ["-----BEGIN PUBLIC KEY-----", /neither a public key/],
    ["", /neither a public key/],
  ] as const)("%s is refused", ([text, reason]) => {
    expect(readHostKey(text)).toMatch(reason);
  });
});

describe("algorithms asked for", () => {
  test("those of known keys first, so that one entry is enough", () => {
    const text = `bastion.example.com ${line(rsa, "ssh-rsa")}`;
    expect(hostKeyAlgorithms({ kind: "known", known: known(text) }).slice(0, 3)).toEqual([
      "rsa-sha2-512",
      "rsa-sha2-256",
      "ssh-ed25519",
    ]);
    const key = readHostKey(line(rsa, "ssh-rsa"));
    expect(typeof key === "string" ? key : hostKeyAlgorithms(key)[0]).toBe("rsa-sha2-512");
    expect(hostKeyAlgorithms({ kind: "known", known: known("") })[0]).toBe("ssh-ed25519");
  });

  test("of a fingerprint nobody knows the type: those that were shown are left out", () => {
    const expected = { kind: "fingerprint", fingerprint: fingerprintOf(rsa) } as const;
    expect(hostKeyAlgorithms(expected, ["ssh-ed25519"])[0]).toBe("ecdsa-sha2-nistp256");
    expect(hostKeyAlgorithms(expected)).not.toContain("ssh-rsa");
  });
});
