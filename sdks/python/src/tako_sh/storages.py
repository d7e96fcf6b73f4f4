"""Storage bindings: what the envelope says of each bucket or directory an app may use."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class S3Binding:
    """A bucket of an S3-compatible service. URLs have no trailing slash."""

    bucket: str
    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    force_path_style: bool = False
    public_base_url: str | None = None
    provider: Literal["s3"] = "s3"


@dataclass(frozen=True, slots=True)
class LocalBinding:
    """A directory of the host; `path` is relative to the app's data directory."""

    path: str
    signing_key: str = field(repr=False)
    provider: Literal["local"] = "local"


StorageBinding = S3Binding | LocalBinding


def read_bindings(storages: Mapping[str, Mapping[str, Any]]) -> dict[str, StorageBinding]:
    """Check every binding; raises ValueError that names the binding and the field."""
    return {name: _read_binding(name, fields) for name, fields in storages.items()}


def _read_binding(name: str, fields: Mapping[str, Any]) -> StorageBinding:
    if not isinstance(fields, Mapping):
        raise ValueError(f'storage "{name}": the binding is not an object')
    match fields.get("provider"):
        case "s3":
            public = fields.get("public_base_url")
            return S3Binding(
                bucket=_text(name, fields, "bucket"),
                endpoint=_text(name, fields, "endpoint").rstrip("/"),
                region=_text(name, fields, "region"),
                access_key_id=_text(name, fields, "access_key_id"),
                secret_access_key=_text(name, fields, "secret_access_key"),
                force_path_style=fields.get("force_path_style") is True,
                public_base_url=public.rstrip("/") if isinstance(public, str) else None,
            )
        case "local":
            return LocalBinding(path=_text(name, fields, "path"), signing_key=_text(name, fields, "signing_key"))
        case _:
            raise ValueError(f'storage "{name}": provider must be "s3" or "local"')


def _text(name: str, fields: Mapping[str, Any], field_name: str) -> str:
    value = fields.get(field_name)
    if isinstance(value, str) and value.strip():
        return value
    raise ValueError(f'storage "{name}": {field_name} must be a non-blank string')
