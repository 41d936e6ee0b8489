"""Which runs have led to the runs that are created now: those that the creating code has awaited.

What a coroutine has awaited is kept in its context. A task begins with what its creator had awaited
by then. What the task itself awaits, the creator knows once the task has ended: so the coroutines
in an ``asyncio.gather`` know nothing of each other. A handler begins with the runs that it is
called for.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from motoko.api.failures import given_runs
from motoko.runs.run_sets import RunSet

MANY = 64  # tasks; more are not looked through one by one


class _History:
    """What one task has awaited, and what its creator had when the task began."""

    def __init__(self, runs: RunSet) -> None:
        self.runs = runs
        task = _current_task()
        self._task = None if task is None else weakref.ref(task)
        self._begun: dict[_History, None] = {}
        self._over: list[_History] = []

    @property
    def is_of_this_task(self) -> bool:
        return (None if self._task is None else self._task()) is _current_task()

    @property
    def is_over(self) -> bool:
        task = None if self._task is None else self._task()
        return task is None or task.done()

    def begin(self) -> _History:
        """The history of a task that this one has created."""
        if self._task is None and len(self._begun) <= MANY:
            self.gather()  # a script outside of the loop has no other occasion
        made = _History(self.runs.copy())
        self._begun[made] = None
        if (task := _current_task()) is not None:
            task.add_done_callback(lambda _: self._over.append(made))
        return made

    def gather(self) -> None:
        """Take over what the tasks have awaited that have ended."""
        over, self._over = self._over, []
        if len(self._begun) <= MANY:
            # Whoever awaits a task may be told of its end before this is.
            over = [other for other in self._begun if other.is_over]
        for other in over:
            if other in self._begun:
                del self._begun[other]
                other.gather()
                self.runs.update(other.runs)


_history: ContextVar[_History | None] = ContextVar("motoko_precursors", default=None)


def begin_history() -> None:
    """From now on the running code knows what its tasks have awaited."""
    _own()


def note_awaited(result: Any) -> None:
    """Note that the running code was given these runs; anything that is not runs is ignored."""
    runs = given_runs(result)
    if runs:
        _take_in(_own().runs, runs)


def precursors() -> str:
    """The runs that the running code has awaited, as text; empty if there are none."""
    if _history.get() is None:
        return ""
    own = _own()
    own.gather()
    return own.runs.text


@contextlib.contextmanager
def called_for(result: Any) -> Iterator[None]:
    """While the block runs, these runs are what has led to new ones."""
    runs = RunSet()
    _take_in(runs, given_runs(result) or ())
    token = _history.set(_History(runs))
    try:
        yield
    finally:
        _history.reset(token)


def _take_in(known: RunSet, runs: Iterable[Any]) -> None:
    numbers: dict[str, set[int]] = {}
    for run in runs:
        base = getattr(run, "base", None)
        if base is None or "id" not in run.entries:
            continue  # a user's own object
        numbers.setdefault(base.study.name, set()).add(run.entries["id"])
    for study, ids in numbers.items():
        known.add(study, ids)


def _own() -> _History:
    """The history of the running task; made at its first use."""
    known = _history.get()
    if known is None:
        known = _History(RunSet())
        _history.set(known)
    elif not known.is_of_this_task:
        known = known.begin()
        _history.set(known)
    return known


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop is running
        return None
