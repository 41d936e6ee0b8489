"""Which of a supervisor's answers are news to a view, and what its processes have used."""

from __future__ import annotations

import time

from motoko.config.daemon_kinds import BUS
from motoko.control.protocol import Status
from motoko.reports.status import ResourceUse, resource_use

DETAILS_S = 1.0  # between two times that a view is told what daemons say of their work
FIGURES_S = 5.0  # between two looks at what processes have used


class StatusNews:
    """Picks the answers that a view has to know. A supervisor at full speed sends many a second.

    A new state, process or await is news at once. What daemons say of their work, how many runs a
    launcher has started say, is news once in ``DETAILS_S``. That time has passed is none.
    """

    def __init__(self) -> None:
        self._told: object = None
        self._details: object = None
        self._due = self._figures_due = 0.0

    def are_in(self, answer: Status, now: float, *, figures: bool) -> bool:
        """Whether a view has to be told of an answer; then it counts as told.

        ``figures``: whether what the processes use is in sight. ``now`` is a monotonic time.
        """
        news, details = _news(answer), _details(answer)
        is_due = now >= self._due and details != self._details
        if news == self._told and not is_due and not (figures and now >= self._figures_due):
            return False
        self._told, self._details = news, details
        self._due, self._figures_due = now + DETAILS_S, now + FIGURES_S
        return True


class Figures:
    """What processes have used, looked at once in ``FIGURES_S``."""

    def __init__(self) -> None:
        self._known: dict[int | None, ResourceUse] = {}
        self._due = 0.0

    def of(self, pid: int | None) -> ResourceUse:
        """What a process of this host has used."""
        if time.monotonic() >= self._due:
            self._known.clear()
            self._due = time.monotonic() + FIGURES_S
        if pid not in self._known:
            self._known[pid] = resource_use(pid)
        return self._known[pid]


def _news(answer: Status) -> object:
    who = answer.supervisor
    daemons = [
        (daemon.name, daemon.pid, daemon.state, daemon.restarts, daemon.trouble)
        for daemon in answer.daemons
    ]
    waiting = [
        (orchestrator.run_name, orchestrator.pid, orchestrator.waiting, orchestrator.since)
        for orchestrator in answer.orchestrators
    ]
    return who.pid, who.state, daemons, waiting


def _details(answer: Status) -> object:
    # The bus tells how long ago its last message came.
    return [daemon.detail for daemon in answer.daemons if daemon.kind != BUS]
