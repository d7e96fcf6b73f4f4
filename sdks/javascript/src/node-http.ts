/** Between Node's HTTP messages and the web's Request and Response, streaming both ways. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { setImmediate as macrotask } from "node:timers/promises";

/** The incoming message cannot be expressed as a Request. */
export class RequestInvalid extends Error {
  override name = "RequestInvalid";
}

const HOP_BY_HOP = new Set(["connection", "keep-alive", "transfer-encoding"]);
const BODILESS_METHODS = new Set(["GET", "HEAD"]);
const BODILESS_STATUSES = new Set([204, 205, 304]);

/** Make the Request a handler sees. Its body is read from the socket only as fast as the handler reads it. */
export function toRequest(incoming: IncomingMessage, signal: AbortSignal): Request {
  const method = incoming.method ?? "GET";
  const init: RequestInit & { duplex: "half" } = {
    method,
    headers: readHeaders(incoming),
    signal,
    duplex: "half",
  };
  if (!BODILESS_METHODS.has(method)) init.body = requestBody(incoming);
  try {
    return new Request(requestUrl(incoming), init);
  } catch (error) {
    throw new RequestInvalid("the method, the Host or a header is not valid", { cause: error });
  }
}

/** The address the visitor asked for: Tako terminates TLS and says so in X-Forwarded-Proto. */
function requestUrl(incoming: IncomingMessage): string {
  const target = incoming.url ?? "/";
  // Concatenated, not resolved: `//other.example/` is a path here and must not become a host.
  if (!target.startsWith("/")) return target === "*" ? `http://${incoming.headers.host}/` : target;
  const forwarded = incoming.headers["x-forwarded-proto"];
  const scheme = forwarded === "https" ? "https" : "http";
  return `${scheme}://${incoming.headers.host ?? "localhost"}${target}`;
}

function readHeaders(incoming: IncomingMessage): Headers {
  const headers = new Headers();
  const raw = incoming.rawHeaders;
  for (let at = 0; at < raw.length; at += 2) headers.append(raw[at] as string, raw[at + 1] as string);
  return headers;
}

function requestBody(incoming: IncomingMessage): ReadableStream<Uint8Array> {
  let chunks: AsyncIterator<Uint8Array> | undefined;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        chunks ??= incoming.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array>;
        const { done, value } = await chunks.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await chunks?.return?.();
        // The rest of the body still has to leave the socket before the connection can be used again.
        incoming.resume();
      },
    },
    { highWaterMark: 0 },
  );
}

/** Write a Response; resolves when the last byte was handed to the socket or the client is gone. */
export async function sendResponse(response: Response, outgoing: ServerResponse): Promise<void> {
  outgoing.statusCode = response.status;
  if (response.statusText !== "") outgoing.statusMessage = response.statusText;
  writeHeaders(response.headers, outgoing);
  if (response.body === null || BODILESS_STATUSES.has(response.status) || outgoing.req.method === "HEAD") {
    await response.body?.cancel();
    outgoing.end();
    return;
  }
  await sendBody(response.body.getReader(), outgoing);
}

function writeHeaders(headers: Headers, outgoing: ServerResponse): void {
  for (const [name, value] of headers) {
    if (name !== "set-cookie" && !HOP_BY_HOP.has(name)) outgoing.setHeader(name, value);
  }
  const cookies = headers.getSetCookie();
  if (cookies.length > 0) outgoing.setHeader("set-cookie", cookies);
}

async function sendBody(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  outgoing: ServerResponse,
): Promise<void> {
  const closed = new Promise<void>((resolve) => outgoing.once("close", resolve));
  // Also wakes a read that waits for a producer with nothing to say, such as an idle event stream.
  void closed.then(() => reader.cancel().catch(() => undefined));
  try {
    const first = await reader.read();
    if (first.done) {
      outgoing.end();
      return;
    }
    let next = reader.read();
    // A body that is complete already is sent whole, so that it carries a Content-Length; one that is
    // still being produced must not be held back.
    const known = await Promise.race([next, macrotask(undefined)]);
    if (known?.done) {
      outgoing.end(first.value);
      return;
    }
    await writeChunk(first.value, outgoing, closed);
    for (let chunk = await next; !chunk.done; chunk = await next) {
      await writeChunk(chunk.value, outgoing, closed);
      next = reader.read();
    }
    outgoing.end();
  } catch (error) {
    // The status line may be out already: a broken-off connection is the only honest end of the body.
    outgoing.destroy();
    throw error;
  }
}

async function writeChunk(chunk: Uint8Array, outgoing: ServerResponse, closed: Promise<void>): Promise<void> {
  if (outgoing.write(chunk) || outgoing.destroyed) return;
  await Promise.race([closed, new Promise<void>((resolve) => outgoing.once("drain", resolve))]);
}
