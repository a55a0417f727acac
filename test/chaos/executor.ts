// A process of its own that runs `reconcile`, one command at a time, and ends itself with SIGKILL right after its k-th
// changing command was answered: node executor.js <k> <goal and history as JSON> [planted bug]

import type { FormationGoal, History } from "../../components/formation/goal";
import { FormationFailed, reconcile } from "../../components/formation/reconcile";
import { Connections } from "../../components/formation/wire";
import { isPlant, plant } from "./plant";

const CHANGING =
  /^(CLUSTER (SETSLOT|MIGRATESLOTS|RESET|MEET|FORGET|REPLICATE|FAILOVER|BUMPEPOCH|ADDSLOTSRANGE|SET-CONFIG-EPOCH)|CONFIG (SET|REWRITE)|MIGRATE|EVAL(?!_RO)|FUNCTION RESTORE)\b/;

function endAfter(last: number): void {
  const send = Connections.prototype.send;
  let count = 0;
  Connections.prototype.send = async function (endpoint, commands, options) {
    const answers: Awaited<ReturnType<typeof send>> = [];
    for (const command of commands) {
      answers.push(...(await send.call(this, endpoint, [command], options)));
      if (CHANGING.test(command.slice(0, 2).join(" ")) && ++count === last) process.kill(process.pid, "SIGKILL");
    }
    return answers;
  };
}

async function main([k = "0", work = "{}", planted = ""]: readonly string[]): Promise<void> {
  // In this order, so that it can end in the middle of what the bug does.
  endAfter(Number(k));
  if (isPlant(planted)) plant(planted);
  const { goal, history } = JSON.parse(work) as { goal: FormationGoal; history: History };
  try {
    const { members } = await reconcile(goal, history, { access: {}, onProgress: () => {} });
    process.stdout.write(JSON.stringify({ members }));
  } catch (error) {
    if (!(error instanceof FormationFailed)) throw error;
    const { message, refusals, members } = error;
    process.stdout.write(JSON.stringify({ failed: message, refusals, members }));
  }
}

void main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error) => {
    process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
    process.exit(1);
  },
);
