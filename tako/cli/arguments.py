"""How a command declares what it takes, and the quick reading of a well-formed command line.

A command is a function: positional parameters are arguments, keyword parameters are options, each annotated
with :class:`Argument` or :class:`Option`. Two readers use that one declaration. :func:`read_quickly` reads
what people type nearly always, in microseconds. Whatever it does not understand (help, a mistake,
shell completion) goes to typer (:mod:`tako.cli.grammar`), whose import alone takes longer than
`kubectl get`. A property test holds the two to the same result.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, NamedTuple


class Option(NamedTuple):
    """An option of a command; `flags` are as typed, long ones first."""

    flags: tuple[str, ...]
    help: str
    metavar: str | None = None


class Argument(NamedTuple):
    """A positional argument; `list[str]` takes all that are left."""

    metavar: str
    help: str


Names = Annotated[list[str], Argument("KIND [NAME...]", "A kind and names, or KIND/NAME.")]
Namespace = Annotated[str | None, Option(("--namespace", "-n"), "Environment to work in.", "NAMESPACE")]
AllNamespaces = Annotated[bool, Option(("--all-namespaces", "-A"), "Every environment.")]
Selector = Annotated[str | None, Option(("--selector", "-l"), "Label selector, such as a=b,c!=d.", "SELECTOR")]
FieldSelector = Annotated[
    str | None, Option(("--field-selector",), "Field selector, such as status.state=Failed.", "SELECTOR")
]
Files = Annotated[
    list[str], Option(("--filename", "-f"), "File, directory, or - for standard input; may be repeated.", "PATH")
]
Watch = Annotated[bool, Option(("--watch", "-w"), "Go on and show every change.")]
DryRun = Annotated[bool, Option(("--dry-run",), "Let the server check it, and change nothing.")]
Timeout = Annotated[str, Option(("--timeout",), "How long to wait, such as 30s, 2m.", "DURATION")]

Values = dict[str, Any]


class Parameter(NamedTuple):
    """One parameter of a command function."""

    name: str
    type: Any
    mark: Option | Argument
    required: bool
    default: Any

    @property
    def many(self) -> bool:
        return bool(self.type == list[str])

    @property
    def flag(self) -> bool:
        return self.type is bool

    @property
    def number(self) -> bool:
        return self.type is int or self.type == int | None


def parameters(command: Callable[..., Any]) -> Iterator[Parameter]:
    """Yield what a command takes; its first parameter, the session, has no mark and is left out."""
    code = command.__code__
    positional = code.co_varnames[: code.co_argcount]
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    defaults = dict(zip(reversed(positional), reversed(command.__defaults__ or ()), strict=False))
    defaults.update(command.__kwdefaults__ or {})
    for name in names:
        annotation = command.__annotations__[name]
        mark = getattr(annotation, "__metadata__", (None,))[0]
        if mark is not None:
            yield Parameter(name, annotation.__origin__, mark, name not in defaults, defaults.get(name))


def read_quickly(command: Callable[..., Any], words: Sequence[str]) -> Values | None:
    """Return the values of the command's parameters, or None when typer should read the words."""
    declared = list(parameters(command))
    options = {flag: each for each in declared if isinstance(each.mark, Option) for flag in each.mark.flags}
    positional = [each for each in declared if isinstance(each.mark, Argument)]
    values: Values = {each.name: _initial(each) for each in declared if not each.required or each.many}
    plain: list[str] = []
    pending = iter(words)
    for word in pending:
        if not word.startswith("-") or word == "-":
            plain.append(word)
            continue
        flag, equals, text = word.partition("=")
        option = options.get(flag)
        if option is None or (equals and (option.flag or not flag.startswith("--"))):
            return None
        if not _store(values, option, text if equals else None, pending):
            return None
    return values if _place(values, positional, plain) and _complete(values, declared) else None


def spread(command: Callable[..., Any], words: Sequence[str]) -> list[str]:
    """Write ``-o=json`` as ``-o json``: kubectl's users type it, and typer would read ``=json``."""
    short = {
        flag
        for each in parameters(command)
        if isinstance(each.mark, Option) and not each.flag
        for flag in each.mark.flags
        if not flag.startswith("--")
    }
    written: list[str] = []
    for word in words:
        flag, equals, text = word.partition("=")
        written += [flag, text] if equals and flag in short else [word]
    return written


def _initial(parameter: Parameter) -> Any:
    return list(parameter.default or []) if parameter.many else parameter.default


def _store(values: Values, option: Parameter, text: str | None, pending: Iterator[str]) -> bool:
    if option.flag:
        values[option.name] = True
        return True
    if text is None:
        text = next(pending, None)
    if text is None or (option.number and not (text.isascii() and text.isdigit())):
        return False
    if option.many:
        values[option.name].append(text)
    else:
        values[option.name] = int(text) if option.number else text
    return True


def _place(values: Values, positional: Sequence[Parameter], plain: list[str]) -> bool:
    for parameter in positional:
        if parameter.many:
            values[parameter.name] = plain
            plain = []
        elif plain:
            values[parameter.name], *plain = plain
    return not plain


def _complete(values: Values, declared: Sequence[Parameter]) -> bool:
    """Required ones must be there; an empty required list is a mistake that typer explains."""
    return all(values.get(each.name) not in (None, []) for each in declared if each.required)
