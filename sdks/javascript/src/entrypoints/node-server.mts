#!/usr/bin/env node
/** `node --experimental-strip-types node-server.mjs <main> [--instance ID]` */

import { serveOnNode } from "../node-serve.ts";
import { startApp } from "../start.ts";

await startApp(serveOnNode, "Usage: node-server.mjs <main> [--instance ID]");
