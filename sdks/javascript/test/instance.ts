/** Plays tako-server's part: starts a real instance with pipes on fds 3 and 4 and talks to it. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { Agent, type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export type Runtime = "node" | "bun";
export const TOKEN = "0123456789abcdefghijklmnopqrstuv";
export const ENVELOPE = JSON.stringify({ token: TOKEN, secrets: { API_KEY: "hunter2" }, storages: {} });

const DIRECTORY = fileURLToPath(new URL("..", import.meta.url));
const COMMANDS = {
  node: ["node_modules/node/bin/node", "--experimental-strip-types", "dist/entrypoints/node-server.mjs"],
  bun: ["node_modules/bun/bin/bun.exe", "run", "dist/entrypoints/bun-server.mjs"],
};

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export interface Options {
  /** Text on fd 3; null leaves fds 3 and 4 closed, as in a container. */
  readonly envelope?: string | null;
  readonly env?: Record<string, string>;
}

export class Instance {
  readonly #agent = new Agent({ keepAlive: true });
  readonly process: ChildProcess;
  /** What was written to fd 4 until it was closed; empty when the process ended first. */
  readonly reported: Promise<string>;
  readonly exit: Promise<number | null>;
  stdout = "";
  stderr = "";

  constructor(child: ChildProcess, reported: Promise<string>) {
    this.process = child;
    this.reported = reported;
    child.stdout?.on("data", (chunk) => {
      this.stdout += chunk;
    });
    child.stderr?.on("data", (chunk) => {
      this.stderr += chunk;
    });
    this.exit = once(child, "close").then(([code]) => {
      this.#agent.destroy();
      return code;
    });
  }

  async port(): Promise<number> {
    return Number((await this.reported).trim());
  }

  /** The log records written so far. */
  records(): Record<string, unknown>[] {
    const complete = this.stdout.split("\n").slice(0, -1);
    return complete.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  }

  /** Send a request and return the answer's head; its body streams. */
  async open(path: string, headers: Record<string, string> = {}, method = "GET", body?: string | Buffer) {
    const port = await this.port();
    const host = { host: "hello.example.com", ...headers };
    const sent = request({ port, path, method, headers: host, agent: this.#agent, host: "127.0.0.1" });
    sent.end(body);
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    // A connection that is reset later is reported on the request too; the answer's reader sees it anyway.
    sent.on("error", () => undefined);
    return answer;
  }

  async ask(...parameters: Parameters<Instance["open"]>): Promise<Answer> {
    const answer = await this.open(...parameters);
    const chunks: Buffer[] = await answer.toArray();
    return {
      status: answer.statusCode ?? 0,
      headers: answer.headers,
      body: Buffer.concat(chunks).toString(),
    };
  }

  status(): Promise<Answer> {
    return this.ask("/status", { host: "hello.tako", "x-tako-internal-token": TOKEN });
  }

  /** Wait until `seen` says so; fails after five seconds with what was printed. */
  async until(seen: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = Date.now() + 5000;
    while (!(await seen())) {
      if (Date.now() > deadline)
        throw new Error(`not seen in time; stdout: ${this.stdout} stderr: ${this.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.exit;
  }
}

/** Start `app`, a file below test/apps. */
export function startInstance(runtime: Runtime, app: string, options: Options = {}): Instance {
  const { envelope = ENVELOPE, env = {} } = options;
  const argv = [...COMMANDS[runtime].map((part) => (part.includes("/") ? join(DIRECTORY, part) : part)), app];
  const base = {
    PATH: process.env.PATH ?? "",
    PORT: "0",
    HOST: "127.0.0.1",
    TAKO_BUILD: "v1",
    NODE_ENV: "production",
  };
  const directory = mkdtempSync(join(tmpdir(), "tako-sdk-"));
  const start = (command: string[], more: Record<string, string>) =>
    spawn(command[0] as string, command.slice(1), {
      cwd: join(DIRECTORY, "test/apps"),
      env: { ...base, ...more, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
  if (envelope === null) return new Instance(start(argv, {}), Promise.resolve(""));
  // Node offers only sockets as extra stdio; the contract has pipes.
  const [bootstrap, readiness] = [join(directory, "3"), join(directory, "4")];
  execFileSync("mkfifo", [bootstrap, readiness]);
  const shell = [
    "sh",
    "-c",
    `exec "$@" 3<${bootstrap} 4>${readiness}`,
    "sh",
    ...argv,
    "--instance",
    "abcd1234",
  ];
  const child = start(shell, {
    TAKO_APP_NAME: "hello/production",
    TAKO_INTERNAL_SOCKET: join(directory, "none.sock"),
  });
  void writeFile(bootstrap, envelope);
  const reported = readFile(readiness, "utf8");
  void once(child, "close").then(() => rmSync(directory, { recursive: true }));
  return new Instance(child, reported);
}
