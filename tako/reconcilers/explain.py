"""A failure told to a person: what happened, and the last lines the process printed."""

from tako.host_agent.views import FailureView

LINES_IN_A_MESSAGE = 8


def headline(message: str) -> str:
    """Return a condition's message for an event: without output and times, so that the same thing again is counted."""
    return message.partition(" Its last output:")[0].partition(" It backs off:")[0]


def explain(failure: FailureView, *more: str) -> str:
    """Return one paragraph, with `more` sentences of the caller's; the last lines of output follow it, indented."""
    sentences = " ".join(text.strip() for text in (failure.reason, *more) if text)
    if not failure.last_output:
        return f"{sentences} It printed nothing."
    lines = "\n".join(f"  {line}" for line in failure.last_output[-LINES_IN_A_MESSAGE:])
    return f"{sentences} Its last output:\n{lines}"
