"""The messages of the bus: frozen and typed, JSON on the wire, never pickle.

A message is two frames, topic and JSON object; the object's ``type`` names the message and its
version. A receiver ignores fields it does not know, so fields may be added; a change of meaning is
a new version, which older receivers ignore as a whole.
"""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias, get_args

import msgspec

from motoko.errors import MotokoError

# A transaction id in hexadecimal, or empty if none is known.
Tid: TypeAlias = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{16})?$")]


class Transition(msgspec.Struct, frozen=True, tag="run/1", tag_field="type"):
    """One committed change of one run's state.

    ``old`` is ``None`` for a new run, ``new`` is ``None`` for a deleted one. ``tid`` is the
    transaction id, 16 hexadecimal digits. ``seq`` counts a study's transitions within an
    ``epoch`` (one life of its watcher), from 1. ``oids`` are the objects that a small transaction
    wrote when it made the run: a hint at what a reader will want to load.
    """

    study: str
    run_id: int
    old: str | None
    new: str | None
    tid: Tid
    epoch: str
    seq: int
    run_name: str | None = None
    job_id: int | None = None
    event_name: str | None = None
    oids: list[str] = []

    @property
    def place(self) -> tuple[str, int]:
        """Its place in the study's history: one transaction changes a run's state at most once."""
        return self.tid, self.run_id


class Beat(msgspec.Struct, frozen=True, tag="beat/1", tag_field="type"):
    """The watcher is alive: the study's newest tid, the last ``seq`` published, its queue length.

    ``connected`` is whether the study's ZEO server answers.
    """

    study: str
    tid: Tid
    epoch: str
    seq: int
    queue: int = 0
    connected: bool = True


class Resync(msgspec.Struct, frozen=True, tag="resync/1", tag_field="type"):
    """Transitions before ``tid`` may be missing from the bus: waiters must read again."""

    study: str
    tid: Tid
    epoch: str
    reason: str


class DaemonStatus(msgspec.Struct, frozen=True, tag="daemon/1", tag_field="type"):
    """A daemon says that it is ready, and what it is doing. It repeats this as its heartbeat.

    ``trouble``: what keeps it from making progress now; it tries again by itself.
    The supervisor says once that it is ``stopping``; ``detail`` says who stops it.
    """

    name: str
    pid: int
    state: str = "ready"
    detail: str = ""
    counts: dict[str, int] = {}
    trouble: str = ""


class Lacking(msgspec.Struct, frozen=True, tag="lacking/1", tag_field="type"):
    """The supervisor says which daemons do not work although orchestrators need them.

    It says so at each change, and repeats it as long as there are any. ``absent`` are those that
    do not run and will not start by themselves: the reason, by name. ``given_up`` are those of
    them that nobody has stopped. ``hindered`` are those that make no progress now, but try again.
    """

    absent: dict[str, str] = {}
    hindered: dict[str, str] = {}
    given_up: list[str] = []


class SlotsFreed(msgspec.Struct, frozen=True, tag="slots/1", tag_field="type"):
    """A launcher gave slots back: other launchers that wait for slots may try again."""

    launcher: str
    free: int = 0


class ReplayRequest(msgspec.Struct, frozen=True, tag="ask/1", tag_field="type"):
    """A subscriber asks a study's watcher for the transitions after the tid ``after``.

    ``to`` is the subscriber's own token; ``request`` counts its requests.
    """

    study: str
    to: str
    request: int
    after: Tid


class Replay(msgspec.Struct, frozen=True, tag="replay/1", tag_field="type"):
    """A part of the answer to a :class:`ReplayRequest`: transitions in order.

    ``part`` counts the parts of one ``answer`` from 0; the watcher may answer a repeated request
    more than once. The last part is ``done``: then all transitions up to ``tid`` have been sent,
    which in ``epoch`` are those up to ``seq``. ``complete`` is whether no earlier transition is
    missing: the database's history may have been packed.
    """

    study: str
    to: str
    request: int
    answer: str
    part: int
    transitions: list[Transition]
    done: bool = False
    complete: bool = True
    tid: Tid = ""
    epoch: str = ""
    seq: int = 0


class OrchestratorStatus(msgspec.Struct, frozen=True, tag="orchestrator/1", tag_field="type"):
    """A process that awaits runs says which. It repeats this as its heartbeat.

    ``waiting`` describes some of its awaits, the oldest first; ``since`` is when the oldest began
    (seconds since 1970). ``counts`` tells how its awaits were woken. Its last message is ``gone``.
    ``runs`` are the single runs that it waits for, as STUDY.ID: the first thousand.
    """

    run_name: str
    pid: int
    host: str
    waiting: list[str] = []
    awaits: int = 0
    since: float | None = None
    counts: dict[str, int] = {}
    gone: bool = False
    runs: list[str] = []


class VarChanged(msgspec.Struct, frozen=True, tag="var/1", tag_field="type"):
    """A value of ``workflow.vars`` has been stored or removed: conditions may depend on it."""

    name: str
    pid: int
    host: str


Message: TypeAlias = (
    Transition
    | Beat
    | Resync
    | DaemonStatus
    | Lacking
    | SlotsFreed
    | ReplayRequest
    | Replay
    | OrchestratorStatus
    | VarChanged
)

ASK = "ask."
ORCHESTRATOR = "orchestrator."
VARS = "vars."
SUPERVISOR = "daemon.supervisor."

MAX_BRACKETS = 100
MAX_DEPTH = 10
_TYPES = {message.__struct_config__.tag for message in get_args(Message)}
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Message)


class _Typed(msgspec.Struct):
    type: str


class BadMessage(MotokoError):
    """Frames that are not a message of Motoko."""


class UnknownType(BadMessage):
    """A message whose type, or whose type's version, is not known here.

    Attributes:
        type: the unknown type.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(f"messages of type {kind[:100]!r} are not known here")
        self.type = kind


def topic(message: Message) -> bytes:
    """The topic of a message. Names in it are escaped, so that a prefix matches whole names."""
    match message:
        case Transition(study=study, run_name=run_name):
            return run_topic(study, run_name or "")
        case Beat(study=study) | Resync(study=study):
            return f"beat.{study}.".encode()
        case DaemonStatus(name=name):
            return f"daemon.{name}.".encode()
        case Lacking():
            return SUPERVISOR.encode()
        case SlotsFreed():
            return b"slots."
        case ReplayRequest(study=study):
            return f"{ASK}{study}.".encode()
        case Replay(to=to):
            return replay_topic(to)
        case OrchestratorStatus(run_name=run_name):
            return f"{ORCHESTRATOR}{_escaped(run_name)}.".encode()
        case VarChanged():
            return VARS.encode()


def run_topic(study: str, run_name: str | None = None) -> bytes:
    """The topic of a study's transitions; with ``run_name``, of those of its runs alone."""
    if run_name is None:
        return f"run.{study}.".encode()
    return f"run.{study}.{_escaped(run_name)}.".encode()


def replay_topic(to: str) -> bytes:
    """The topic of the answers to one subscriber's requests."""
    return f"replay.{to}.".encode()


def _escaped(name: str) -> str:
    # A run_name may hold any character: dots would end the level early.
    return name.replace("%", "%25").replace(".", "%2e")


def encode(message: Message) -> tuple[bytes, bytes]:
    """The two frames of a message."""
    return topic(message), _encoder.encode(message)


def decode(frames: list[bytes]) -> Message:
    """The message in two frames; raises ``BadMessage`` for anything else."""
    if len(frames) != 2:
        raise BadMessage(f"{len(frames)} frames instead of 2")
    if _is_too_deep(frames[1]):
        raise BadMessage(f"nested too deeply: {frames[1][:200]!r}")
    try:
        message: Message = _decoder.decode(frames[1])
        return message
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        try:
            kind = msgspec.json.decode(frames[1], type=_Typed).type
        except (msgspec.DecodeError, UnicodeDecodeError):
            kind = None
        if kind is not None and kind not in _TYPES:
            raise UnknownType(kind) from None
        raise BadMessage(f"{error} in {frames[1][:200]!r}") from error


def _is_too_deep(text: bytes) -> bool:
    # Deep nesting is refused before decoding: if it exhausts the recursion limit in the decoder,
    # CPython 3.11 does not restore its recursion count.
    if text.count(b"[") + text.count(b"{") <= MAX_BRACKETS:
        return False
    depth = 0
    for bracket in re.findall(rb"[\[\]{}]", _STRINGS.sub(b"", text)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False
