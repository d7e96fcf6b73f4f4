/**
 * Turns what an app prints into log records, so that a stack trace stays one record in `tako logs`.
 *
 * The record writer keeps the stdout it found; everything else that writes there goes through here.
 */

import { format } from "node:util";
import { createLogger, type LogLevel, record } from "./logger.ts";
import { processState } from "./state.ts";

const SCOPE = "app";
const CONSOLE_LEVELS = { log: "info", info: "info", warn: "warn", error: "error", debug: "debug" } as const;

/** Take over console, stdout and stderr. Once per process. */
export function bridgeOutput(): void {
  const state = processState();
  if (state.writeLine) return;
  const write = process.stdout.write.bind(process.stdout);
  state.writeLine = (line) => {
    write(line);
  };
  bridgeConsole();
  bridgeStream(process.stdout, "info");
  bridgeStream(process.stderr, "warn");
}

/** Log what would have ended the process. An uncaught exception still ends it; a rejection does not. */
export function logFatalErrors(): void {
  const logger = createLogger(SCOPE);
  process.on("uncaughtException", (error) => {
    logger.error("Uncaught exception", { error, kind: "uncaughtException" });
    process.exit(1);
  });
  process.on("unhandledRejection", (error) => {
    logger.error("Unhandled rejection", { error, kind: "unhandledRejection" });
  });
}

function bridgeConsole(): void {
  for (const [method, level] of Object.entries(CONSOLE_LEVELS)) {
    console[method as keyof typeof CONSOLE_LEVELS] = (...values: unknown[]) => emit(level, format(...values));
  }
}

/** Replace a stream's write. What is written within one turn of the event loop becomes one record. */
function bridgeStream(stream: NodeJS.WriteStream, level: LogLevel): void {
  let pending = "";
  const flush = () => {
    const text = pending.replace(/\n$/, "");
    pending = "";
    if (text !== "") emit(level, text);
  };
  const decoder = new TextDecoder();
  const write = (chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
    if (pending === "") queueMicrotask(flush);
    pending += typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
    const done = rest.at(-1);
    if (typeof done === "function") queueMicrotask(() => done());
    return true;
  };
  stream.write = write as typeof stream.write;
  process.on("exit", flush);
}

function emit(level: LogLevel, text: string): void {
  processState().writeLine?.(`${record(Date.now(), level, SCOPE, text, {})}\n`);
}
