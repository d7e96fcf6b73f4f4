"""Who set which field: the bridge between writes and server-side apply.

Fields are tracked only in objects that somebody applies server-side; all others pay nothing for it.
"""

from datetime import datetime
from typing import Any

from tako.api.errors import ApiError
from tako.api.options import Options
from tako.api.registry import Resource

Document = dict[str, Any]


class Ownership:
    """Stateless; one place for what is asked of tracking."""

    def applied(
        self, live: Document | None, config: Document, resource: Resource, options: Options, now: datetime
    ) -> Document:
        raise ApiError(415, "UnsupportedMediaType", "server-side apply is not served")

    def on_create(self, doc: Document, resource: Resource) -> Document:
        """Drop what a client claims about managers."""
        return doc

    def on_update(self, old: Document, new: Document, resource: Resource, options: Options, now: datetime) -> Document:
        return new
