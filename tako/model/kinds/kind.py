"""What a kind is: its names, its columns, the models of its spec and status."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "tako.sh"
VERSION = "v1"


class Document(BaseModel):
    """Base of every part of a document: frozen, camelCase on the wire, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        serialize_by_alias=True,
        validate_by_name=True,
        validate_by_alias=True,
    )


class Condition(Document):
    """One thing that is true or not about a resource, with the reason told to a person."""

    type: str = Field(description="What the condition is about, such as Ready.")
    status: str = Field(description="True, False or Unknown.", json_schema_extra={"enum": ["True", "False", "Unknown"]})
    reason: str = Field(description="One CamelCase word for programs.")
    message: str = Field(default="", description="What happened and what to do about it, for a person.")
    last_transition_time: str = Field(
        description="When the status last changed, RFC 3339.", json_schema_extra={"format": "date-time"}
    )
    observed_generation: int | None = Field(
        default=None, description="The generation of the spec this condition speaks of."
    )


class Seen(Document):
    """What every status has."""

    observed_generation: int | None = Field(
        default=None, description="The generation of the spec that this status answers."
    )
    conditions: list[Condition] | None = Field(
        default=None,
        description="What is true of the resource right now, one entry per type.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )


@dataclass(frozen=True, slots=True)
class Column:
    """One of `additionalPrinterColumns`; priority 0 is always shown, 1 with `-o wide`."""

    name: str
    json_path: str
    type: str = "string"
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource kind of group ``tako.sh``; every kind has a status subresource."""

    name: str
    plural: str
    spec: type[Document]
    status: type[Seen]
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ("tako",)
    columns: tuple[Column, ...] = ()
    # (spec replicas, status replicas, label selector) as JSON paths, for the scale subresource.
    scale: tuple[str, str, str] | None = None
    selectable_fields: tuple[str, ...] = ()

    @property
    def singular(self) -> str:
        return self.name.lower()

    @property
    def group_resource(self) -> str:
        """The name of the CustomResourceDefinition: ``apps.tako.sh``."""
        return f"{self.plural}.{GROUP}"

    @property
    def api_version(self) -> str:
        return f"{GROUP}/{VERSION}"
