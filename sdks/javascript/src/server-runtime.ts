/** The boot step every server process of an app takes once: its envelope, and a check of its environment. */

import { readEnvelope } from "./envelope.ts";
import { processState } from "./state.ts";

/**
 * Prepare this process to act for the app. Idempotent; frameworks that start their own server call it
 * (for example from Next.js' `instrumentation.ts`), the entrypoints do it by themselves.
 */
export function initServerRuntime(): void {
  const state = processState();
  if (state.runtimeReady) return;
  assertSocketPair(process.env);
  state.envelope ??= readEnvelope(process.env, process.argv);
  state.instance = instanceArgument(process.argv) ?? state.instance;
  state.runtimeReady = true;
}

function assertSocketPair(env: NodeJS.ProcessEnv): void {
  if ((env.TAKO_INTERNAL_SOCKET === undefined) === (env.TAKO_APP_NAME === undefined)) return;
  throw new Error("TAKO_INTERNAL_SOCKET and TAKO_APP_NAME must be set together, or neither of them");
}

function instanceArgument(argv: readonly string[]): string | undefined {
  const at = argv.indexOf("--instance");
  return at === -1 ? undefined : argv[at + 1];
}
