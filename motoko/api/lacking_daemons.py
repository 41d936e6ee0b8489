"""Warnings for processes that wait for runs when a daemon that these runs need is missing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from motoko.bus.messages import Lacking
from motoko.bus.waiters import Waiter
from motoko.config.daemon_kinds import LAUNCHER, daemon_of

log = logging.getLogger(__name__)

AGAIN_S = 60.0
# How long to wait for a launcher that was given up: a user may be mending it.
GIVEN_UP_S = 300.0


class LackingDaemons:
    """Warns while something is awaited and daemons are lacking: at once, and again every minute."""

    def __init__(self) -> None:
        # The daemons that were warned of, and when.
        self._absent: dict[str, float] = {}
        self._hindered: set[str] = set()
        self._told_of_hindered: dict[str, float] = {}  # a daemon may be hindered repeatedly
        self._given_up: dict[str, tuple[float, str]] = {}  # since when, and why

    def note_absent(self, names: Iterable[str]) -> None:
        """Record that the user has already been told that some daemons are not running."""
        self._absent.update(dict.fromkeys(names, time.monotonic()))

    def heard(self, message: Lacking, awaits: Iterable[Waiter]) -> None:
        """Handle the supervisor's message, which it repeats; ``awaits`` are the waiters."""
        now, awaits = time.monotonic(), [*awaits]
        self._given_up = {
            name: (self._given_up.get(name, (now, ""))[0], message.absent.get(name, name))
            for name in message.given_up
        }
        self._tell_the_end(message)
        lines = []
        for announced_at, news in (
            (self._told_of_hindered, message.hindered),
            (self._absent, message.absent),
        ):
            for name, line in news.items():
                concerned = [w for w in awaits if _concerns(w.concerns, name)]
                if concerned and now >= announced_at.get(name, -AGAIN_S) + AGAIN_S:
                    lines.append((concerned[0].what, line))
                    announced_at[name] = now
        self._hindered |= {n for n, at in self._told_of_hindered.items() if at == now}
        if lines:
            text = "; ".join(line for _, line in lines)
            log.warning("still waiting for %s, but %s", lines[0][0], text)
        for waiter in awaits:
            if any(self.is_never_started(study) for study, _ in waiter.runs):
                waiter.event.set()

    def _tell_the_end(self, message: Lacking) -> None:
        over = self._hindered - message.hindered.keys()
        self._hindered -= over
        if at_work := over - message.absent.keys():
            log.warning("%s: at work again", ", ".join(sorted(at_work)))
        back = self._absent.keys() - message.absent.keys()
        for name in back:
            del self._absent[name]
        if back and not self._absent:
            log.warning("all daemons are there again")

    def is_never_started(self, study: str) -> str:
        """Why a study's waiting runs will not be started; empty as long as they may be."""
        since, why = self._given_up.get(daemon_of(LAUNCHER, study), (0.0, ""))
        return why if why and time.monotonic() >= since + GIVEN_UP_S else ""


def _concerns(waits_for: Callable[[str], bool], name: str) -> bool:
    """Whether a waiter needs a daemon: one of a study that it waits for, or of the workflow."""
    study = name.partition(":")[2]
    return not study or waits_for(study)
