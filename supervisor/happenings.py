"""What happens to a workflow that a user may want to be told of, also away from the terminal."""

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
    STOPPING = "stopping"  # the workflow is being stopped
    FAILED = "failed"  # the supervisor itself has failed, by a fault of its own


@dataclass(frozen=True)
class Happening:
    """Something that has happened.

    Attributes:
        occasion: its kind.
        subject: the daemon that it has happened to, or the supervisor.
        text: what has happened, for people; may have several lines.
        error: the exception that caused it, if one did.
    """

    occasion: Occasion
    subject: str
    text: str
    error: BaseException | None = None


class Notifier(Protocol):
    """Sends out what happens to a workflow. One file each, and a line in ``announcements.py``.

    Attributes:
        occasions: the occasions that it wants to be told of.
    """

    @property
    def occasions(self) -> Collection[Occasion]: ...

    def notify(self, happening: Happening) -> None:
        """Send it out. Called in the supervisor's event loop: it must not wait for anything.

        What it raises is logged; the other notifiers are called all the same.
        """
