"""Waiting until what was applied is ready, saying on the way what stands against it."""

from tako.cli.client import Document
from tako.cli.conditions import condition, until
from tako.cli.failure import CommandFailed
from tako.cli.manifests import Manifest
from tako.cli.session import Session

# The condition by which each kind of ours says that it is as wanted; other kinds are ready when they are stored.
READY_CONDITIONS = {"apps": "Ready", "routes": "Accepted", "certificates": "Ready", "hosts": "Ready"}


def wait_until_ready(session: Session, manifest: Manifest, generation: int, deadline: float) -> None:
    """Return when the condition is true of the generation that was applied; at the deadline say why it is not."""
    kind = READY_CONDITIONS.get(manifest.resource.plural)
    if kind is None or manifest.resource.group != "tako.sh":
        return
    waiting = _Waiting(session, manifest.shown, kind, generation)
    try:
        until(session, manifest.resource, manifest.namespace, manifest.name, waiting.ready, deadline)
    except TimeoutError as late:
        namespace = f" -n {manifest.namespace}" if manifest.namespace else ""
        raise CommandFailed(
            f"{manifest.source.where}: is not {kind} in time: {waiting.said or 'nothing was reported about it'}",
            hint=f"`tako describe {manifest.resource.singular}/{manifest.name}{namespace}` tells what to do.",
        ) from late
    session.progress(f"{manifest.shown} is {kind.lower()}")


class _Waiting:
    """Judges each state of the document and tells the reason whenever it changes."""

    def __init__(self, session: Session, shown: str, kind: str, generation: int) -> None:
        self._session = session
        self._shown = shown
        self._kind = kind
        self._generation = generation
        self.said = ""
        self._subject = ""

    def ready(self, document: Document | None) -> bool:
        if document is None:
            self._say("it is not there")
            return False
        seen = condition(document, self._kind)
        if seen is None or document["status"].get("observedGeneration", 0) < self._generation:
            return False
        if seen["status"] == "True":
            return True
        self._say(f"{seen.get('reason', '')}: {seen.get('message', '')}".strip(": "))
        return False

    def _say(self, text: str) -> None:
        """Tell it unless only what follows its first line, such as the time of the next try, is new."""
        self.said, subject = text, text.partition("\n")[0]
        if subject != self._subject:
            self._subject = subject
            self._session.progress(f"{self._shown}: {text}")
