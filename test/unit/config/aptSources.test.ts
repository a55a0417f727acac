import { expect, test } from "vitest";

const apt = import("../../../infra/toolchain/apt.mjs");

test("reads stanzas: comments, several suites, embedded keys, disabled and source entries", async () => {
  const text = `# a comment
Types: deb deb-src
# http://old.example.test
URIs: http://mirror.example.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc

Types: deb
URIs: http://off.example.test
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://src.example.test
Suites: bookworm
Components: main
`;
  expect((await apt).parseDeb822(text)).toEqual([
    {
      uris: ["http://mirror.example.test/debian"],
      suites: ["bookworm", "bookworm-updates"],
      components: ["main", "contrib"],
      options: { "Signed-By": "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc" },
    },
  ]);
});

test("reads lines: options, comments, source lines", async () => {
  const text = `# deb http://no.example.test bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/a.gpg] http://mirror.example.test/debian bookworm main # why
deb-src http://src.example.test bookworm main
  deb http://security.example.test bookworm-security main contrib
`;
  expect((await apt).parseOneLine(text)).toEqual([
    {
      uris: ["http://mirror.example.test/debian"],
      suites: ["bookworm"],
      components: ["main"],
      options: { "Signed-By": "/usr/share/keyrings/a.gpg" },
    },
    {
      uris: ["http://security.example.test"],
      suites: ["bookworm-security"],
      components: ["main", "contrib"],
      options: {},
    },
  ]);
});
