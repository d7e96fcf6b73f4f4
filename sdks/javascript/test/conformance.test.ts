/** The cases that every SDK runs, against the built package. Status cases need a process; see instance.test.ts. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { inspect } from "node:util";
import { readBindings } from "../dist/bindings.js";
import { parseEnvelope } from "../dist/envelope.js";
import { record } from "../dist/logger.js";
import { redacted } from "../dist/redaction.js";
import { processState } from "../dist/state.js";

function cases(name: string) {
  return JSON.parse(readFileSync(new URL(`../../conformance/${name}.json`, import.meta.url), "utf8"));
}

for (const { name, text, token, secrets, fault } of cases("bootstrap").cases) {
  test(`a bootstrap envelope with ${name}`, () => {
    if (fault) {
      assert.throws(() => parseEnvelope(text), { name: "EnvelopeInvalid", message: fault });
      return;
    }
    const envelope = parseEnvelope(text);
    assert.equal(envelope.token, token);
    assert.deepEqual(envelope.secrets, secrets);
  });
}

for (const { name, binding, fields, fault } of cases("storages").cases) {
  test(`a storage binding: ${name}`, () => {
    if (fault) {
      assert.throws(() => readBindings({ uploads: binding }), { name: "TypeError", message: fault });
      return;
    }
    const read = readBindings({ uploads: binding }).uploads as unknown as Record<string, unknown>;
    for (const [field, value] of Object.entries(fields)) assert.equal(read[camelCase(field)], value);
    assert.equal(JSON.stringify(read), '"[REDACTED]"');
  });
}

test("secrets can be used one by one and never show as a whole", () => {
  const { secrets, text, json, never } = cases("redaction");
  const bag = redacted<Record<string, string>>(secrets);
  for (const [name, value] of Object.entries(secrets)) assert.equal(bag[name], value);
  assert.equal(bag.MISSING, undefined);
  assert.equal("API_KEY" in bag, true);
  assert.equal(JSON.stringify(bag), json);
  assert.equal(`${bag}`, text);
  assert.equal(inspect(bag), text);
  assert.throws(() => {
    bag.API_KEY = "changed";
  }, TypeError);
  const everything = inspect(
    { bag, spread: { ...bag }, entries: Object.entries(bag) },
    { depth: 9, showHidden: true },
  );
  for (const secret of never) assert.equal(everything.includes(secret), false);
});

for (const { name, env, level, scope, message, fields, line } of cases("logger").cases) {
  test(`a log record: ${name}`, () => {
    const state = processState();
    delete process.env.TAKO_BUILD;
    Object.assign(process.env, env);
    state.instance = env.TAKO_INSTANCE_ID ?? "unknown";
    assert.equal(record(1795221858392, level, scope, message, fields), `{"ts":1795221858392,${line}`);
    delete process.env.TAKO_BUILD;
    state.instance = "unknown";
  });
}

test("a log record carries what JSON cannot", () => {
  const circular: Record<string, unknown> = {
    big: 2n,
    at: new Date(0),
    error: new RangeError("far", { cause: 1 }),
  };
  circular.self = circular;
  circular.twice = [circular.at, circular.at];
  const { fields } = JSON.parse(record(0, "error", "app", "m", circular));
  assert.equal(fields.big, "2");
  assert.equal(fields.at, "1970-01-01T00:00:00.000Z");
  assert.deepEqual(
    { ...fields.error, stack: undefined },
    { name: "RangeError", message: "far", stack: undefined },
  );
  assert.match(fields.error.stack, /RangeError: far/);
  assert.equal(JSON.stringify(fields).includes("[Circular]"), true);
  assert.deepEqual(fields.twice, [fields.at, fields.at]);
});

function camelCase(name: string): string {
  return name.replace(/_(.)/g, (_match, letter: string) => letter.toUpperCase());
}
