"""Route: one host and path pattern, and the app that answers it."""

from pydantic import Field

from tako.model.kinds.kind import Document, Seen


class RouteSpec(Document):
    """What is wanted: requests that match `pattern` go to `app`."""

    app: str = Field(description="Name of the App in the same namespace.")
    pattern: str = Field(description="Host name with an optional path, such as `*.example.com/admin/*`.")


class RouteStatus(Seen):
    """Condition `Accepted` tells whether the proxy serves the route, or which route it conflicts with."""
