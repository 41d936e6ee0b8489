"""What a launcher has to do: which runs to start, and what to record of others. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from motoko.runs.ends import End
from motoko.workers.launcher.run_queue import RunQueue


@dataclass
class News:
    """What has happened and is not committed yet, by run.

    Attributes:
        ended: how attempts have ended.
        changed: entries to be set.
        unstarted: runs that could not be started, and will become CREATED again.
        first_end: when the first of those ends was noticed (seconds, monotonic).
    """

    ended: dict[int, End] = field(default_factory=dict)
    changed: dict[int, dict[str, Any]] = field(default_factory=dict)
    unstarted: set[int] = field(default_factory=set)
    first_end: float | None = None


@dataclass
class Agenda:
    """What is to be done with the runs of one study.

    Attributes:
        waiting: runs that are CREATED.
        unstarted: runs that an earlier launcher has marked ``launched``, and never started.
        finished: runs that are executed and were seen to be FINISHED.
        news: what has happened and is not committed yet.
    """

    waiting: RunQueue = field(default_factory=RunQueue)
    unstarted: set[int] = field(default_factory=set)
    finished: set[int] = field(default_factory=set)
    news: News = field(default_factory=News)

    def note_end(self, number: int, end: End, now: float | None = None) -> None:
        """Note that a run's attempt has ended; without ``now``, it is recorded at once."""
        self.news.changed.pop(number, None)  # the end says more
        finished = end.finished or number in self.finished
        self.news.ended[number] = replace(end, finished=finished)
        self.finished.discard(number)
        if self.news.first_end is None:
            self.news.first_end = now

    def note_change(self, number: int, entries: Mapping[str, Any]) -> None:
        """Note that a run's entries must be set."""
        self.news.changed.setdefault(number, {}).update(entries)

    def note_unstarted(self, number: int) -> None:
        """Note that a run could not be started."""
        self.finished.discard(number)
        self.news.unstarted.add(number)

    def take_news(self, most: int | None = None) -> News:
        """The news, for the caller to commit: of so many ends and changes at most, or all."""
        news, self.news = self.news, News()
        if most is not None:
            later = self.news
            for number in [*itertools.islice(news.ended, most, None)]:
                later.ended[number] = news.ended.pop(number)
                later.first_end = news.first_end
            for number in [*itertools.islice(news.changed, most, None)]:
                later.changed[number] = news.changed.pop(number)
        return news

    def put_back(self, news: News) -> None:
        """Take news back that could not be committed."""
        later, self.news = self.news, news
        news.unstarted |= later.unstarted
        for number, entries in later.changed.items():
            self.note_change(number, entries)
        for number, end in later.ended.items():
            self.note_end(number, end, later.first_end)

    def due(self, now: float) -> Iterator[int]:
        """The runs to start, in their order: those of an earlier launcher first."""
        return itertools.chain(sorted(self.unstarted), self.waiting.due(now))

    def drop(self, number: int) -> None:
        """Remove a run from those to start."""
        self.waiting.remove(number)
        self.unstarted.discard(number)

    @property
    def has_waiting(self) -> bool:
        """Whether there are runs to be started, now or later."""
        return bool(self.unstarted or self.waiting)
