"""What the host agent has seen, as values for the reconcilers: it hands out these and nothing that moves."""

from dataclasses import dataclass

from tako.host_agent.rollout import TemplateHash
from tako.model.kinds import InstanceState
from tako.model.names import DeploymentId, InstanceId, ReleaseId


@dataclass(frozen=True, slots=True)
class InstanceView:
    """One process that exists."""

    id: InstanceId
    release: ReleaseId
    template: TemplateHash
    state: InstanceState
    argv: tuple[str, ...]
    pid: int
    start_ticks: int
    started_at: str  # RFC 3339
    port: int | None
    restarts: int
    in_flight: int
    detail: str = ""  # the last answer to a probe that was not good
    requests: int | None = None  # as told last, see `Life`; None: not known yet
    last_request: str | None = None  # when the last of them ended, RFC 3339


@dataclass(frozen=True, slots=True)
class FailureView:
    """The most recent end of an instance against our will."""

    id: InstanceId
    release: ReleaseId
    template: TemplateHash
    reason: str  # a sentence
    code: int | None
    signal: str | None
    at: str  # RFC 3339
    last_output: tuple[str, ...]
    was_ready: bool


@dataclass(frozen=True, slots=True)
class AppView:
    """The processes of one app and where its rollout stands."""

    app: DeploymentId
    instances: tuple[InstanceView, ...] = ()
    wanted_template: TemplateHash | None = None
    wanted_release: ReleaseId | None = None
    target: TemplateHash | None = None  # what is being run; differs from wanted after giving up
    settled: TemplateHash | None = None
    settled_release: ReleaseId | None = None
    given_up: bool = False
    failures: int = 0
    failing: bool = False  # since the last failure the app has not been as it is wanted
    retry_at: str | None = None  # when the next start is tried after failures, RFC 3339
    last_failure: FailureView | None = None
    differs_since: str | None = None  # since when wanted and seen differ, RFC 3339

    @property
    def healthy(self) -> tuple[InstanceView, ...]:
        return tuple(i for i in self.instances if i.state is InstanceState.HEALTHY)
