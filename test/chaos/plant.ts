import { type Answer, type Command, Connections } from "../../components/formation/wire";

/** Bugs that are put in on purpose, to see that they are caught. Nothing in the library knows of them. */
export const PLANTS = ["source-first", "no-source-check"] as const;
export type Plant = (typeof PLANTS)[number];

const NO_SCRIPTS = Object.assign(new Error("ERR unknown command 'EVAL'"), { name: "ReplyError" });

export function isPlant(name: string): name is Plant {
  return (PLANTS as readonly string[]).includes(name);
}

/**
 * `source-first`: of a slot that moves, the source is told of the new owner before the target. A run that is killed in
 * between leaves the slot without an owner.
 * `no-source-check`: keys are not asked for again before a slot is closed; whatever was written meanwhile stays behind.
 */
export function plant(bug: Plant): void {
  const send = Connections.prototype.send;
  /** Slots whose new owner the target has not been told yet, by slot. */
  const held = new Map<string, () => Promise<unknown>>();
  Connections.prototype.send = async function (endpoint, commands, options) {
    const answers: Answer[] = [];
    for (const command of commands) {
      const [name, sub, slot = "", verb] = command.map(String);
      // What a script does at once is to go command by command here.
      if (name === "EVAL") {
        answers.push({ ok: false, error: NO_SCRIPTS });
        continue;
      }
      const closes = name === "CLUSTER" && sub === "SETSLOT" && verb === "NODE";
      if (bug === "source-first" && closes && !held.has(slot)) {
        held.set(slot, () => send.call(this, endpoint, [command], options));
        answers.push({ ok: true, value: "OK" });
        continue;
      }
      if (bug === "no-source-check" && name === "CLUSTER" && sub === "GETKEYSINSLOT") {
        answers.push(...(await send.call(this, endpoint, [half(command)], options)));
        continue;
      }
      answers.push(...(await send.call(this, endpoint, [command], options)));
      if (closes) {
        const late = held.get(slot);
        held.delete(slot);
        await late?.();
      }
    }
    return answers;
  };
}

/** Lists none: the slot looks empty. */
function half([name, sub, slot = 0]: Command): Command {
  return [name, sub ?? "", slot, 0];
}
