"""The requests to a workflow's supervisor, and its answers. Used by both ends.

A request is one line of JSON on the control socket, an object whose ``command`` says what it is;
the answer is one line, too. Each request names its answer: ``StopRequest(Request[Stopping])``. A
request that cannot be granted is answered by a :class:`Refusal`. Fields may be added, with a
default: both ends ignore fields that they do not know.
"""

from __future__ import annotations

import time
from typing import Annotated, Any, Generic, TypeVar, get_args

import msgspec

from motoko.config.daemon_kinds import subject_of
from motoko.control.daemon_records import SUPERVISOR
from motoko.errors import MotokoError
from motoko.host.directories import DirectoryIdentity

AnswerT = TypeVar("AnswerT")
Slots = Annotated[int, msgspec.Meta(ge=1)]


class RequestRefused(MotokoError):
    """The supervisor refuses a request; the message says why."""


class OtherWorkflow(MotokoError):
    """Another workflow's supervisor has answered."""


# Answers


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why nothing was done.

    Attributes:
        is_other: whether the request was for another workflow's supervisor.
    """

    error: str
    is_other: bool = False


class SupervisorInfo(msgspec.Struct, frozen=True):
    """What a supervisor says of itself.

    Attributes:
        state: ``starting``, ``ready``, ``degraded`` or ``stopping``.
        uptime_s: how long it has been running, in seconds.
    """

    pid: int | None
    host: str | None
    state: str
    uptime_s: float | None


class DaemonInfo(msgspec.Struct, frozen=True):
    """What a supervisor says of a daemon.

    Attributes:
        kind: one of :mod:`motoko.config.daemon_kinds`.
        state: ``starting``, ``ready``, ``backoff``, ``failed``, ``stopping``, ``stopped`` or
            ``ended``.
        uptime_s: how long it has been running, in seconds.
        restarts: how often it has died.
        last_exit: why it ended last time.
        log: the path of its log.
        detail: what it is doing, in a few words.
        counts: the same in numbers, while it is ready.
        trouble: what keeps it from working now; it tries again by itself.
    """

    name: str
    kind: str
    pid: int | None
    state: str
    uptime_s: float | None
    restarts: int | None
    last_exit: str | None
    log: str
    detail: str = ""
    counts: dict[str, int] = {}
    trouble: str = ""

    @property
    def subject(self) -> str:
        """The part of its name after the colon: a study or a run_name."""
        return subject_of(self.name)


class OrchestratorInfo(msgspec.Struct, frozen=True):
    """What a process that awaits runs has said of itself: see ``OrchestratorStatus``."""

    run_name: str
    pid: int
    host: str
    waiting: list[str] = []
    awaits: int = 0
    since: float | None = None
    counts: dict[str, int] = {}
    runs: list[str] = []


class Status(msgspec.Struct, frozen=True):
    """What a supervisor says of itself and of its daemons.

    Attributes:
        at: when that was so (seconds since 1970); ``None``: of an earlier version.
    """

    workflow: str
    supervisor: SupervisorInfo
    daemons: list[DaemonInfo]
    orchestrators: list[OrchestratorInfo] = []
    at: float | None = None

    @property
    def started(self) -> dict[str, float]:
        """When the supervisor and each living daemon was started (seconds since 1970), by name."""
        uptimes = {SUPERVISOR: self.supervisor.uptime_s}
        uptimes |= {daemon.name: daemon.uptime_s for daemon in self.daemons}
        now = time.time() if self.at is None else self.at
        return {name: now - uptime for name, uptime in uptimes.items() if uptime is not None}

    def daemon(self, name: str) -> DaemonInfo | None:
        """The daemon of that name, if there is one."""
        return next((daemon for daemon in self.daemons if daemon.name == name), None)

    def of_kind(self, kind: str, study: str | None = None) -> list[DaemonInfo]:
        """The daemons of a kind: all of them, or a study's."""
        return [
            daemon
            for daemon in self.daemons
            if daemon.kind == kind and study in (None, daemon.subject)
        ]


class Stopping(msgspec.Struct, frozen=True):
    """The workflow is being stopped."""

    stopping: bool = True


class LaunchersAdded(msgspec.Struct, frozen=True):
    """The launchers, and what they need, that are started, or restarted with other options."""

    added: list[str]
    restarted: list[str] = []


class DaemonsRetried(msgspec.Struct, frozen=True):
    """The daemons that are started again."""

    retried: list[str]


class DaemonsStarted(msgspec.Struct, frozen=True):
    """The daemons that are started."""

    started: list[str]


class DaemonsStopping(msgspec.Struct, frozen=True):
    """The daemons that are being stopped, or were already."""

    stopping: list[str]


class DaemonsRestarting(msgspec.Struct, frozen=True):
    """The daemons that are being replaced, with their present pids."""

    restarting: dict[str, int | None]


class Holder(msgspec.Struct, frozen=True):
    """The process that is already the orchestrator of a run_name."""

    host: str
    pid: int | None = None


class OrchestratorStarted(msgspec.Struct, frozen=True, omit_defaults=True):
    """The daemons that are started; or, if nothing is started, who holds the run_name."""

    started: list[str] | None = None
    held_by: Holder | None = None


class LaunchersPaused(msgspec.Struct, frozen=True):
    """The studies whose launchers are paused, by whichever holder."""

    paused: list[str]


# Requests


class Request(msgspec.Struct, Generic[AnswerT], frozen=True, tag_field="command"):
    """A request to the supervisor; its type parameter is the type of the answer."""


class StatusRequest(Request[Status], frozen=True, tag="status"):
    """Ask for the status."""


class WatchRequest(Request[Status], frozen=True, tag="watch"):
    """Ask for the status now and at each change, one line each, until the client disconnects.

    Changes that come close together are told together. A supervisor that works sends a line at
    least every ``WATCH_SILENCE_S``.
    """


class StopRequest(Request[Stopping], frozen=True, tag="stop"):
    """Stop all daemons, then the supervisor.

    Attributes:
        by: who asks for it; orchestrators that wait are told so.
    """

    by: str = ""


class AddLaunchersRequest(Request[LaunchersAdded], frozen=True, tag="add_launchers"):
    """Start the launchers of some studies, or of all, with what they need.

    Attributes:
        slots: how many slots they share; ``None``: as motoko.yaml says.
        studies: the studies whose launchers are meant; ``None`` for all.
        generator: the generator, in place of motoko.yaml's.
        remote: whether their runs may be on other hosts, which need the gate.
    """

    slots: Slots | None = None
    studies: list[str] | None = None
    generator: str | None = None
    remote: bool = False


class RetryFailedRequest(Request[DaemonsRetried], frozen=True, tag="retry_failed"):
    """Start daemons again that were given up or stopped; stopped launchers are dropped."""


class StartDaemonsRequest(Request[DaemonsStarted], frozen=True, tag="start_daemons"):
    """Start daemons, and what they need."""

    names: list[str]


class StopDaemonsRequest(Request[DaemonsStopping], frozen=True, tag="stop_daemons"):
    """Stop daemons until they are asked for again.

    Attributes:
        end_runs: whether launchers end their local runs, or leave them to their successors.
    """

    names: list[str]
    end_runs: bool = True


class RestartDaemonsRequest(Request[DaemonsRestarting], frozen=True, tag="restart_daemons"):
    """Replace daemons by new ones, and start those that are not running."""

    names: list[str]


class StartOrchestratorRequest(Request[OrchestratorStarted], frozen=True, tag="start_orchestrator"):
    """Start a detached orchestrator.

    Attributes:
        file: see :func:`motoko.control.detached_requests.propose`.
    """

    file: str


class ProcessInfo(msgspec.Struct, frozen=True):
    """A process, as :class:`motoko.host.identity.Identity` knows it."""

    pid: int
    start_ticks: int
    boot_id: str
    host: str
    namespace: str = ""


class PauseLaunchersRequest(Request[LaunchersPaused], frozen=True, tag="pause_launchers"):
    """Pause launchers, as long as ``holder`` lives and has not resumed them.

    Asking again changes nothing. Several holders may pause the same launchers: these are resumed
    when the last holder is done.

    Attributes:
        holder: the process that asks for the pause.
        studies: the studies whose launchers are paused; ``None`` for all.
    """

    holder: ProcessInfo
    studies: list[str] | None = None


class ResumeLaunchersRequest(Request[LaunchersPaused], frozen=True, tag="resume_launchers"):
    """End the pauses of ``holder``; those of other holders remain."""

    holder: ProcessInfo


AnyRequest = (
    StatusRequest
    | WatchRequest
    | StopRequest
    | AddLaunchersRequest
    | RetryFailedRequest
    | StartDaemonsRequest
    | StopDaemonsRequest
    | RestartDaemonsRequest
    | StartOrchestratorRequest
    | PauseLaunchersRequest
    | ResumeLaunchersRequest
)

# A supervisor that is watched sends a line at least this often (seconds), news or not.
WATCH_SILENCE_S = 1.0

COMMANDS = tuple(str(request.__struct_config__.tag) for request in get_args(AnyRequest))
_request_decoder = msgspec.json.Decoder(AnyRequest)


class _Command(msgspec.Struct):
    command: str


class _Addressed(msgspec.Struct):
    workflow: DirectoryIdentity | None = None


class _Error(msgspec.Struct):
    error: str | None = None
    is_other: bool = False


def encoded(message: msgspec.Struct | dict[str, Any]) -> bytes:
    """A request or an answer as its line."""
    return msgspec.json.encode(message) + b"\n"


def addressed(request: Request[Any], workflow: DirectoryIdentity) -> bytes:
    """A request as its line, for the supervisor of the workflow in a directory and no other."""
    return encoded({**msgspec.to_builtins(request), "workflow": workflow.to_dict()})


def addressee(line: bytes) -> DirectoryIdentity | None:
    """The workflow whose supervisor a request is for; ``None`` if it does not say."""
    try:
        return msgspec.json.decode(line, type=_Addressed).workflow
    except (ValueError, RecursionError):  # `decoded_request` says what is wrong with the line
        return None


def decoded_request(line: bytes) -> AnyRequest:
    """The request in a line; raises ``RequestRefused``, which says what is wrong with it."""
    try:
        command = msgspec.json.decode(line, type=_Command).command
    except msgspec.ValidationError as error:
        raise RequestRefused('the request has to be an object with a "command"') from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestRefused(f"the request is no JSON: {error}") from error
    except RecursionError as error:
        raise RequestRefused("the request is nested too deeply") from error
    if command not in COMMANDS:
        raise RequestRefused(f"unknown command: {command}")
    try:
        return _request_decoder.decode(line)
    except msgspec.ValidationError as error:
        raise RequestRefused(f"{command}: {error}") from error


def decoded_answer(line: bytes, request: Request[AnswerT]) -> AnswerT:
    """The answer to a request.

    Raises:
        RequestRefused: nothing was done; the message says why.
        OtherWorkflow: the request has reached another workflow's supervisor.
        ValueError: the line is no answer to the request.
    """
    refusal = msgspec.json.decode(line, type=_Error)
    if refusal.is_other:
        raise OtherWorkflow(refusal.error or "")
    if refusal.error is not None:
        raise RequestRefused(refusal.error)
    (base,) = type(request).__orig_bases__  # type: ignore[attr-defined]  # Request[its answer]
    answer: AnswerT = msgspec.json.decode(line, type=get_args(base)[0])
    return answer
