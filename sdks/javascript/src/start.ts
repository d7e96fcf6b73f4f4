/**
 * The life of an instance, the same on every runtime: envelope, app, `ready()`, listen, report, drain.
 *
 * Whatever fails before the port is reported ends the process with 1, so that Tako keeps the old
 * instances and shows what was printed.
 */

import { closeSync, existsSync, writeSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { bridgeOutput, logFatalErrors } from "./bridge.ts";
import { isPipe, startedNatively } from "./envelope.ts";
import { type AppModule, type FetchHandler, readAppModule } from "./handler.ts";
import { initServerRuntime } from "./server-runtime.ts";
import { processState } from "./state.ts";

export interface Listening {
  readonly port: number;
  /** Stop listening; resolves when the last request in flight is answered. */
  close(): Promise<void>;
}

export type Serve = (fetch: FetchHandler, hostname: string, port: number) => Promise<Listening>;

const READINESS_FD = 4;
const DEFAULT_PORT = 3000;
const DEFAULT_HOST = "127.0.0.1";

/** Run the app named on the command line. */
export async function startApp(serve: Serve, usage: string): Promise<void> {
  const main = mainArgument(process.argv.slice(2));
  if (main === undefined) {
    process.stderr.write(`${usage}\n`);
    process.exit(1);
  }
  const state = processState();
  await step("cannot start", initServerRuntime);
  stopOnSignals(() => process.exit(0));
  if (state.envelope) {
    bridgeOutput();
    logFatalErrors();
  }
  const app = await step(`cannot load ${main}`, () => loadApp(main));
  await step("ready() failed", () => app.ready?.());
  const hostname = process.env.HOST ?? DEFAULT_HOST;
  const port = Number(process.env.PORT ?? DEFAULT_PORT);
  const server = await step(`cannot listen on ${hostname}:${port}`, () => serve(app.fetch, hostname, port));
  state.status = "healthy";
  stopOnSignals(async () => {
    state.status = "draining";
    await server.close();
    process.exit(0);
  });
  reportPort(server.port);
}

function mainArgument(args: readonly string[]): string | undefined {
  const at = args.indexOf("--instance");
  // The value of --instance is an argument without dashes too; it is not main.
  const rest = at === -1 ? args : args.toSpliced(at, 2);
  return rest.find((argument) => !argument.startsWith("--"));
}

async function loadApp(main: string): Promise<AppModule> {
  const file = resolve(main);
  return readAppModule(await import(existsSync(file) ? pathToFileURL(file).href : main));
}

/** Run one step of the start; a failure is explained on stderr and ends the process. */
async function step<T>(failure: string, action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    // Written past the output bridge: these lines are what `tako describe` shows, the last one as the cause.
    if (error instanceof Error && error.name !== "EnvelopeInvalid") writeSync(2, `${error.stack}\n`);
    writeSync(2, `Tako: ${failure}: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
}

let onSignal: () => void = () => undefined;

/** Replace what the first SIGTERM or SIGINT does; later ones change nothing. */
function stopOnSignals(stop: () => void): void {
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.removeListener(signal, onSignal);
  let stopping = false;
  onSignal = () => {
    if (stopping) return;
    stopping = true;
    stop();
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, onSignal);
}

/** Tell Tako the port; outside Tako fd 4 is nobody's, or belongs to the runtime itself. */
function reportPort(port: number): void {
  if (!startedNatively(process.env, process.argv) || !isPipe(READINESS_FD)) return;
  writeSync(READINESS_FD, `${port}\n`);
  closeSync(READINESS_FD);
}
