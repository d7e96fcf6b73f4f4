/** The app's side of a request: finding its fetch handler, calling it, making sure of a Response. */

import { createLogger } from "./logger.ts";

export type FetchHandler = (request: Request, env: NodeJS.ProcessEnv) => Response | Promise<Response>;

export interface AppModule {
  readonly fetch: FetchHandler;
  /** Awaited before the server listens. */
  readonly ready: (() => unknown) | undefined;
}

const logger = createLogger("app");

/** Find the handler in an imported module: a default-exported function, or an object with `fetch`. */
export function readAppModule(module: Record<string, unknown>): AppModule {
  const ready = typeof module.ready === "function" ? (module.ready as () => unknown) : undefined;
  const exported = unwrapDefault(module.default);
  if (typeof exported === "function") return { fetch: exported as FetchHandler, ready };
  if (hasFetch(exported)) return { fetch: (request, env) => exported.fetch(request, env), ready };
  throw new TypeError("it has no default export that is a function or an object with a fetch method");
}

/** Call the handler; what it throws is logged and becomes a 500. */
export async function callHandler(fetch: FetchHandler, request: Request): Promise<Response> {
  try {
    return normalizeFetchResponse(await fetch(request, process.env));
  } catch (error) {
    // The visitor went away and the handler gave up with the request's own signal: nothing failed.
    // The query is left out, because addresses carry tokens in it.
    const { pathname } = new URL(request.url);
    if (!request.signal.aborted) {
      logger.error("The fetch handler threw", { error, method: request.method, path: pathname });
    }
    return serverError();
  }
}

/** Return `value` when it is a Response, also one of another realm or polyfill; throw a TypeError otherwise. */
export function normalizeFetchResponse(value: unknown): Response {
  if (value instanceof Response) return value;
  if (isResponseLike(value)) {
    return new Response(value.body, {
      status: value.status,
      statusText: value.statusText,
      headers: value.headers,
    });
  }
  throw new TypeError(
    `the fetch handler must return a Response, not ${value === null ? "null" : typeof value}`,
  );
}

export function serverError(): Response {
  return Response.json({ error: "Internal Server Error" }, { status: 500 });
}

/** A CommonJS module compiled from `export default` arrives with its default one level down. */
function unwrapDefault(exported: unknown): unknown {
  if (typeof exported !== "object" || exported === null || hasFetch(exported)) return exported;
  return "default" in exported ? exported.default : exported;
}

function hasFetch(value: unknown): value is { fetch: FetchHandler } {
  return (
    typeof value === "object" && value !== null && typeof (value as { fetch?: unknown }).fetch === "function"
  );
}

function isResponseLike(value: unknown): value is Response {
  if (typeof value !== "object" || value === null) return false;
  const { status, headers } = value as { status?: unknown; headers?: { forEach?: unknown } };
  return typeof status === "number" && typeof headers?.forEach === "function" && "body" in value;
}
