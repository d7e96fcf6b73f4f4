/** Structured logs: one JSON object per line on stdout. Browser-safe. */

import { environment, processState } from "./state.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(message: string, fields?: LogFields | Error): void;
  info(message: string, fields?: LogFields | Error): void;
  warn(message: string, fields?: LogFields | Error): void;
  error(message: string, fields?: LogFields | Error): void;
  /** A logger of the same scope that adds `fields` to every record. */
  child(fields: LogFields): Logger;
}

/** Make a logger. `scope` says which part of the app speaks, such as `app` or `worker`. */
export function createLogger(scope: string, bound: LogFields = {}): Logger {
  const write =
    (level: LogLevel) =>
    (message: string, fields: LogFields | Error = {}) => {
      const own = fields instanceof Error ? { error: fields } : fields;
      emit(record(Date.now(), level, scope, message, { ...bound, ...own }));
    };
  return Object.freeze({
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    child: (fields: LogFields) => createLogger(scope, { ...bound, ...fields }),
  });
}

/** Render one record, without its newline. */
export function record(ts: number, level: LogLevel, scope: string, msg: string, fields: LogFields): string {
  const all = { ...automaticFields(), ...fields };
  const body = { ts, level, scope, msg, ...(Object.keys(all).length > 0 ? { fields: all } : {}) };
  return JSON.stringify(body, plainValues());
}

function automaticFields(): LogFields {
  const build = environment().TAKO_BUILD;
  const { instance } = processState();
  return { ...(build ? { build } : {}), ...(instance === "unknown" ? {} : { instance }) };
}

function emit(line: string): void {
  const { writeLine } = processState();
  if (writeLine) writeLine(`${line}\n`);
  else console.log(line);
}

/** A replacer for what JSON cannot carry: a log call must never be what breaks a request. */
function plainValues(): (this: unknown, key: string, value: unknown) => unknown {
  const ancestors: unknown[] = [];
  return function (_key, value) {
    if (typeof value === "bigint") return value.toString();
    if (typeof value !== "object" || value === null) return value;
    // `this` is the holder of `value`: everything stacked above it belongs to a branch already finished.
    while (ancestors.length > 0 && ancestors.at(-1) !== this) ancestors.pop();
    if (ancestors.includes(value)) return "[Circular]";
    const plain =
      value instanceof Error ? { name: value.name, message: value.message, stack: value.stack } : value;
    ancestors.push(plain);
    return plain;
  };
}
