"""Write crds/*.yaml from the models: ``python -m crds.generate`` at the root of the repository."""

from pathlib import Path

import yaml

from tako.model.crd import custom_resource_definition
from tako.model.kinds import KINDS, Kind

_HEADER = "# Generated from tako/model by `python -m crds.generate`; do not edit.\n"


def render(kind: Kind) -> str:
    """Return the text of the kind's file."""
    definition = custom_resource_definition(kind)
    return _HEADER + yaml.safe_dump(definition, sort_keys=False, width=100, allow_unicode=True)


if __name__ == "__main__":
    for each in KINDS:
        Path(__file__).with_name(f"{each.plural}.yaml").write_text(render(each))
