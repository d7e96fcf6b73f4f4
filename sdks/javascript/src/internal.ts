/** `tako.sh/internal`: plumbing for framework adapters. Server side only. */

export { handleTakoEndpoint } from "./endpoint.ts";
export { type FetchHandler, normalizeFetchResponse } from "./handler.ts";
export { createLogger, type LogFields, type Logger, type LogLevel } from "./logger.ts";
export { loadSecrets, type TakoSecretBag, type TakoSecrets } from "./secrets.ts";
export { initServerRuntime } from "./server-runtime.ts";
export type { ServerStatus } from "./state.ts";
