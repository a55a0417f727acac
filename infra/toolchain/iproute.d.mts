export class NoIp extends Error {}
export function ensureIp(options?: { log?: (line: string) => void }): Promise<string>;
