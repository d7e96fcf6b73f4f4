"""The release that last served alone, remembered on disk so that a rollback works after a restart too."""

from tako.adapters.files import replace_file
from tako.host_agent.layout import Layout
from tako.host_agent.releases import activate
from tako.host_agent.template import Template
from tako.model.names import DeploymentId

NAME = "settled.json"


def remember(layout: Layout, template: Template) -> None:
    """Keep the template, for our eyes only as its environment may be private, and point `current` at its release."""
    replace_file(layout.app(template.app).data_tako / NAME, template.to_json().encode(), durable=True)
    activate(template.app, template.release, layout)


def recall(layout: Layout, app: DeploymentId) -> Template | None:
    """Return what was remembered, or None; ValueError, KeyError or TypeError when it is damaged."""
    path = layout.app(app).data_tako / NAME
    return Template.from_json(path.read_text()) if path.exists() else None
