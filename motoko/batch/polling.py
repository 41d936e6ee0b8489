"""One query of the scheduler for all launchers of a workflow: shared through a file.

Whoever's turn it is asks, and writes down what it was told; the others read that. The interval
grows while nothing changes. A query that fails changes nothing of what is known.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec

from motoko.batch.batch_system import POLL_MOST_S, Job, Scheduler, SchedulerSilent
from motoko.host.files import write_atomically
from motoko.host.locks import locked_if_free

GROWTH = 1.5
JITTER = 0.1
# Somebody else is asking: its answer is looked for again after this.
BUSY_S = 0.5


@dataclass(frozen=True)
class View:
    """What the scheduler has told last. Times are this host's monotonic clock's, in seconds.

    Attributes:
        asked: when it was asked for the last answer it has given; 0 if it never has.
        jobs: that answer: this workflow's jobs.
        tried: when it was asked last.
        interval: how long to wait after that.
        error: why the last query was not answered; empty if it was.
        silent_since: when the first of those that were not was made, in seconds since 1970.
        queries: how many there were, over all launchers.
    """

    asked: float = 0.0
    jobs: tuple[Job, ...] = ()
    tried: float = 0.0
    interval: float = 0.0
    error: str = ""
    silent_since: float = 0.0
    queries: int = 0

    def named(self, name: str) -> list[Job]:
        """The jobs that were submitted under a name."""
        return [job for job in self.jobs if job.name == name]


def read(path: Path) -> View:
    """What was written down last; an empty view if there is nothing, or it is of another boot."""
    try:
        view = msgspec.json.decode(path.read_bytes(), type=View)
    except (FileNotFoundError, msgspec.DecodeError):
        return View()
    return view if view.tried <= time.monotonic() else View(queries=view.queries)


def answered(before: View, jobs: tuple[Job, ...], now: float, shortest: float) -> View:
    """The view after an answer. The interval is the shortest if something has changed."""
    interval = shortest
    if set(jobs) == set(before.jobs):
        interval = min(max(shortest, before.interval * GROWTH), POLL_MOST_S)
    return View(now, jobs, now, interval, queries=before.queries + 1)


def unanswered(before: View, error: str, now: float, since: float, shortest: float) -> View:
    """The view after a query that failed: what was known, and that it failed."""
    interval = min(max(shortest, before.interval * GROWTH), POLL_MOST_S)
    since = before.silent_since if before.error else since
    return replace(
        before,
        tried=now,
        interval=interval,
        error=error,
        silent_since=since,
        queries=before.queries + 1,
    )


def due(view: View, news: float, shortest: float) -> float:
    """When to ask again: at most once in the shortest interval, and soon after ``news``.

    Args:
        view: what is known.
        news: since when the caller knows of something that the scheduler is to be asked about.
        shortest: the interval that the user has chosen.
    """
    at = view.tried + view.interval
    return view.tried + shortest if news > view.asked else at


class SharedPoll:
    """The scheduler, asked by one launcher at a time.

    Args:
        path: the file in which the last view is.
        scheduler: whom to ask.
        shortest: the shortest interval, in seconds.
        ours: whether a job's name is one of this workflow's.
    """

    def __init__(
        self, path: Path, scheduler: Scheduler, shortest: float, ours: Callable[[str], bool]
    ) -> None:
        self._path = path
        self._scheduler = scheduler
        self._shortest = shortest
        self._ours = ours
        self._jitter = 1.0
        self._seen: tuple[int, View] = (0, View())

    def due(self, news: float) -> float:
        """When (``time.monotonic``) this launcher is to call :meth:`view` again."""
        view = self._read()
        return view.tried + (due(view, news, self._shortest) - view.tried) * self._jitter

    def _read(self) -> View:
        """What is written down, read again if it has changed."""
        try:
            changed = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            changed = 0
        if changed != self._seen[0]:
            self._seen = changed, read(self._path)
        return self._seen[1]

    async def view(self, news: float) -> View:
        """What the scheduler says: asks it, if it is time to, and nobody else does.

        Args:
            news: since when (``time.monotonic``) there is something to be asked about.
        """
        with locked_if_free(self._path.with_suffix(".lock")) as is_ours:
            view, now = read(self._path), time.monotonic()
            if not is_ours or due(view, news, self._shortest) > now:
                return view
            try:
                jobs = await self._scheduler.query()
            except SchedulerSilent as error:
                view = unanswered(view, str(error), now, time.time(), self._shortest)
            else:
                mine = tuple(job for job in jobs if self._ours(job.name))
                view = answered(view, mine, now, self._shortest)
            write_atomically(self._path, json.dumps(asdict(view), default=lambda e: e.value))
            self._jitter = random.uniform(1.0, 1.0 + JITTER)
            return view
