"""The only module that knows kopf: an unmodified operator in a thread and a loop of its own.

Its handlers carry each change to the server's loop, where the reconcilers run; ours errors become kopf's here.
kopf must not share our loop: when it stops it cancels every task that is younger than itself. And a watch
that ends in a way it does not expect is never opened again, which a watchdog over its open watches mends.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import kopf

from tako.model.errors import Refused, RetryLater
from tako.model.kinds import APP, CERTIFICATE, GROUP, HOST, INSTANCE, RELEASE, ROUTE, VERSION, Kind
from tako.reconcilers.instance import FINALIZER

log = logging.getLogger(__name__)

Handler = Callable[[str, str], Coroutine[Any, Any, None]]

OPERATED: tuple[Kind, ...] = (APP, RELEASE, INSTANCE, ROUTE, CERTIFICATE, HOST)
WATCHDOG_SECONDS = 5.0
# The API server ends a watch now and then; kopf opens the next one within a second.
GRACE_CHECKS = 2
# kopf itself waits five seconds for what it began, also for a request to a server that has gone.
GRACE_SECONDS = 1.0


class _RememberedEssence(kopf.DiffBaseStorage):
    """Keeps what was last handled in memory, so that reconciling writes nothing into the object.

    Losing it at a restart only means that every object is looked at once, which is what is wanted then.
    """

    def __init__(self) -> None:
        super().__init__()
        self._essences: dict[str, Any] = {}

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return self._essences.get(body["metadata"]["uid"])

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        self._essences[body["metadata"]["uid"]] = essence

    def forget(self, uid: str) -> None:
        """An object that is gone needs no memory."""
        self._essences.pop(uid, None)


class _RememberedProgress(kopf.ProgressStorage):
    """Keeps how far a handler is in memory, for the same reason: nobody's object is written to for our bookkeeping.

    The one annotation is kopf's way to come back to an object after a delay; it goes when the handler is done.
    """

    RETRY = "operator.tako.sh/retried-at"

    def __init__(self) -> None:
        super().__init__()
        self._records: dict[str, dict[str, Any]] = {}

    def fetch(self, *, key: Any, body: kopf.Body) -> Any:
        return self._records.get(body["metadata"]["uid"], {}).get(key)

    def store(self, *, key: Any, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        self._records.setdefault(body["metadata"]["uid"], {})[key] = record

    def purge(self, *, key: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        self._records.get(body["metadata"]["uid"], {}).pop(key, None)
        self.touch(body=body, patch=patch, value=None)

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        if body.metadata.annotations.get(self.RETRY) != value:
            patch.setdefault("metadata", {}).setdefault("annotations", {})[self.RETRY] = value

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        essence = super().clear(essence=essence)
        self.remove_annotations(essence, {self.RETRY})
        self.remove_empty_stanzas(essence)
        return essence

    def forget(self, uid: str) -> None:
        """An object that is gone needs no memory."""
        self._records.pop(uid, None)


class Operator:
    """A kopf operator that can be started again."""

    def __init__(
        self,
        socket: Path,
        reconcile: dict[str, Handler],
        remove: dict[str, Handler],
        watches: Callable[[str], int],
    ) -> None:
        self._socket = socket
        self._reconcile = reconcile
        self._remove = remove
        self._watches = watches
        self._loop = asyncio.get_running_loop()
        self._essences = _RememberedEssence()
        self._progress = _RememberedProgress()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._missing: dict[str, int] = {}
        self._cancel: Callable[[], object] | None = None

    def start(self) -> None:
        """Run the operator in a new thread."""
        self._stop = threading.Event()
        self._missing = {}
        self._thread = threading.Thread(target=self._run, args=(self._stop,), name="kopf", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Stop it and wait for its thread; a handler that takes long is interrupted, as any may be at any time."""
        self._stop.set()
        if self._thread is None:
            return
        await asyncio.to_thread(self._thread.join, GRACE_SECONDS)
        if self._cancel is not None and self._thread.is_alive():
            self._cancel()
        await asyncio.to_thread(self._thread.join, 10.0)

    async def watch_over(self) -> None:
        """Start the operator again whenever its thread or one of its watches is gone; runs for ever."""
        while True:
            await asyncio.sleep(WATCHDOG_SECONDS)
            fault = self._fault()
            if fault is not None:
                log.error("the operator is started again: %s", fault)
                await self.stop()
                self.start()

    def _fault(self) -> str | None:
        if self._thread is None or not self._thread.is_alive():
            return "its thread ended"
        for kind in OPERATED:
            absent = self._watches(kind.group_resource) == 0
            self._missing[kind.plural] = self._missing.get(kind.plural, 0) + 1 if absent else 0
            if self._missing[kind.plural] > GRACE_CHECKS:
                return f"it does not watch {kind.plural}"
        return None

    def _run(self, stop: threading.Event) -> None:
        logging.getLogger("kopf").setLevel(logging.WARNING)
        # It warns at every start that signals are ours, which is what a thread of its own is for.
        logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
        try:
            asyncio.run(self._operate(stop))
        except asyncio.CancelledError:
            pass

    async def _operate(self, stop: threading.Event) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            await kopf.operator(
                registry=self._registry(),
                settings=self._settings(),
                clusterwide=True,
                standalone=True,
                stop_flag=stop,
            )
        finally:
            self._cancel = None

    def _settings(self) -> kopf.OperatorSettings:
        settings = kopf.OperatorSettings()
        settings.scanning.disabled = True  # the kinds are fixed
        settings.persistence.finalizer = FINALIZER
        settings.persistence.diffbase_storage = self._essences
        settings.persistence.progress_storage = self._progress
        # Our reconcilers never write what is there already, so there is no event to wait for.
        settings.persistence.consistency_timeout = 0
        settings.posting.enabled = False
        settings.process.ultimate_exiting_timeout = None
        settings.execution.max_workers = 4
        return settings

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        socket = str(self._socket)

        async def login(**_: Any) -> kopf.AiohttpSession:
            session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=socket))
            return kopf.AiohttpSession(server="http://tako", aiohttp_session=session)

        kopf.on.login(registry=registry)(login)
        for kind in OPERATED:
            self._register(registry, kind)
        return registry

    def _register(self, registry: kopf.OperatorRegistry, kind: Kind) -> None:
        where = (GROUP, VERSION, kind.plural)
        memories = (self._essences, self._progress)
        if (reconcile := self._reconcile.get(kind.plural)) is not None:
            handler = self._handler(reconcile)
            for decorate in (kopf.on.create, kopf.on.update, kopf.on.resume):
                decorate(*where, id="reconcile", registry=registry)(handler)
        if (remove := self._remove.get(kind.plural)) is not None:
            kopf.on.delete(*where, id="remove", registry=registry)(self._handler(remove))

        async def forget(type: str | None, uid: str | None, **_: Any) -> None:
            if type == "DELETED" and uid:
                for memory in memories:
                    memory.forget(uid)

        kopf.on.event(*where, id="forget", registry=registry)(forget)

    def _handler(self, work: Handler) -> Callable[..., Coroutine[Any, Any, None]]:
        async def handle(namespace: str | None, name: str | None, **_: Any) -> None:
            try:
                await asyncio.wrap_future(
                    asyncio.run_coroutine_threadsafe(work(namespace or "", name or ""), self._loop)
                )
            except RetryLater as error:
                raise kopf.TemporaryError(str(error), delay=error.delay_seconds) from error
            except Refused as error:
                raise kopf.PermanentError(str(error)) from error

        return handle
