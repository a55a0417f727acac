import * as fs from "node:fs";
import { UsageError } from "./arguments";
import { breakLock, lockStack } from "./lock";
import { stackOutputs } from "./operations";
import { configKey, readConfig, readStackFile, writeStackFile } from "./project";
import type { Session } from "./session";
import type { Exported } from "./state";
import { redact, unwrap } from "./values";

type Write = (line: string) => void;

export function cancel(session: Session, write: Write): void {
  const stack = session.args.words[1] ?? session.stackName();
  const locked = breakLock(session.backend, stack);
  write(locked ? `The currently running update for '${stack}' has been canceled!` : `Stack '${stack}' is not locked.`);
}

export function stackCommand(session: Session, write: Write): void {
  const { args, backend } = session;
  const [, verb, name] = args.words;
  switch (verb) {
    case "init": {
      const stack = name ?? args.values.get("--stack")?.at(-1);
      if (!stack) throw new UsageError("stack init needs a name");
      session.initialise(stack);
      write(`Created stack '${stack}'`);
      return;
    }
    case "select": {
      const stack = name ?? args.values.get("--stack")?.at(-1) ?? "";
      if (!backend.exists(stack)) {
        if (!args.flags.has("--create")) throw new Error(`no stack named '${stack}' found`);
        session.initialise(stack);
      }
      session.select(stack);
      return;
    }
    case "ls": {
      const stacks = backend.list();
      if (args.flags.has("--json"))
        write(
          JSON.stringify(
            stacks.map((stack) => ({ name: stack })),
            null,
            2,
          ),
        );
      else for (const stack of stacks) write(stack);
      return;
    }
    case "rm":
      removeStack(session, name ?? session.stackName(), write);
      return;
    case "output":
      showOutputs(session, name, write);
      return;
    case "export":
      exportStack(session, write);
      return;
    case "import":
      importStack(session, write);
      return;
    default:
      throw new UsageError("stack: one of init, select, ls, rm, output, export, import");
  }
}

function removeStack(session: Session, stack: string, write: Write): void {
  const unlock = lockStack(session.backend, stack);
  try {
    const count = session.backend.read(stack).resources?.length ?? 0;
    if (count > 0 && !session.args.flags.has("--force")) {
      throw new Error(
        `'${stack}' still has resources; removal rejected. Run \`destroy\` first, or use --force and lose track of ${count} resources`,
      );
    }
    session.backend.remove(stack);
    write(`Stack '${stack}' has been removed!`);
  } finally {
    unlock();
  }
}

function showOutputs(session: Session, name: string | undefined, write: Write): void {
  const { serializer, backend, stack } = session.context(session.stackName());
  const outputs = stackOutputs(serializer.open(backend.read(stack)));
  const shown = session.args.flags.has("--show-secrets") ? unwrap(outputs) : redact(outputs);
  const values = shown as Record<string, unknown>;
  const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
  if (name !== undefined) {
    if (!(name in values)) throw new Error(`current stack does not have output property '${name}'`);
    // A single output that is asked for by name is shown, secret or not, as with the CLI.
    const value = unwrap(outputs[name] ?? null);
    write(session.args.flags.has("--json") ? JSON.stringify(value, null, 2) : text(value));
  } else if (session.args.flags.has("--json")) {
    write(JSON.stringify(values, null, 2));
  } else {
    for (const key of Object.keys(values).sort()) write(`${key}\t${text(values[key])}`);
  }
}

/** What `pulumi stack import` takes. */
function exportStack(session: Session, write: Write): void {
  const { serializer, backend, stack, salt } = session.context(session.stackName());
  const stored = backend.read(stack);
  const deployment = session.args.flags.has("--show-secrets")
    ? { ...serializer.close(serializer.open(stored), salt, true), manifest: stored.manifest }
    : stored;
  const text = JSON.stringify({ version: 3, deployment } satisfies Exported, null, 4);
  const file = session.args.values.get("--file")?.at(-1);
  if (file) fs.writeFileSync(file, `${text}\n`, { mode: 0o600 });
  else write(text);
}

function importStack(session: Session, write: Write): void {
  const stack = session.stackName();
  const unlock = lockStack(session.backend, stack);
  try {
    const { serializer, backend, salt } = session.context(stack);
    const text = fs.readFileSync(session.args.values.get("--file")?.at(-1) ?? 0, "utf8");
    const imported = JSON.parse(text) as Exported;
    if (imported.version !== 3)
      throw new Error(`deployment version ${imported.version}: only version 3 can be imported`);
    const foreign = imported.deployment.secrets_providers;
    if (foreign && foreign.type !== "passphrase") {
      throw new Error(
        `secrets provider ${foreign.type}: only passphrase secrets can be imported; export with --show-secrets`,
      );
    }
    const other = imported.deployment.resources?.find(
      (resource) => String(resource.urn).split("::")[1] !== session.project.name,
    );
    if (other) throw new Error(`the state is that of another project: ${other.urn}`);
    // Under its own key first, then under this stack's.
    const open = session.serializer(foreign?.state?.salt ?? salt).open(imported.deployment);
    backend.write(stack, serializer.close(open, salt));
    write("Import complete.");
  } finally {
    unlock();
  }
}

export function configCommand(session: Session, write: Write): void {
  const { args, project, sdk } = session;
  const [, verb, key, ...values] = args.words;
  const stack = session.stackName();
  const passphrase = () => session.passphrase(session.salt(stack));
  if (verb === undefined) {
    for (const [name, value] of readConfig(sdk, project, stack, passphrase)) {
      write(`${name}\t${value.secret && !args.flags.has("--show-secrets") ? "[secret]" : value.text}`);
    }
    return;
  }
  if (!key || !["set", "get", "rm"].includes(verb))
    throw new UsageError("config: one of `set [--secret] <key> <value>`, `get <key>`, `rm <key>`");
  const name = configKey(project, key);
  if (verb === "get") {
    const value = readConfig(sdk, project, stack, passphrase).get(name);
    if (!value) throw new Error(`configuration key '${key}' not found for stack '${stack}'`);
    write(value.text);
    return;
  }
  const file = readStackFile(sdk, project, stack);
  const config = { ...file.config };
  if (verb === "set") {
    const text = values[0] ?? fs.readFileSync(0, "utf8").replace(/\n$/, "");
    config[name] = args.flags.has("--secret") ? { secure: passphrase().encrypt(text) } : text;
  } else {
    delete config[name];
  }
  writeStackFile(sdk, project, stack, { ...file, config });
}
