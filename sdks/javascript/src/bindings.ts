/** Storage bindings: what the envelope says of each bucket or directory an app may use. */

import { redacted } from "./redaction.ts";

export type BindingFields = Readonly<Record<string, unknown>>;

export interface S3StorageBinding {
  readonly provider: "s3";
  readonly bucket: string;
  /** Without a trailing slash. */
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly forcePathStyle: boolean;
  /** Without a trailing slash. */
  readonly publicBaseUrl?: string;
}

export interface LocalStorageBinding {
  readonly provider: "local";
  /** Relative to `dataDir`. */
  readonly path: string;
  /** 32 bytes, base64url. */
  readonly signingKey: string;
}

export type TakoStorageBinding = S3StorageBinding | LocalStorageBinding;

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Check every binding; throws a TypeError that names the binding and the field. */
export function readBindings(
  storages: Readonly<Record<string, BindingFields>>,
): Record<string, TakoStorageBinding> {
  return Object.fromEntries(
    Object.entries(storages).map(([name, fields]) => [name, readBinding(name, fields)]),
  );
}

function readBinding(name: string, fields: BindingFields): TakoStorageBinding {
  if (!isRecord(fields)) throw new TypeError(`storage "${name}": the binding is not an object`);
  const text = (field: string) => requiredText(name, fields, field);
  switch (fields.provider) {
    case "s3":
      return redacted<S3StorageBinding>({
        provider: "s3",
        bucket: text("bucket"),
        endpoint: withoutTrailingSlashes(text("endpoint")),
        region: text("region"),
        accessKeyId: text("access_key_id"),
        secretAccessKey: text("secret_access_key"),
        forcePathStyle: fields.force_path_style === true,
        ...(typeof fields.public_base_url === "string"
          ? { publicBaseUrl: withoutTrailingSlashes(fields.public_base_url) }
          : {}),
      });
    case "local":
      return redacted<LocalStorageBinding>({
        provider: "local",
        path: text("path"),
        signingKey: text("signing_key"),
      });
    default:
      throw new TypeError(`storage "${name}": provider must be "s3" or "local"`);
  }
}

function requiredText(name: string, fields: BindingFields, field: string): string {
  const value = fields[field];
  if (typeof value === "string" && value.trim() !== "") return value;
  throw new TypeError(`storage "${name}": ${field} must be a non-blank string`);
}

function withoutTrailingSlashes(url: string): string {
  return url.replace(/\/+$/, "");
}
