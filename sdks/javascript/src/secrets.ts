/** The app's secrets, read from the envelope of this process. Browser-safe, where the bag is empty. */

import { redacted } from "./redaction.ts";
import { processState } from "./state.ts";

/** Secret names, added by the generated `tako.d.ts`. */
// biome-ignore lint/suspicious/noEmptyInterface: augmented by each project
export interface TakoSecrets {}

export type TakoSecretBag = keyof TakoSecrets extends never
  ? Readonly<Record<string, string | undefined>>
  : TakoSecrets;

/** Property access gives a value; printing, serialising or spreading the bag gives none. */
export function loadSecrets(): TakoSecretBag {
  return redacted(processState().envelope?.secrets ?? {}) as TakoSecretBag;
}
