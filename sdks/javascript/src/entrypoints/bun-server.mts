#!/usr/bin/env bun
/** `bun run bun-server.mjs <main> [--instance ID]` */

import { serveOnBun } from "../bun-serve.ts";
import { startApp } from "../start.ts";

await startApp(serveOnBun, "Usage: bun-server.mjs <main> [--instance ID]");
