"""One query of the scheduler for all launchers of a workflow: shared through a file.

The first launcher for which a query is due asks the scheduler, and writes the answer to the file;
the other launchers read it. The interval grows while nothing changes. A query that fails leaves the
last answer as it is.
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
# If another launcher is asking, its answer is looked for again after this time.
BUSY_S = 0.5


@dataclass(frozen=True)
class View:
    """The scheduler's last answer. Times are of this host's monotonic clock, in seconds.

    Attributes:
        asked: when the query was made that the scheduler answered last; 0 if it never answered.
        jobs: its answer: this workflow's jobs.
        tried: when the last query was made.
        interval: how long to wait after that.
        error: why the last query was not answered; empty if it was.
        silent_since: when the first of the unanswered queries in a row was made, in seconds since
            1970.
        queries: how many queries all launchers have made.
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
    """The view in the file; an empty one if there is none, or if it is of another boot."""
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
    """The view after a query that failed: the last answer, and the error."""
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
        view: the last view.
        news: the time since which the caller has had something to ask the scheduler about.
        shortest: the interval that the user has chosen.
    """
    at = view.tried + view.interval
    return view.tried + shortest if news > view.asked else at


class SharedPoll:
    """The scheduler, asked by one launcher at a time.

    Args:
        path: the file with the last view.
        scheduler: the scheduler to ask.
        shortest: the shortest interval, in seconds.
        ours: says whether a job's name is one of this workflow's.
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
        """When (``time.monotonic``) this launcher should call :meth:`view` again."""
        view = self._read()
        return view.tried + (due(view, news, self._shortest) - view.tried) * self._jitter

    def _read(self) -> View:
        """The view in the file, read again only if the file has changed."""
        try:
            changed = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            changed = 0
        if changed != self._seen[0]:
            self._seen = changed, read(self._path)
        return self._seen[1]

    async def view(self, news: float) -> View:
        """The last view; asks the scheduler if that is due, and no other launcher is asking.

        Args:
            news: the time (``time.monotonic``) since which there has been something to ask about.
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
