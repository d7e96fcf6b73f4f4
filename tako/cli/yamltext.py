"""Documents as YAML text, for people to read and for diffs to compare."""

from typing import Any

import yaml

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _PlainDumper(_Dumper):  # type: ignore[misc]
    """Writes text of several lines as a block, the way it was meant to be read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, value: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_PlainDumper.add_representer(str, _text)


def to_yaml(value: Any) -> str:
    """Write keys in order, as kubectl does, so that equal documents give equal text."""
    text: str = yaml.dump(value, Dumper=_PlainDumper, sort_keys=True, allow_unicode=True, width=1000)
    return text


def indented(value: Any, spaces: int = 2) -> str:
    """The YAML of `value`, every line moved to the right."""
    return "\n".join(" " * spaces + line for line in to_yaml(value).splitlines())
