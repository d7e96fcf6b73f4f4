"""``config.json`` in the data directory and the environment: what an operator sets for the whole server.

Read at start and again on SIGHUP. A fault is `Refused` with the file, the key, what was given and what is allowed.
"""

import ipaddress
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from tako.model.errors import Refused

NAME = "config.json"
MAX_REQUESTS_VARIABLE = "TAKO_MAX_REQUESTS_PER_IP"
DEFAULT_MAX_REQUESTS_PER_IP = 2048

_FORBIDDEN = ConfigDict(frozen=True, extra="forbid", strict=False)


def _cidr(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(f"{error}; write a range such as 10.0.0.0/8 or fd00::/8, or one address") from error


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Cidr = Annotated[str, AfterValidator(_cidr)]
HeaderName = Annotated[Literal["cf-connecting-ip", "x-forwarded-for", "forwarded"], BeforeValidator(_lower)]


class TrustedProxy(BaseModel):
    """Front proxies whose word on the client's address, and on HTTPS, is believed."""

    model_config = _FORBIDDEN

    proxy_protocol: bool = False
    trusted_cidrs: tuple[Cidr, ...] = ()
    client_ip_headers: tuple[HeaderName, ...] = ()

    @model_validator(mode="after")
    def _says_whom_it_trusts(self) -> "TrustedProxy":
        for key in ("proxy_protocol", "client_ip_headers"):
            if getattr(self, key) and not self.trusted_cidrs:
                raise ValueError(f"{key} needs trusted_cidrs: the addresses of the proxies that are trusted")
        return self


class ServerConfig(BaseModel):
    """The whole file; a file that is not there says nothing."""

    model_config = _FORBIDDEN

    server_name: Annotated[str, AfterValidator(lambda text: text.strip())] | None = None
    acme_email: str | None = None
    trusted_proxy: TrustedProxy = TrustedProxy()


def read_config(data_dir: Path) -> ServerConfig:
    """Read the file of a data directory."""
    path = data_dir / NAME
    try:
        content = path.read_text()
    except FileNotFoundError:
        return ServerConfig()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path} cannot be read: {error}") from error
    try:
        document = json.loads(content)
    except ValueError as error:
        raise Refused(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Refused(f"{path} must be a JSON object, for example {{}}")
    try:
        return ServerConfig.model_validate(document)
    except ValidationError as error:
        raise Refused("\n".join(f"{path}: {_told(dict(fault))}" for fault in error.errors())) from error


def max_requests_per_ip(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many requests of one client may be in progress at once."""
    given = environment.get(MAX_REQUESTS_VARIABLE)
    if given is None:
        return DEFAULT_MAX_REQUESTS_PER_IP
    if not given.isascii() or not given.isdecimal() or not 0 < int(given) < 2**31:
        raise Refused(f"{MAX_REQUESTS_VARIABLE} is {given!r}; it must be a number of at least 1")
    return int(given)


def _told(fault: Mapping[str, object]) -> str:
    place = ""
    for part in fault["loc"]:  # type: ignore[attr-defined]
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
    if fault["type"] == "extra_forbidden":
        model = TrustedProxy if place.startswith("trusted_proxy.") else ServerConfig
        return f"{place} is no setting; there are {', '.join(model.model_fields)}"
    why = str(fault["msg"]).removeprefix("Value error, ")
    given = fault["input"]
    shown = "" if isinstance(given, dict | TrustedProxy) else f" is {json.dumps(given, ensure_ascii=False)}"
    return f"{place}{shown}: {why}"
