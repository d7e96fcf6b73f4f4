/** The Bun server: Bun's own, with Tako's questions answered before the app is asked. */

import { handleTakoEndpoint } from "./endpoint.ts";
import { callHandler, type FetchHandler } from "./handler.ts";
import type { Listening } from "./start.ts";

/** The part of Bun's API that is used here. */
interface BunServer {
  readonly port: number;
  readonly pendingRequests: number;
  stop(closeActiveConnections?: boolean): Promise<void>;
}
interface BunGlobal {
  serve(options: {
    hostname: string;
    port: number;
    idleTimeout: number;
    development: boolean;
    fetch(request: Request): Response | Promise<Response>;
  }): BunServer;
}
declare const Bun: BunGlobal;

const POLL_MS = 10;

export async function serveOnBun(fetch: FetchHandler, hostname: string, port: number): Promise<Listening> {
  const server = Bun.serve({
    hostname,
    port,
    // 0 is never: the proxy decides how long a connection idles, and event streams are quiet for long.
    idleTimeout: 0,
    development: false,
    fetch: (request) => handleTakoEndpoint(request) ?? callHandler(fetch, asVisited(request)),
  });
  return {
    port: server.port,
    close: async () => {
      // Resolves only when idle keep-alive connections are gone too, which may be never.
      void server.stop();
      while (server.pendingRequests > 0) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    },
  };
}

/** Give the Request the address the visitor asked for: Tako terminates TLS. */
function asVisited(request: Request): Request {
  if (request.headers.get("x-forwarded-proto") !== "https" || request.url.startsWith("https:"))
    return request;
  return new Request(request.url.replace(/^http:/, "https:"), request);
}
