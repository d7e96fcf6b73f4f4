// A fetch handler on Node: a page, a stream of events, and an upload that is never held in memory.
import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { tako } from "tako.sh";

let visits = 0;

// Tako sends no request before this has resolved: the place to connect to a database.
export async function ready() {
  tako.logger.info("ready", { env: tako.env, dataDir: tako.dataDir });
}

export default async function fetch(request) {
  const url = new URL(request.url);
  switch (`${request.method} ${url.pathname}`) {
    case "GET /":
      visits += 1;
      return page(`Hello from Node ${process.versions.node}, visit ${visits} of process ${process.pid}.`);
    case "GET /ticks":
      return new Response(ticks(request.signal), { headers: { "content-type": "text/event-stream" } });
    case "POST /digest":
      return Response.json({ sha256: await digest(request.body) });
    default:
      return new Response("Not found\n", { status: 404 });
  }
}

function page(text) {
  return new Response(`<!doctype html><title>hello-node</title><h1>${text}</h1>\n`, {
    headers: { "content-type": "text/html; charset=utf-8" },
  });
}

// The signal is aborted when the visitor leaves, so that no timer outlives its connection.
function ticks(signal) {
  return ReadableStream.from(
    (async function* () {
      for (let n = 1; n <= 10 && !signal.aborted; n += 1) {
        yield new TextEncoder().encode(`id: ${n}\ndata: ${new Date().toISOString()}\n\n`);
        await delay(1000, undefined, { signal }).catch(() => undefined);
      }
    })(),
  );
}

async function digest(body) {
  const hash = createHash("sha256");
  for await (const chunk of body ?? []) hash.update(chunk);
  return hash.digest("hex");
}
