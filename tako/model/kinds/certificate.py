"""Certificate: key and chain for a set of host names."""

from enum import StrEnum

from pydantic import Field

from tako.model.kinds.kind import Document, Seen


class Issuer(StrEnum):
    """Who signs."""

    SELF_SIGNED = "self-signed"


class CertificateSpec(Document):
    """What is wanted: a certificate that is valid for all of `hosts`."""

    hosts: list[str] = Field(
        min_length=1,
        description="Host names, a leading `*.` for wildcards; the first names the directory on disk.",
    )
    issuer: Issuer = Field(default=Issuer.SELF_SIGNED, description="Who signs.")


class CertificateStatus(Seen):
    """What is seen."""

    not_before: str | None = Field(
        default=None, description="Valid from, RFC 3339.", json_schema_extra={"format": "date-time"}
    )
    not_after: str | None = Field(
        default=None, description="Valid until, RFC 3339.", json_schema_extra={"format": "date-time"}
    )
    renewal_time: str | None = Field(
        default=None, description="When it is renewed, RFC 3339.", json_schema_extra={"format": "date-time"}
    )
    fingerprint: str | None = Field(default=None, description="SHA-256 of the leaf, hexadecimal.")
    path: str | None = Field(default=None, description="Directory that holds fullchain.pem and privkey.pem.")
