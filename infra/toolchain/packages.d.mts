/** The npm that started us, else the one beside this Node, else the one on PATH: a program, and what comes first in its arguments. */
export function npm(): { file: string; args: string[] };
