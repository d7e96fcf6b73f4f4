/** The process contract, held by real instances on both runtimes. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { test } from "node:test";
import { ENVELOPE, type Instance, type Options, startInstance, TOKEN } from "./instance.ts";

for (const runtime of ["node", "bun"] as const) {
  /** Run `body` with a running instance, and end it however the body ends. */
  const withApp = (
    title: string,
    body: (instance: Instance) => Promise<void>,
    app = "app.mjs",
    options?: Options,
  ) =>
    test(`${runtime}: ${title}`, { timeout: 20_000 }, async () => {
      const instance = startInstance(runtime, app, options);
      try {
        await body(instance);
      } finally {
        await instance.kill();
      }
    });

  withApp("the port is reported as one line, and then it answers", async (instance) => {
    assert.match(await instance.reported, /^\d+\n$/);
    assert.equal((await instance.status()).status, 200);
  });

  const contract = JSON.parse(
    readFileSync(new URL("../../conformance/status.json", import.meta.url), "utf8"),
  );
  withApp("the internal endpoint passes the conformance cases", async (instance) => {
    assert.equal(contract.token, TOKEN);
    for (const { name, host, path, sent, answer } of contract.cases) {
      const headers = { host, ...(sent === null ? {} : { [contract.header]: sent }) };
      const got = await instance.ask(path, headers);
      if (answer === null) {
        assert.equal(got.body, "the app's 404", name);
        continue;
      }
      assert.equal(got.status, answer.status, name);
      assert.equal(got.headers["x-tako-internal-token"], answer.echoed ? TOKEN : undefined, name);
      assert.match(got.headers["content-type"] ?? "", /^application\/json/, name);
      if (answer.body) assert.equal(got.body, answer.body, name);
      else assert.deepEqual({ ...JSON.parse(got.body), ...answer.fields }, JSON.parse(got.body), name);
      if (answer.keys) assert.deepEqual(Object.keys(JSON.parse(got.body)), answer.keys, name);
    }
  });

  withApp("a request carries the address the visitor asked for", async (instance) => {
    assert.equal((await instance.ask("/?q=1")).body, "http://hello.example.com/?q=1");
    const secure = { host: "a.example.com", "x-forwarded-proto": "https" };
    assert.equal((await instance.ask("/?q=1", secure)).body, "https://a.example.com/?q=1");
  });

  withApp("secrets come from the envelope and are in no environment", async (instance) => {
    assert.equal((await instance.ask("/secret")).body, "hunter2");
    const environment = (await instance.ask("/environment")).body;
    assert.equal(environment.includes("hunter2") || environment.includes(TOKEN), false);
  });

  withApp("what an app prints becomes records", async (instance) => {
    await instance.ask("/print");
    await instance.until(() => instance.records().some((each) => each.msg === "raw err"));
    const printed = instance.records().map(({ level, msg }) => `${level} ${String(msg).split("\n")[0]}`);
    for (const line of [
      "info logged { a: 1 } [REDACTED]",
      "warn warned",
      "error Error: told",
      "info raw out",
    ]) {
      const alike = printed.some((each) => each.replaceAll(/\s+/g, " ").startsWith(line));
      assert.ok(alike, `${line} is not among ${printed.join("; ")}`);
    }
    assert.ok(instance.records().some((each) => each.msg === "raw out\nsecond line"));
    assert.ok(printed.includes("warn raw err"));
    const structured = instance.records().find((each) => each.msg === "structured");
    assert.deepEqual(structured?.fields, { build: "v1", instance: "abcd1234", n: 1 });
    assert.equal(instance.stdout.includes("hunter2"), false);
    assert.equal(instance.stderr, "");
  });

  withApp("a handler that throws, or returns no Response, is a 500 and the app goes on", async (instance) => {
    for (const path of ["/throw", "/text"]) {
      const { status, body } = await instance.ask(path);
      assert.deepEqual({ status, body }, { status: 500, body: '{"error":"Internal Server Error"}' });
    }
    assert.equal((await instance.status()).status, 200);
    const record = instance.records().find((each) => each.level === "error");
    assert.match(JSON.stringify(record), /out of order/);
  });

  withApp("an uncaught exception is logged and ends the process with 1", async (instance) => {
    await instance.ask("/crash");
    assert.equal(await instance.exit, 1);
    const { fields } = instance.records().at(-1) as { fields: { kind: string; error: { message: string } } };
    assert.equal(fields.kind, "uncaughtException");
    assert.equal(fields.error.message, "nobody caught this");
  });

  withApp("an unhandled rejection is logged only", async (instance) => {
    await instance.ask("/reject");
    await instance.until(() => instance.stdout.includes("nobody awaited this"));
    assert.equal((await instance.status()).status, 200);
  });

  withApp("cookies stay apart, and an answer without a body has none", async (instance) => {
    const { status, headers, body } = await instance.ask("/cookies");
    assert.deepEqual(
      { status, body, cookies: headers["set-cookie"] },
      { status: 204, body: "", cookies: ["a=1", "b=2"] },
    );
    assert.equal((await instance.ask("/", {}, "HEAD")).body, "");
  });

  withApp("a complete answer says how long it is", async (instance) => {
    assert.equal((await instance.ask("/secret")).headers["content-length"], "7");
  });

  withApp(
    "a body streams in whole, and one that nobody reads leaves the connection usable",
    async (instance) => {
      const upload = randomBytes(3_000_000);
      const digest = createHash("sha256").update(upload).digest("hex");
      assert.equal((await instance.ask("/digest", {}, "POST", upload)).body, digest);
      assert.equal((await instance.ask("/ignore-body", {}, "POST", upload)).status, 413);
      assert.equal((await instance.ask("/digest", {}, "POST", upload)).body, digest);
    },
  );

  withApp("an answer's first part is sent before its last is known", async (instance) => {
    const answer = await instance.open("/slow");
    answer.setEncoding("utf8");
    const parts: string[] = [];
    answer.on("data", (part) => parts.push(part));
    await instance.until(() => parts.length > 0);
    assert.deepEqual(parts, ["first,"]);
    await instance.ask("/open");
    await instance.until(() => parts.join("") === "first,second");
  });

  withApp("an answer that breaks off is seen as broken off", async (instance) => {
    await assert.rejects(async () => instance.ask("/broken"));
    // On a connection of its own: the pooled one is being torn down.
    const after = await fetch(`http://127.0.0.1:${await instance.port()}/secret`);
    assert.equal(await after.text(), "hunter2");
  });

  withApp("the handler learns that the visitor left", async (instance) => {
    const socket = connect(await instance.port(), "127.0.0.1");
    socket.write("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n");
    await instance.until(() => instance.stdout.includes("hanging"));
    socket.destroy();
    await instance.until(() => instance.stdout.includes("the visitor left"));
  });

  withApp("on SIGTERM it says so, finishes what is in flight, and leaves with 0", async (instance) => {
    const waiting = instance.ask("/wait");
    const idle = connect(await instance.port(), "127.0.0.1");
    await once(idle, "connect");
    // Kept open by a request on it, as a proxy's pooled connection would be.
    idle.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await once(idle, "data");
    const pooled = await answering(instance, "/events");
    instance.process.kill("SIGTERM");
    await instance.until(async () => refused(await instance.port()));
    pooled.destroy();
    assert.equal(instance.process.exitCode, null);
    await openGate(instance, waiting);
    assert.equal(await instance.exit, 0);
    idle.destroy();
  });

  withApp("an idle instance leaves at once on SIGTERM, whatever connections are open", async (instance) => {
    await instance.status();
    instance.process.kill("SIGTERM");
    assert.equal(await instance.exit, 0);
  });

  for (const [app, cause] of [
    ["throws.mjs", "Tako: cannot load throws.mjs: boom at import"],
    ["not-ready.mjs", "Tako: ready() failed: database down"],
    ["no-handler.mjs", "Tako: cannot load no-handler.mjs: it has no default export"],
    ["missing.mjs", "Tako: cannot load missing.mjs: "],
  ] as const) {
    withApp(
      `${app} ends with 1 and the cause before a port is reported`,
      async (instance) => {
        assert.equal(await instance.reported, "");
        assert.equal(await instance.exit, 1);
        const last = instance.stderr.trimEnd().split("\n").at(-1) ?? "";
        assert.ok(last.startsWith(cause), last);
      },
      app,
    );
  }

  withApp(
    "a malformed envelope ends with 1 and does not show what it held",
    async (instance) => {
      assert.equal(await instance.exit, 1);
      assert.equal(await instance.reported, "");
      assert.equal(instance.stderr, "Tako: cannot start: the bootstrap envelope is not valid JSON\n");
    },
    "app.mjs",
    { envelope: ENVELOPE.slice(0, -20) },
  );

  withApp(
    "a half-set pair of socket and name is refused",
    async (instance) => {
      assert.equal(await instance.exit, 1);
      assert.match(instance.stderr, /^Tako: cannot start: .*must be set together/m);
    },
    "app.mjs",
    { envelope: null, env: { TAKO_APP_NAME: "hello" } },
  );

  for (const [app, text] of [
    ["common.cjs", "from CommonJS"],
    ["typed.ts", "typed"],
  ] as const) {
    withApp(`${app} is served`, async (instance) => assert.equal((await instance.ask("/")).body, text), app);
  }

  test(`${runtime}: in a container the envelope comes by variable and is removed`, {
    timeout: 20_000,
  }, async () => {
    const port = await freePort();
    const env = { PORT: String(port), TAKO_BOOTSTRAP_DATA: ENVELOPE };
    const instance = startInstance(runtime, "app.mjs", { envelope: null, env });
    try {
      await instance.until(async () => !(await refused(port)));
      const got = await fetch(`http://127.0.0.1:${port}/secret`).then((answer) => answer.text());
      assert.equal(got, "hunter2");
      const environment = await fetch(`http://127.0.0.1:${port}/environment`).then((answer) => answer.text());
      assert.equal(environment.includes("hunter2"), false);
    } finally {
      await instance.kill();
    }
  });

  test(`${runtime}: without a main the usage is printed`, { timeout: 20_000 }, async () => {
    const instance = startInstance(runtime, "--nothing", { envelope: null });
    assert.equal(await instance.exit, 1);
    assert.match(instance.stderr, /^Usage: /);
  });
}

async function answering(instance: Instance, path: string) {
  const socket = connect(await instance.port(), "127.0.0.1");
  socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
  await once(socket, "connect");
  return socket;
}

/** Let the waiting request finish; new connections are refused by then, so the gate is opened by a signal. */
async function openGate(instance: Instance, waiting: Promise<{ body: string }>): Promise<void> {
  instance.process.kill("SIGUSR2");
  assert.equal((await waiting).body, "waited");
}

function refused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(false);
    });
    socket.once("error", () => resolve(true));
  });
}

async function freePort(): Promise<number> {
  const { createServer } = await import("node:net");
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}
