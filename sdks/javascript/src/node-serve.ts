/** The Node server: one listener that answers Tako's own questions and hands the rest to the app. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { answerInternal, isInternalHost, TOKEN_HEADER } from "./endpoint.ts";
import { callHandler, type FetchHandler } from "./handler.ts";
import { createLogger } from "./logger.ts";
import { RequestInvalid, sendResponse, toRequest } from "./node-http.ts";
import type { Listening } from "./start.ts";

const logger = createLogger("app");

export async function serveOnNode(fetch: FetchHandler, hostname: string, port: number): Promise<Listening> {
  let draining = false;
  const server = createServer((incoming, outgoing) => {
    if (draining) outgoing.shouldKeepAlive = false;
    outgoing.once("finish", () => {
      if (draining) setImmediate(() => server.closeIdleConnections());
    });
    respond(fetch, incoming, outgoing).catch((error) => logger.error("A response broke off", { error }));
  });
  // The proxy decides how long a connection idles and how long an upload may take; were we to close
  // first, a request already on its way would be lost.
  server.keepAliveTimeout = 0;
  server.requestTimeout = 0;
  await listening(server, hostname, port);
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        draining = true;
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
  };
}

function listening(server: Server, hostname: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, hostname, resolve);
  });
}

async function respond(
  fetch: FetchHandler,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  if (isInternalHost(incoming.headers.host ?? "")) {
    const path = (incoming.url ?? "/").split("?", 1)[0] as string;
    const token = incoming.headers[TOKEN_HEADER];
    return sendResponse(answerInternal(path, typeof token === "string" ? token : null), outgoing);
  }
  const gone = new AbortController();
  outgoing.once("close", () => {
    if (!outgoing.writableFinished) gone.abort();
  });
  const request = readRequest(incoming, gone.signal);
  if (request === undefined)
    return sendResponse(Response.json({ error: "Bad Request" }, { status: 400 }), outgoing);
  return sendResponse(await callHandler(fetch, request), outgoing);
}

function readRequest(incoming: IncomingMessage, signal: AbortSignal): Request | undefined {
  try {
    return toRequest(incoming, signal);
  } catch (error) {
    if (error instanceof RequestInvalid) return undefined;
    throw error;
  }
}
