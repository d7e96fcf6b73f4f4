/**
 * The internal endpoint: what Tako asks an instance under the host name `<app>.tako`.
 *
 * The public proxy strips the token header, so a request that carries the right one is Tako's.
 */

import { createHash, timingSafeEqual } from "node:crypto";
import { environment, processState } from "./state.ts";

export const TOKEN_HEADER = "x-tako-internal-token";

const startedAt = performance.now();

/** Answer an internal request, or return undefined when the request is the app's. */
export function handleTakoEndpoint(request: Request): Response | undefined {
  const host = request.headers.get("host") ?? new URL(request.url).host;
  if (!isInternalHost(host)) return undefined;
  return answerInternal(new URL(request.url).pathname, request.headers.get(TOKEN_HEADER));
}

/** Answer a request that is known to be internal. */
export function answerInternal(path: string, sentToken: string | null): Response {
  const token = processState().envelope?.token;
  if (token === undefined || sentToken === null || !sameToken(sentToken, token)) {
    return Response.json({ error: "Forbidden" }, { status: 403 });
  }
  const headers = { [TOKEN_HEADER]: token };
  if (path === "/status") return Response.json(statusBody(), { headers });
  return Response.json({ error: "Not found" }, { status: 404, headers });
}

/** Say whether `host` (a Host header) is this app's internal name. */
export function isInternalHost(host: string): boolean {
  const name = host.replace(/:\d*$/, "").toLowerCase();
  if (!name.endsWith(".tako")) return false;
  const app = appName();
  return app === "" || name === `${app}.tako`;
}

function statusBody(): object {
  const { status, instance } = processState();
  return {
    status,
    app: appName(),
    version: environment().TAKO_BUILD ?? "unknown",
    instance_id: instance,
    pid: process.pid,
    uptime_seconds: Math.floor((performance.now() - startedAt) / 1000),
  };
}

/** The base name: `TAKO_APP_NAME` is `app/environment` on a host. */
function appName(): string {
  return environment().TAKO_APP_NAME?.split("/", 1)[0] ?? "";
}

function sameToken(sent: string, token: string): boolean {
  // Hashed first, because the comparison demands equal lengths and a length must not leak either.
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(sent), digest(token));
}
