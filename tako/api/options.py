"""How a write is to be done."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """The query parameters of a write, and who writes."""

    dry_run: bool = False
    # Strict refuses fields the schema does not know, Warn tells of them, Ignore drops them silently.
    validation: str = "Warn"
    subresource: str | None = None
    manager: str = "tako"
    force: bool = False


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What must still be true of the object to be deleted."""

    uid: str | None = None
    revision: str | None = None


DEFAULT = Options()
ANY = Preconditions()
