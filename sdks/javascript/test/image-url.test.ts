import assert from "node:assert/strict";
import { test } from "node:test";
import { imageSrcSet, imageUrl } from "../dist/index.js";

test("an image address has the source, the width, and what differs from the defaults", () => {
  assert.equal(imageUrl("/a b.png"), "/_tako/image?src=%2Fa+b.png&w=1200");
  assert.equal(imageUrl("/a.png", { width: 320, quality: 75 }), "/_tako/image?src=%2Fa.png&w=320");
  assert.equal(
    imageUrl("/a.png", { width: 320, quality: 60, format: "webp" }),
    "/_tako/image?src=%2Fa.png&w=320&q=60&f=webp",
  );
});

test("a width the server would refuse is refused at once", () => {
  assert.throws(() => imageUrl("/a.png", { width: 321 }), TypeError);
  assert.throws(() => imageSrcSet("/a.png", { width: 100, layout: "fixed" }), TypeError);
});

test("a source set offers up to twice the width when the layout may shrink or be dense", () => {
  const { srcSet, sizes } = imageSrcSet("/a.png", { width: 640 });
  assert.deepEqual(
    srcSet.split(", ").map((candidate) => candidate.split(" ")[1]),
    ["320w", "640w", "960w", "1200w"],
  );
  assert.equal(sizes, "(min-width: 640px) 640px, 100vw");
});

test("other layouts stop at the width", () => {
  const full = imageSrcSet("/a.png", { width: 960, layout: "full-width" });
  assert.equal(full.src, imageUrl("/a.png", { width: 960 }));
  assert.equal(full.srcSet.split(", ").length, 3);
  assert.equal(full.sizes, "100vw");
  assert.equal(imageSrcSet("/a.png", { width: 960, layout: "fixed" }).sizes, "960px");
});
