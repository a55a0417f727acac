/** One line for the reader of `pulumi up`, as a constant message with key/value pairs. Never a secret: providers see plain text. */
export function say(node: string, message: string, details: Record<string, string | number> = {}): void {
  const pairs = Object.entries(details).map(([key, value]) => ` ${key}=${value}`);
  process.stdout.write(`${node}: ${message}${pairs.join("")}\n`);
}
