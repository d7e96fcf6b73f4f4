/**
 * Values that can be used one by one but not printed, serialised or spread by accident.
 *
 * A bag shows no own keys, so `{...bag}`, `Object.entries(bag)` and structured clones carry nothing.
 */

export const REDACTED = "[REDACTED]";

/** Return a read-only view of `values` whose every bulk representation is `[REDACTED]`. */
export function redacted<T extends object>(values: T): T {
  const held = new Map(Object.entries(values));
  // Inspectors look at a proxy's target rather than at the proxy, so the target itself holds no value.
  return new Proxy(redactingTarget(), {
    get: (target, key) => Reflect.get(target, key) ?? (typeof key === "string" ? held.get(key) : undefined),
    has: (_target, key) => typeof key === "string" && held.has(key),
    set: () => false,
    defineProperty: () => false,
    deleteProperty: () => false,
  }) as T;
}

function redactingTarget(): object {
  const show = { value: () => REDACTED };
  return Object.create(null, {
    toJSON: show,
    toString: show,
    [Symbol.toPrimitive]: show,
    [Symbol.for("nodejs.util.inspect.custom")]: show,
  });
}
