/** `tako.sh/runtime`: the parts that also run in a browser. */

export { createLogger, type Logger } from "./logger.ts";
export { loadSecrets } from "./secrets.ts";
