"""A failure told to a person: what happened, and the last lines the process printed."""

from tako.host_agent.views import FailureView

LINES_IN_A_MESSAGE = 5


def explain(failure: FailureView) -> str:
    """Return one paragraph; the lines follow it, indented."""
    if not failure.last_output:
        return f"{failure.reason} It printed nothing."
    lines = "\n".join(f"  {line}" for line in failure.last_output[-LINES_IN_A_MESSAGE:])
    return f"{failure.reason} Its last output:\n{lines}"
