/**
 * The bootstrap envelope: what Tako hands a process once, over a pipe, at its start.
 *
 * Reading is separate from checking, so that every message about a bad envelope is made in one place.
 * Nothing here keeps what it read; see `state.ts`.
 */

import { closeSync, fstatSync, readFileSync } from "node:fs";
import { type BindingFields, isRecord } from "./bindings.ts";

export interface Envelope {
  readonly token: string;
  readonly secrets: Readonly<Record<string, string>>;
  readonly storages: Readonly<Record<string, BindingFields>>;
}

/** The envelope is not what the process contract says. The message never contains its text. */
export class EnvelopeInvalid extends Error {
  override name = "EnvelopeInvalid";
}

const BOOTSTRAP_FD = 3;
const BOOTSTRAP_VARIABLE = "TAKO_BOOTSTRAP_DATA";

/** Read the envelope of this process, or undefined when it was not started by Tako. */
export function readEnvelope(env: NodeJS.ProcessEnv, argv: readonly string[]): Envelope | undefined {
  const text = startedNatively(env, argv) && isPipe(BOOTSTRAP_FD) ? readPipe(BOOTSTRAP_FD) : undefined;
  const data = text ?? env[BOOTSTRAP_VARIABLE];
  // Removed even when fd 3 won: children of the app must not inherit the secrets.
  delete env[BOOTSTRAP_VARIABLE];
  return data === undefined ? undefined : parseEnvelope(data);
}

/** Check the text of an envelope. */
export function parseEnvelope(text: string): Envelope {
  const data = parseJson(text);
  if (!isRecord(data)) throw new EnvelopeInvalid("the bootstrap envelope is not a JSON object");
  const { token, secrets, storages = {} } = data;
  if (typeof token !== "string") throw new EnvelopeInvalid("the bootstrap envelope has no token string");
  if (!isRecord(secrets)) throw new EnvelopeInvalid("the bootstrap envelope has no secrets object");
  if (!isRecord(storages)) throw new EnvelopeInvalid("storages in the bootstrap envelope is not an object");
  return { token, secrets: secrets as Record<string, string>, storages: storages as Envelope["storages"] };
}

/** Say whether Tako spawned this process itself, so that fds 3 and 4 are its pipes. */
export function startedNatively(env: NodeJS.ProcessEnv, argv: readonly string[]): boolean {
  // Otherwise fd 3 may be a pipe of the runtime's own event loop, and reading it would hang or break it.
  return argv.includes("--instance") || env.TAKO_INTERNAL_SOCKET !== undefined;
}

export function isPipe(fd: number): boolean {
  try {
    return fstatSync(fd).isFIFO();
  } catch {
    return false; // EBADF: nobody passed this descriptor.
  }
}

function readPipe(fd: number): string {
  try {
    return readFileSync(fd, "utf8");
  } catch (error) {
    throw new EnvelopeInvalid(`cannot read the bootstrap envelope from fd ${fd}`, { cause: error });
  } finally {
    closeSync(fd);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which may hold a secret.
    throw new EnvelopeInvalid("the bootstrap envelope is not valid JSON");
  }
}
