/**
 * `tako.sh`: what an app knows about where it runs.
 *
 * Everything is evaluated once, at import; an invalid storage binding therefore throws at import.
 */

import { readBindings, type TakoStorageBinding } from "./bindings.ts";
import { createLogger, type Logger } from "./logger.ts";
import { redacted } from "./redaction.ts";
import { loadSecrets, type TakoSecretBag } from "./secrets.ts";
import { environment, processState } from "./state.ts";

/** Filled by the generated `tako.d.ts`. */
// biome-ignore lint/suspicious/noEmptyInterface: augmented by each project
export interface TakoTypeRegistry {}
/** Storage binding names, added by the generated `tako.d.ts`. */
// biome-ignore lint/suspicious/noEmptyInterface: augmented by each project
export interface TakoStorages {}

export type Env = TakoTypeRegistry extends { Env: infer Names extends string } ? Names : string;
export type TakoStorage = TakoStorageBinding;
export type TakoStorageBag = keyof TakoStorages extends never
  ? Readonly<Record<string, TakoStorage | undefined>>
  : TakoStorages;

export interface TakoRuntime {
  /** `development`, `production`, …; empty outside Tako. */
  readonly env: Env;
  readonly isDev: boolean;
  readonly isProd: boolean;
  /** Value of `PORT`; 0 means that the system chooses one. */
  readonly port: number;
  readonly host: string;
  readonly build: string;
  /** Directory whose contents outlive releases and restarts. */
  readonly dataDir: string;
  readonly appDir: string;
  readonly logger: Logger;
  readonly secrets: TakoSecretBag;
  readonly storages: TakoStorageBag;
}

const variables = environment();

export const env = (variables.ENV ?? "") as Env;
export const isDev: boolean = env === "development";
export const isProd: boolean = env === "production";
export const port: number = Number(variables.PORT) || 0;
export const host: string = variables.HOST ?? "";
export const build: string = variables.TAKO_BUILD ?? "";
export const dataDir: string = variables.TAKO_DATA_DIR ?? "";
export const appDir: string = typeof process === "undefined" ? "" : process.cwd();
export const logger: Logger = createLogger("app");
export const secrets: TakoSecretBag = loadSecrets();
export const storages = redacted(readBindings(processState().envelope?.storages ?? {})) as TakoStorageBag;

export const tako: TakoRuntime = Object.freeze({
  env,
  isDev,
  isProd,
  port,
  host,
  build,
  dataDir,
  appDir,
  logger,
  secrets,
  storages,
});

export type { TakoStorageBinding } from "./bindings.ts";
export { TakoError, type TakoErrorCode } from "./errors.ts";
export {
  type ImageSrcSet,
  type ImageSrcSetLayout,
  type ImageSrcSetOptions,
  type ImageUrlOptions,
  imageSrcSet,
  imageUrl,
} from "./image-url.ts";
export type { Logger } from "./logger.ts";
export type { TakoSecretBag, TakoSecrets } from "./secrets.ts";
