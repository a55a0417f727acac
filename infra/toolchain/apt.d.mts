/** One entry of apt's sources. */
export interface AptSource {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** How the mirror is trusted: `Signed-By` and the like, under their deb822 names. */
  readonly options: Readonly<Record<string, string>>;
}

/** The `.sources` format. */
export function parseDeb822(text: string): AptSource[];

/** The one-line format. */
export function parseOneLine(text: string): AptSource[];
