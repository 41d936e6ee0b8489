"""What happens to a workflow that somebody may want to be told of, wherever he is."""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol


class Occasion(enum.StrEnum):
    """The kinds of what happens."""

    READY = "ready"  # all daemons work, for the first time
    GIVEN_UP = "given_up"  # a daemon is not started again by itself
    ENDED = "ended"  # a detached orchestrator has ended, and does not come back
    STOPPING = "stopping"  # somebody has stopped the workflow
    FAILED = "failed"  # the supervisor itself, by a fault of its own


@dataclass(frozen=True)
class Happening:
    """Something that has happened.

    Attributes:
        occasion: what kind of thing.
        subject: the daemon that it has happened to, or the supervisor.
        text: what has happened, for people; may have several lines.
        error: what has caused it, where that is an exception.
    """

    occasion: Occasion
    subject: str
    text: str
    error: BaseException | None = None


class Notifier(Protocol):
    """Sends out what happens to a workflow. One file each, and a line in ``announcements.py``.

    Attributes:
        occasions: what it wants to be told of.
    """

    @property
    def occasions(self) -> Collection[Occasion]: ...

    def notify(self, happening: Happening) -> None:
        """Send it out. Called in the supervisor's event loop: it must not wait for anything.

        What it raises is logged, and keeps nothing from the others.
        """
