"""The commands by name, each in a module of its own that is imported only when it is asked for."""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple


class Entry(NamedTuple):
    """Where a command is: its module below `tako.cli.commands` has a function of the same name."""

    module: str
    summary: str


COMMANDS = {
    "apply": Entry("apply", "Make the documents of files the wanted state."),
    "diff": Entry("diff", "Show what apply would change; exit 0 same, 1 differs, 2 error."),
    "get": Entry("get", "List documents."),
    "describe": Entry("describe", "Tell all about a document, and what to do when it is not well."),
    "delete": Entry("delete", "Delete documents by file or by name."),
    "scale": Entry("scale", "Set how many instances of an app run."),
    "wait": Entry("wait", "Wait for a condition, a field, or a deletion."),
    "logs": Entry("logs", "Print what an app's instances print."),
    "events": Entry("events", "List what happened."),
    "explain": Entry("explain", "Document a kind and its fields."),
    "drift": Entry("drift", "Show declared against seen on this host."),
    "kubeconfig": Entry("kubeconfig", "Print a kubeconfig for kubectl."),
    "api-resources": Entry("api_resources", "List the kinds the server knows."),
    "version": Entry("version", "Print the versions of this tako and of the server."),
}


def load(name: str) -> Callable[..., int]:
    """Import a command's module and return its function, which takes a session and returns the exit code."""
    module = COMMANDS[name].module
    function: Callable[..., int] = getattr(import_module(f"tako.cli.commands.{module}"), module)
    return function
