import type { Socket } from "node:net";
import type { AnyAuthMethod, AuthenticationType, BaseAgent } from "ssh2";
import { PROXY_DEFAULTS } from "./defaults";
import { readPrivateKey } from "./privateKey";
import { ProxyError, said } from "./proxyError";
import type { ProxyAccess } from "./types";

type Ssh2 = typeof import("ssh2");
type Attempt = { readonly method: AnyAuthMethod; readonly protocol: AuthenticationType; readonly shown: string };

/** What there is to log in with, in the order in which it is tried. */
export interface Credentials {
  readonly attempts: readonly Attempt[];
  /** Keys of the agent, where it is asked: too many of them make a server hang up. */
  readonly agentKeys: number;
}

/** Servers take six attempts unless told otherwise (MaxAuthTries). */
const ATTEMPTS_OF_A_SERVER = 6;

/**
 * @param name the proxy, as errors show it
 * @throws ProxyError where there is nothing to log in with, or a key that cannot be used
 */
export async function readCredentials(
  ssh2: Ssh2,
  access: ProxyAccess,
  name: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Credentials> {
  const { user: username = PROXY_DEFAULTS.user, password, privateKey, privateKeyPassword } = access;
  const attempts: Attempt[] = [];
  if (privateKey !== undefined) {
    const read = readPrivateKey(ssh2.utils.parseKey, privateKey, privateKeyPassword);
    if (typeof read === "string") throw new ProxyError(`proxy ${name}: ${read}`);
    attempts.push({
      // ssh2 takes a key that was parsed as well, which its types leave out.
      method: { type: "publickey", username, key: read.key as unknown as Buffer },
      protocol: "publickey",
      shown: `the private key (its public half is ${read.shown})`,
    });
  }
  const alone = privateKey === undefined && password === undefined;
  const socket = access.agentSocketPath ?? (alone ? env["SSH_AUTH_SOCK"] : undefined);
  let agentKeys = 0;
  if (socket !== undefined && socket !== "") {
    const agent = ssh2.createAgent(socket);
    agentKeys = await countKeys(agent, socket, name);
    if (agentKeys > 0)
      attempts.push({
        method: { type: "agent", username, agent },
        protocol: "publickey",
        shown: `the ${agentKeys === 1 ? "key" : `${agentKeys} keys`} of the agent at ${socket}`,
      });
    else if (alone)
      throw new ProxyError(
        `proxy ${name}: the agent at ${socket} has no keys; add one (ssh-add), or give privateKey or password`,
      );
  }
  if (password !== undefined) {
    const shown = "the password";
    attempts.push({ method: { type: "password", username, password }, protocol: "password", shown });
    attempts.push({
      method: { type: "keyboard-interactive", username, prompt: answerOnce(password) },
      protocol: "keyboard-interactive",
      shown,
    });
  }
  if (attempts.length === 0)
    throw new ProxyError(
      `proxy ${name}: there is nothing to log in with: neither privateKey nor password is given, and SSH_AUTH_SOCK names no agent; give one of them`,
    );
  return { attempts, agentKeys };
}

/** @throws ProxyError where no agent answers */
async function countKeys(agent: BaseAgent, socket: string, name: string): Promise<number> {
  // An agent that never answers keeps no process from ending; the timer holds it until then.
  const open = agent.getStream?.bind(agent);
  if (open)
    agent.getStream = (done) =>
      open((error, stream) => {
        if (stream && "unref" in stream) (stream as Socket).unref();
        done(error, stream);
      });
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new Error("no answer in time")), AGENT_MILLISECONDS);
      agent.getIdentities((error, keys) => (error ? reject(error) : resolve(keys?.length ?? 0)));
    });
  } catch (error) {
    throw new ProxyError(
      `proxy ${name}: no SSH agent answers at ${socket} (${said((error as Error).message)}); start one (ssh-agent) and set SSH_AUTH_SOCK or agentSocketPath, or give privateKey or password`,
    );
  } finally {
    clearTimeout(timer);
  }
}

const AGENT_MILLISECONDS = 10_000;

/** One hidden question is the one for the password; whatever else is asked has no answer here. */
function answerOnce(password: string) {
  let answered = false;
  return (
    _name: string,
    _instructions: string,
    _lang: string,
    prompts: readonly { readonly echo?: boolean }[],
    finish: (answers: string[]) => void,
  ) => {
    const ours = !answered && prompts.length === 1 && prompts[0]?.echo !== true;
    answered ||= ours;
    finish(prompts.map(() => (ours ? password : "")));
  };
}

/** One login: hands out attempts of kinds that the server takes, and remembers what was tried. */
export class Login {
  readonly #credentials: Credentials;
  readonly #left: Attempt[];
  readonly #tried: string[] = [];
  #taken: readonly string[] = [];
  #asked = false;

  constructor(credentials: Credentials) {
    this.#credentials = credentials;
    this.#left = [...credentials.attempts];
  }

  /** For ssh2. The first attempt is without anything: the refusal tells what is taken. */
  next(taken: readonly AuthenticationType[] | null, username: string): AnyAuthMethod | false {
    if (!this.#asked) {
      this.#asked = true;
      return { type: "none", username };
    }
    this.#taken = taken ?? [];
    for (;;) {
      const attempt = this.#left.shift();
      if (!attempt) return false;
      if (taken && !taken.includes(attempt.protocol)) continue;
      if (!this.#tried.includes(attempt.shown)) this.#tried.push(attempt.shown);
      return attempt.method;
    }
  }

  /** What was refused, and what to do. @param words what the server said at the end */
  refusal(user: string, words = ""): string {
    const { attempts, agentKeys } = this.#credentials;
    const tried = this.#tried.join(", then ");
    if (/too many authentication failures/i.test(words) && agentKeys > 1)
      return `the server hung up after too many attempts, with ${tried}; servers take ${ATTEMPTS_OF_A_SERVER}: give the right key as privateKey, or an agent with fewer keys`;
    const takes = this.#taken.length > 0 ? `; it takes ${this.#taken.join(", ")}` : "";
    if (tried === "") {
      const had = [...new Set(attempts.map((a) => a.shown))].join(", ");
      return `the server lets nobody in as ${user} with ${had}${takes}; give what it takes`;
    }
    const keys = attempts.some((a) => a.protocol === "publickey" && this.#tried.includes(a.shown));
    const advice = [
      ...(keys ? [`is the public key in the authorized_keys of ${user} there`] : []),
      ...(this.#tried.includes("the password") ? ["is the password right"] : []),
      "is the user right",
    ];
    return `login as ${user} refused; tried ${tried}${takes}; ${advice.join(", ")}?`;
  }
}
