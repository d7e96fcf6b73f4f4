/**
 * What this process knows of itself. One record for the process, not for the copy of the package.
 *
 * A bundler may give the app its own copy of this package beside the one the entrypoint came from;
 * both find the same record under a well-known symbol. Browser-safe: no Node module is imported.
 */

import type { Envelope } from "./envelope.ts";

export type ServerStatus = "starting" | "healthy" | "draining" | "unhealthy";

export interface ProcessState {
  envelope: Envelope | undefined;
  status: ServerStatus;
  /** Eight characters chosen by Tako, or `unknown` outside it. */
  instance: string;
  /** Set once the console bridge has taken stdout over; takes a line with its newline. */
  writeLine: ((line: string) => void) | undefined;
  runtimeReady: boolean;
}

const KEY = Symbol.for("tako.sh.state");
const shared = globalThis as { [KEY]?: ProcessState };

export function processState(): ProcessState {
  shared[KEY] ??= {
    envelope: undefined,
    status: "starting",
    instance: environment().TAKO_INSTANCE_ID ?? "unknown",
    writeLine: undefined,
    runtimeReady: false,
  };
  return shared[KEY];
}

/** The process's environment, or nothing in a browser. */
export function environment(): Readonly<Record<string, string | undefined>> {
  return typeof process === "undefined" ? {} : process.env;
}
