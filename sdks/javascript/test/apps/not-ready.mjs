export async function ready() {
  throw new Error("database down");
}
export default () => new Response("never");
