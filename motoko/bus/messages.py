"""What travels on the bus: frozen typed messages, JSON on the wire, never pickle.

A message is two frames, topic and JSON object; the object's ``type`` names the message. A receiver
ignores fields it does not know, so fields may be added; a change of meaning is a new type.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from motoko.errors import MotokoError

# A transaction id in hexadecimal, or nothing where none is known.
Tid: TypeAlias = Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{16})?$")]


class Transition(msgspec.Struct, frozen=True, tag="run", tag_field="type"):
    """One committed change of one run's state.

    ``old`` is ``None`` for a new run, ``new`` is ``None`` for a deleted one. ``tid`` is the
    transaction id, 16 hexadecimal digits. ``seq`` counts a study's transitions within an
    ``epoch`` (one life of its watcher), from 1.
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


class Beat(msgspec.Struct, frozen=True, tag="beat", tag_field="type"):
    """The watcher lives: the study's newest tid, the last ``seq`` published, its queue length.

    ``connected`` is whether the study's ZEO server answers.
    """

    study: str
    tid: Tid
    epoch: str
    seq: int
    queue: int = 0
    connected: bool = True


class Resync(msgspec.Struct, frozen=True, tag="resync", tag_field="type"):
    """Transitions before ``tid`` may be missing from the bus: read again what you wait for."""

    study: str
    tid: Tid
    epoch: str
    reason: str


class DaemonStatus(msgspec.Struct, frozen=True, tag="daemon", tag_field="type"):
    """A daemon says that it is ready, and what it is doing. Repeated as its heartbeat."""

    name: str
    pid: int
    state: str = "ready"
    detail: str = ""
    counts: dict[str, int] = {}


class SlotsFreed(msgspec.Struct, frozen=True, tag="slots", tag_field="type"):
    """A launcher gave slots back: others that wait for some may try again."""

    launcher: str
    free: int = 0


Message: TypeAlias = Transition | Beat | Resync | DaemonStatus | SlotsFreed

MAX_BRACKETS = 100
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Message)


class BadMessage(MotokoError):
    """Frames that are no message of ours: garbage, or a newer version's."""


def topic(message: Message) -> bytes:
    """The topic a message is published under. Names are escaped, so that a prefix is exact."""
    match message:
        case Transition(study=study, run_name=run_name):
            return run_topic(study, run_name or "")
        case Beat(study=study) | Resync(study=study):
            return f"beat.{study}.".encode()
        case DaemonStatus(name=name):
            return f"daemon.{name}.".encode()
        case SlotsFreed():
            return b"slots."


def run_topic(study: str, run_name: str | None = None) -> bytes:
    """The topic of a study's transitions; with ``run_name``, of those runs alone."""
    if run_name is None:
        return f"run.{study}.".encode()
    # A run_name may hold any character: dots would end the level early.
    return f"run.{study}.{run_name.replace('%', '%25').replace('.', '%2e')}.".encode()


def encode(message: Message) -> tuple[bytes, bytes]:
    """The two frames of a message."""
    return topic(message), _encoder.encode(message)


def decode(frames: list[bytes]) -> Message:
    """The message in two frames; raises ``BadMessage`` for anything else."""
    if len(frames) != 2:
        raise BadMessage(f"{len(frames)} frames instead of 2")
    # Our messages are flat. Deep nesting is refused unread: where it exhausts the recursion limit
    # inside the decoder, CPython 3.11 does not count its way back.
    if frames[1].count(b"[") + frames[1].count(b"{") > MAX_BRACKETS:
        raise BadMessage(f"nested too deeply: {frames[1][:200]!r}")
    try:
        message: Message = _decoder.decode(frames[1])
        return message
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadMessage(f"{error} in {frames[1][:200]!r}") from error
