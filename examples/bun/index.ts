// A guest book on Bun: TypeScript as it is, and a SQLite file that outlives releases.
import { Database } from "bun:sqlite";
import { join } from "node:path";
import { tako } from "tako.sh";

// dataDir belongs to the app and is kept across deploys; the release directory is not.
const book = new Database(join(tako.dataDir || ".", "guests.sqlite"), { create: true });
book.run("PRAGMA journal_mode = WAL");
// Several instances share the file; a writer waits for another instead of failing.
book.run("PRAGMA busy_timeout = 2000");
book.run("CREATE TABLE IF NOT EXISTS guests (id INTEGER PRIMARY KEY, name TEXT NOT NULL)");

const recent = book.query<{ name: string }, []>("SELECT name FROM guests ORDER BY id DESC LIMIT 10");
const sign = book.query("INSERT INTO guests (name) VALUES (?)");

export default {
  async fetch(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (request.method === "POST" && pathname === "/guests") return addGuest(request);
    if (request.method === "GET" && pathname === "/") {
      const names = recent.all().map((guest) => guest.name);
      return Response.json({ hello: `from Bun ${Bun.version}`, process: process.pid, guests: names });
    }
    return new Response("Not found\n", { status: 404 });
  },
};

async function addGuest(request: Request): Promise<Response> {
  const { name } = (await request.json().catch(() => ({}))) as { name?: unknown };
  if (typeof name !== "string" || name === "") return Response.json({ error: "name is missing" }, { status: 400 });
  sign.run(name.slice(0, 80));
  tako.logger.info("A guest signed", { name });
  return Response.json({ signed: name }, { status: 201 });
}
