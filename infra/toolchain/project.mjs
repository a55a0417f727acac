// Where things are, and how programs are run. Plain JavaScript without dependencies, like all of this folder: it runs
// before anything is installed, on Node 20 as well.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const PROJECT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
/** Everything that belongs to this checkout alone: state, passphrase, data, servers. Ignored by git. */
export const LOCAL = join(PROJECT, ".local");
export const BIN = join(PROJECT, "node_modules", ".bin");

/** Thrown where a person has to do something; the message says what. Printed without a stack trace. */
export class Trouble extends Error {
  name = "Trouble";
}

/** Progress and explanations go to stderr, so that stdout is the command's own (`preview --json`). */
export function say(line) {
  process.stderr.write(`${line}\n`);
}

/**
 * The program's environment: npm's newer Node and the project's tools come first, for its children too. A run of Pulumi starts
 * three processes that load the same large packages; with their compiled code kept that takes a fifth less.
 */
export function toolEnvironment(extra = {}) {
  const cache = process.env.NODE_COMPILE_CACHE ?? join(LOCAL, "compile-cache");
  return { ...process.env, NODE_COMPILE_CACHE: cache, PATH: `${BIN}${delimiter}${process.env.PATH ?? ""}`, ...extra };
}

/**
 * Runs a program in the foreground and answers with its exit code. Ctrl-C reaches it from the terminal by itself; a
 * signal sent to us alone is passed on; we stay until it has ended.
 * @param {{ input?: string }} options `input` is its standard input. Default: ours
 */
export function foreground(file, args, { env = toolEnvironment(), cwd = PROJECT, stdio = "inherit", input } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd, env, stdio: input === undefined ? stdio : ["pipe", "inherit", "inherit"] });
    if (input !== undefined) {
      // A program that ends without reading it has said why.
      child.stdin.on("error", () => {});
      child.stdin.end(input);
    }
    const pass = (signal) => {
      // A terminal has signalled the whole group already; a second one would make some programs give up at once.
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    };
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
    for (const signal of signals) process.on(signal, pass);
    const done = () => {
      for (const signal of signals) process.off(signal, pass);
    };
    child.once("error", (error) => {
      done();
      reject(new Trouble(`${file} cannot be run: ${error.message}`));
    });
    child.once("exit", (code, signal) => {
      done();
      resolve(signal ? 128 + ({ SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }[signal] ?? 0) : (code ?? 1));
    });
  });
}

/**
 * Runs a program for a bounded time, in a process group of its own: when the time has come, all of it ends.
 * @returns its exit code, or undefined where it took too long
 */
export async function bounded(file, args, milliseconds, { stdio = "inherit" } = {}) {
  const child = spawn(file, args, { cwd: PROJECT, env: toolEnvironment(), stdio, detached: true });
  const ended = new Promise((resolve, reject) => {
    child.once("error", (error) => reject(new Trouble(`${file} cannot be run: ${error.message}`)));
    child.once("exit", (code, signal) => resolve(signal ? 1 : (code ?? 1)));
  });
  let late = false;
  const end = (signal) => {
    try {
      process.kill(-child.pid, signal);
    } catch (error) {
      if (error.code !== "ESRCH") throw error;
    }
  };
  // The terminal does not reach another group by itself.
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, end);
  const timer = setTimeout(() => {
    late = true;
    end("SIGKILL");
  }, milliseconds);
  try {
    const code = await ended;
    return late ? undefined : code;
  } finally {
    clearTimeout(timer);
    for (const signal of signals) process.off(signal, end);
  }
}

/** Runs a program and answers with what it wrote; undefined where it fails. */
export function capture(file, args, { env = toolEnvironment(), timeout } = {}) {
  return new Promise((resolve) => {
    const child = spawn(file, args, { cwd: PROJECT, env, stdio: ["ignore", "pipe", "ignore"], timeout });
    let out = "";
    child.stdout.on("data", (data) => {
      out += data;
    });
    child.once("error", () => resolve(undefined));
    child.once("close", (code) => resolve(code === 0 ? out : undefined));
  });
}

export function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

export function writeFileAtomic(file, text, mode = 0o644) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.${process.pid}.tmp`, text, { mode });
  renameSync(`${file}.${process.pid}.tmp`, file);
}

/** Every file below some folders, by path from the project, with what changes when it does. */
export function fingerprint(paths) {
  const files = {};
  const visit = (path) => {
    const stats = statSync(join(PROJECT, path), { throwIfNoEntry: false });
    if (!stats) return;
    if (stats.isDirectory()) for (const entry of readdirSync(join(PROJECT, path)).sort()) visit(`${path}/${entry}`);
    else files[path] = `${stats.mtimeMs}:${stats.size}`;
  };
  for (const path of paths) visit(path);
  return files;
}

export function hashOf(text) {
  return createHash("sha256").update(text).digest("hex");
}
