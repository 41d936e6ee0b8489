"""Whom the workflow tells what has happened: ``notify:`` in motoko.yaml.

What gives access to a service is never in the file: an address is named by the variable, or the
private file, that holds it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Struct

from motoko.config.decoding import Hint, Written
from motoko.config.quantities import Seconds, Size

EventName = Literal["finished", "failed", "ended", "stalled", "given_up", "disk"]
FINISHED, FAILED, ENDED = "finished", "failed", "ended"
STALLED, GIVEN_UP, DISK = "stalled", "given_up", "disk"
EVENTS: Mapping[str, str] = {
    FINISHED: "no run waits or runs any more, and no orchestrator works",
    FAILED: "runs have failed",
    ENDED: "an orchestrator has ended",
    STALLED: "an orchestrator waits, and no run waits or runs",
    GIVEN_UP: "a daemon is not started again by itself",
    DISK: "the disk is almost full",
}
VARIABLE, FILE = "env:", "file:"
ADDRESS_HINT = (
    "addresses may hold passwords: write `env:NAME` for the variable, or `file:PATH` for the file "
    "with mode 0600, that holds it"
)


def _words(value: Any) -> tuple[str, ...]:
    words = shlex.split(value) if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)) or not words:
        raise ValueError
    if not all(isinstance(word, (str, int, float)) for word in words):
        raise ValueError
    return tuple(map(str, words))


def _names(value: Any) -> tuple[str, ...]:
    """The names of addresses. Nothing is refused here: an error would show what is written."""
    return tuple(map(str, value)) if isinstance(value, (list, tuple)) else (str(value),)


class Notices(Struct, frozen=True):
    """Whom to tell what.

    Attributes:
        command: a program and its arguments; the message is its standard input.
        urls: where Apprise sends messages: each is ``env:NAME`` or ``file:PATH``.
        events: the names of what is told.
        stalled_after: for how many seconds an orchestrator must have waited for nothing.
        disk_free: with fewer bytes than these, the disk is almost full.
    """

    command: Annotated[
        tuple[str, ...],
        Written("a list of words, or a text that is split into words", "", _words),
        Hint("write `command: [mail, -s, motoko, me@example.org]`: no shell reads it"),
    ] = ()
    urls: Annotated[tuple[str, ...], Written("a list", "", _names)] = ()
    events: tuple[EventName, ...] = get_args(EventName)
    stalled_after: Annotated[Seconds, Meta(ge=60.0)] = 1800.0
    disk_free: Size = 10**9

    @property
    def is_on(self) -> bool:
        """Whether anybody is told anything."""
        return bool(self.command or self.urls) and bool(self.events)


NOBODY = Notices()  # without ``notify:``
