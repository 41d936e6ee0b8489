"""The waiters for what happens in the studies, found by run and by study."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from motoko.bus.messages import Transition
from motoko.errors import WorkflowStopped

# The function that awaits: the orchestrator's own, or a handler.
whose: ContextVar[str] = ContextVar("motoko_whose", default="main")

RunKey = tuple[str, int]
K = TypeVar("K")


@dataclass
class Interest:
    """What a waiter wants to be woken by.

    Attributes:
        runs: transitions of these runs wake it,
        studies: and so does what happens in these studies:
        states_only: but no commits there that change no state,
        accepts: and only those transitions there for which this returns true.
        relayed: another object watches all of that, and wakes the waiter.
    """

    runs: Iterable[RunKey] = ()
    studies: Iterable[str] = ()
    states_only: bool = False
    accepts: Callable[[Transition], bool] | None = None
    relayed: bool = False


@dataclass
class Waiter:
    """One waiter, and what it waits for."""

    interest: Interest
    runs: set[RunKey]
    studies: frozenset[str]
    what: str = ""  # for people
    who: str = field(default_factory=whose.get)  # for people, too
    since: float = field(default_factory=time.time)
    event: asyncio.Event = field(default_factory=asyncio.Event)
    news: list[Transition] = field(default_factory=list)
    read_again: bool = False  # messages were lost: only the database tells what they said
    stopped: bool = False  # the workflow is being stopped,
    stopped_by: str = ""  # by whom, for people
    error: Exception | None = None  # the dispatcher has died, and would wake no waiter any more
    forget: Callable[[RunKey], None] = field(repr=False, kw_only=True)  # no longer wait for a run

    async def wait(self, timeout: float | None = None) -> list[Transition]:
        """Sleep until there is news (or seconds have passed), and take it.

        Raises the error that the dispatcher died of.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.event.wait()
        if self.error is not None:
            raise self.error
        self.event.clear()
        news, self.news = self.news, []
        return news

    def check_stopped(self, doing: str) -> None:
        """Raise ``WorkflowStopped`` if the workflow is being stopped; the message has ``doing``."""
        if self.stopped:
            by = f", by {self.stopped_by}" if self.stopped_by else ""
            raise WorkflowStopped(f"the workflow was stopped while {doing}{by}")

    def concerns(self, study: str) -> bool:
        """Whether it waits for the study, or for a run of it."""
        return study in self.studies or any(name == study for name, _ in self.runs)


class Waiters:
    """All waiters. Iterating gives them, the longest-waiting first; ``len`` is their number."""

    def __init__(self) -> None:
        self._by_run: defaultdict[RunKey, set[int]] = defaultdict(set)
        self._by_study: defaultdict[str, set[int]] = defaultdict(set)
        self._waiters: dict[int, Waiter] = {}

    def __iter__(self) -> Iterator[Waiter]:
        return iter(self._waiters.values())

    def __len__(self) -> int:
        return len(self._waiters)

    @contextlib.contextmanager
    def waiting(self, interest: Interest, what: str) -> Iterator[Waiter]:
        """A waiter, registered while the block runs."""
        waiter = Waiter(
            interest,
            set(interest.runs),
            frozenset(interest.studies),
            what,
            forget=lambda run: self._forget(waiter, run),
        )
        key = id(waiter)
        self._waiters[key] = waiter
        if not interest.relayed:
            for run in waiter.runs:
                self._by_run[run].add(key)
            for study in waiter.studies:
                self._by_study[study].add(key)
        try:
            yield waiter
        finally:
            del self._waiters[key]
            for run in waiter.runs:
                _drop(self._by_run, run, key)
            for study in waiter.studies:
                _drop(self._by_study, study, key)

    def _forget(self, waiter: Waiter, run: RunKey) -> None:
        waiter.runs.discard(run)
        _drop(self._by_run, run, id(waiter))

    def of(self, event: Transition) -> Iterator[Waiter]:
        """The waiters that a transition concerns: for its run, or for what happens in its study."""
        run = event.study, event.run_id
        yield from [self._waiters[key] for key in self._by_run.get(run, ())]
        for waiter in self.of_study(event.study):
            if waiter.interest.accepts is None or waiter.interest.accepts(event):
                yield waiter

    def of_study(self, study: str) -> list[Waiter]:
        """The waiters for whatever happens in a study."""
        return [self._waiters[key] for key in self._by_study.get(study, ())]

    @property
    def watched(self) -> list[RunKey | str]:
        """The runs and the studies that there are waiters for."""
        return [*self._by_run, *self._by_study]


def _drop(index: dict[K, set[int]], name: K, key: int) -> None:
    keys = index.get(name)
    if keys is not None:
        keys.discard(key)
        if not keys:
            del index[name]
