// An app that shows each part of the contract; imported by a real instance in instance.test.ts.
import { createHash } from "node:crypto";
import { tako } from "tako.sh";

let open;
const opened = new Promise((resolve) => {
  open = resolve;
});

// Opens the gate once no new connection is taken any more.
process.on("SIGUSR2", () => open());

const routes = {
  "/": (request) => new Response(request.url),
  "/host-path": () => new Response("the app's"),
  "/secret": () => new Response(tako.secrets.API_KEY),
  "/environment": () => Response.json(process.env),
  "/print": () => {
    console.log("logged %s", { a: 1 }, tako.secrets);
    console.warn("warned");
    console.error(new Error("told"));
    process.stdout.write("raw ");
    process.stdout.write("out\nsecond line\n");
    process.stderr.write("raw err\n");
    tako.logger.info("structured", { n: 1 });
    return new Response("printed");
  },
  "/throw": () => {
    throw new Error("out of order");
  },
  "/text": () => "not a response",
  "/crash": () => {
    setTimeout(() => {
      throw new Error("nobody caught this");
    });
    return new Response("crashing");
  },
  "/reject": () => {
    Promise.reject(new Error("nobody awaited this"));
    return new Response("rejecting");
  },
  "/cookies": () => {
    const headers = new Headers();
    headers.append("set-cookie", "a=1");
    headers.append("set-cookie", "b=2");
    return new Response(null, { status: 204, headers });
  },
  "/digest": async (request) => {
    const hash = createHash("sha256");
    for await (const chunk of request.body) hash.update(chunk);
    return new Response(hash.digest("hex"));
  },
  "/ignore-body": () => new Response("unread", { status: 413 }),
  // Sends its first part at once and the rest after somebody asked for /open.
  "/slow": () => new Response(slow()),
  "/wait": async () => {
    await opened;
    return new Response("waited");
  },
  "/open": () => {
    open();
    return new Response("opened");
  },
  "/hang": (request) => {
    request.signal.addEventListener("abort", () => tako.logger.info("the visitor left"));
    tako.logger.info("hanging");
    return new Promise(() => undefined);
  },
  "/broken": () => new Response(broken()),
  "/events": () => new Response(new ReadableStream({ cancel: () => tako.logger.info("nobody listens") })),
};

function slow() {
  const encoder = new TextEncoder();
  return new ReadableStream({
    async start(controller) {
      controller.enqueue(encoder.encode("first,"));
      await opened;
      controller.enqueue(encoder.encode("second"));
      controller.close();
    },
  });
}

function broken() {
  let sent = false;
  return new ReadableStream({
    async pull(controller) {
      if (sent) throw new Error("the source dried up");
      sent = true;
      controller.enqueue(new TextEncoder().encode("half"));
      await new Promise((resolve) => setTimeout(resolve, 20));
    },
  });
}

export default {
  fetch(request) {
    const route = routes[new URL(request.url).pathname];
    return route ? route(request) : new Response("the app's 404", { status: 404 });
  },
};
