import type { KeyObject } from "node:crypto";

/** What WebCrypto signs with for a key. */
export type SigningAlgorithm =
  | { readonly name: "ECDSA"; readonly namedCurve: string; readonly hash: string }
  | { readonly name: "RSASSA-PKCS1-v1_5"; readonly hash: string };

const CURVES: Readonly<Record<string, { namedCurve: string; hash: string }>> = {
  prime256v1: { namedCurve: "P-256", hash: "SHA-256" },
  secp384r1: { namedCurve: "P-384", hash: "SHA-384" },
  secp521r1: { namedCurve: "P-521", hash: "SHA-512" },
};

/**
 * How an authority's key signs.
 * @throws Error that says what kind of key it is and which are wanted
 */
export function signingAlgorithmOf(key: KeyObject): SigningAlgorithm {
  if (key.asymmetricKeyType === "rsa") return { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
  const curve = CURVES[key.asymmetricKeyDetails?.namedCurve ?? ""];
  if (key.asymmetricKeyType === "ec" && curve) return { name: "ECDSA", ...curve };
  throw new Error(`is ${kindOf(key)}; an authority's key is EC (P-256, P-384, P-521) or RSA`);
}

/** Such as `a key of type ed25519`, for messages. */
function kindOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string {
  const curve = asymmetricKeyDetails?.namedCurve;
  return `a key of type ${asymmetricKeyType}${curve ? ` on curve ${curve}` : ""}`;
}
