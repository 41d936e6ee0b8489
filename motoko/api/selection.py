"""Live selections of runs, and conditions made of them."""

from __future__ import annotations

import contextlib
import html
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from motoko.api.failures import notice_failures
from motoko.api.precursors import note_awaited
from motoko.api.run_list import HTML_ROWS, RunList, failure
from motoko.bus.waiters import Interest
from motoko.errors import ConstraintError, RunFailed
from motoko.host.durations import counted
from motoko.runs.states import (
    FAILED_STATES,
    state_of,
)

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from motoko.api.engine import Engine
    from motoko.api.frames import RunTable
    from motoko.store.base import StudyBase
    from motoko.store.bd_objects import JobZEO, RunZEO
    from motoko.store.found_runs import Found
    from motoko.store.predicates import Predicate

# A condition that may depend on time, files or anything else is evaluated again this often.
TICK_S = 2.0

log = logging.getLogger(__name__)
_warned: set[tuple[str, str]] = set()  # studies and names that were warned about, each once

Pair = tuple["RunZEO", "JobZEO"]


class TaskSelectionEval:
    """A condition: a function whose true result is awaited, called or combined.

    Calling the condition evaluates it now. ``await`` saves pending changes and returns the result
    once it is true. ``a & b`` is true when both are; its result is the two results, concatenated.

    Args:
        func: called without arguments, when something has happened in the studies that it is known
            to read, and every two seconds if it may read something else. Kept as ``func``.
    """

    def __init__(self, func: Callable[[], Any]) -> None:
        self.func = func

    def __call__(self) -> Any:
        from motoko.store.session import session

        session().look()
        return self.func()

    def __and__(self, other: Callable[[], Any]) -> TaskSelectionEval:
        if not callable(other):
            raise RuntimeError(f"cannot combine a condition with {other!r}: it is not callable")

        # In an await, an unknown name matches nothing and is not an error.
        second_one = other.current if isinstance(other, TaskSelection) else other

        def both() -> Any:
            first = self()
            if not first:
                return False
            second = second_one()
            if not second:
                return False
            return list(first) + list(second)

        return _reading(both, self, other)

    # The bases that the condition is known to read: it is evaluated again at their studies' events.
    bases: tuple[StudyBase, ...] = ()
    # Whether it may read something else as well: then it is also evaluated at every tick.
    ticks: bool = True
    # If it reads nothing but selections, what it reads of their runs: it is evaluated again when a
    # run has changed that was selected, or is now.
    reads: tuple[_Read, ...] = ()

    def __await__(self) -> Generator[Any, None, Any]:
        reads = () if self.ticks else self.reads
        return _until_true(self.func, self.bases, reads, ticks=self.ticks).__await__()


class TaskSelection:
    """The runs of a study that meet constraints, evaluated anew at each use.

    Iterating gives ``(run, job)`` pairs. ``await selection`` saves pending changes and returns the
    list of matching pairs once it is not empty. This process's unsaved changes are visible. Each
    use raises ``ConstraintError`` for a text that is not a constraint; uses other than ``await``
    also raise it for a name that no run has.

    Args:
        constraints: all of these must hold.
        selector: kept, and not used.
        base: the study's base, as ``TaskManager.base`` gives it.
        study: the study's name.
        engine: the engine through which ``await`` waits. By default that of the base.
    """

    matching_condition: Callable[..., bool] | None = None  # always None: code for 0.1.4 may read it

    def __init__(
        self,
        constraints: list[str],
        selector: Any,
        base: StudyBase,
        study: str,
        *,
        engine: Engine | None = None,
    ) -> None:
        self.constraints = constraints
        self.selector = selector
        self.base = base
        self.study = study
        self._engine = engine

    def exec(self) -> list[Pair]:
        """The matching pairs, as of now."""
        return self._found().pairs()

    def _found(self) -> Found:
        from motoko.store.session import session

        session().look()
        return self.base.found(self.base.predicate(self.constraints))

    def __call__(self) -> list[Pair]:
        """The same as :meth:`exec`."""
        return self.exec()

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._found())

    def __bool__(self) -> bool:
        return bool(self._found())

    def __len__(self) -> int:
        return len(self._found())

    def __getitem__(self, index: int | slice) -> Any:
        return self._found()[index]

    def __and__(self, other: Callable[[], Any]) -> TaskSelectionEval:
        return _reading(self.current, self) & other

    def __repr__(self) -> str:
        return f"TaskSelection({self.study!r}, {self.constraints!r})"

    def _repr_html_(self) -> str:
        """How many runs are selected, and a table of the first, for notebooks."""
        selected = self._found()
        first = RunList(selected[:HTML_ROWS], engine=self.base.engine, study=self.study)
        chosen = ", ".join(self.constraints) or "all runs"
        title = html.escape(f"{self.study}: {chosen}: {counted(len(selected), 'run')}")
        return f"<p>{title}</p>{first.to_pandas().to_html(notebook=True)}"

    def to_pandas(self, columns: Sequence[str] | str | None = None) -> pandas.DataFrame:
        """Parameters and results of the selected runs as they are now, a row for each run, by id.

        The table includes this process's unsaved changes. If there are none, it is read from the
        study's mirror: that takes seconds for 100,000 runs.

        Args:
            columns: the columns' names, in this order, as in ``motoko table --columns``; without
                it, the columns that ``motoko table`` shows. Arrays, long texts and the like are
                included if their columns are named; else a ``<numpy.ndarray>`` stands for them.

        Returns:
            Ints, floats, bools and times are in columns of their type. If a value is missing in a
            column of ints or bools, its type is pandas' nullable one. All other values are Python
            objects. A missing value is ``None``, ``NaN``, ``NA`` or ``NaT``, according to the
            column's type. The id is a column; the index counts from 0.

        Raises:
            ConfigError: there is no such column.
            ConstraintError, StudyUnavailable: as other uses of a selection.
        """
        return self._table(columns).as_pandas()

    def to_arrow(self, columns: Sequence[str] | str | None = None) -> pyarrow.Table:
        """The same as a ``pyarrow.Table``; also raises ``ConfigError`` if pyarrow is missing.

        Each column has one type: columns of mixed types, and dicts, become texts. A missing value
        is a null. If the mirror was read, its transaction is in the metadata.
        """
        return self._table(columns).as_arrow()

    def to_polars(self, columns: Sequence[str] | str | None = None) -> polars.DataFrame:
        """As :meth:`to_arrow`, but a ``polars.DataFrame``; ``ConfigError`` if polars is missing."""
        return self._table(columns).as_polars()

    def _table(self, columns: Sequence[str] | str | None) -> RunTable:
        from motoko.api.run_tables import table_of_selected

        return table_of_selected(self.base, self.constraints, self.exec, columns)

    def __await__(self) -> Generator[Any, None, list[Pair]]:
        return self._until_filled().__await__()

    async def _until_filled(self) -> list[Pair]:
        import asyncio

        from motoko.store.session import session

        session().commit()
        engine = self._engine or self.base.engine
        dispatcher = await engine.attached()
        what = f"{self.study}: {', '.join(self.constraints) or 'any run'}"
        lookout = engine.lookout(self.base, dispatcher)
        with (
            dispatcher.waiting(self.interest(), what=what) as waiter,
            lookout.waiting(self.constraints, waiter.event.set) as standing,
        ):
            await asyncio.sleep(0)  # awaits that begin now share one search
            session().refresh(self.base)
            while not (pairs := standing.found(self.current)):
                await waiter.wait()
                waiter.check_stopped("waiting for a selection")
                session().commit()
            notice_failures(pairs)
            note_awaited(pairs)
            return pairs

    def interest(self) -> Interest:
        """The waiter's interest; a lookout relays the events."""
        numbers = self.base.predicate(self.constraints).run_ids or ()
        runs = {(self.study, number) for number in numbers}
        return Interest(runs, [self.study], relayed=True)

    @property
    def reads_states_only(self) -> bool:
        """Whether commits that change no run's state cannot change what is selected."""
        return self.base.predicate(self.constraints).reads_states_only

    def current(self) -> list[Pair]:
        """The matching pairs; a name that no run has matches nothing, instead of raising."""
        predicate = self.base.predicate(self.constraints)
        pairs = self.base.matches.find(predicate)
        if not pairs and predicate.undeclared:
            new = {name for name in predicate.undeclared if (self.study, name) not in _warned}
            for name in self.base.carried_by_none(new):
                _warned.add((self.study, name))
                log.warning("study %s: no run has %r (yet)", self.study, name)
        return pairs

    def all(self, *args: Any) -> TaskSelectionEval:
        """A condition: all selected runs meet the first, or all meet the second, ...

        Args:
            *args: the alternatives: each a constraint string, or a list of them that all must hold.

        Returns:
            A condition whose result is the selected pairs. It is never true on an empty selection,
            and raises ``RunFailed`` if a selected run has failed and meets no alternative.

        Raises:
            ConstraintError: there is no alternative, or one is not a constraint.
        """
        if not args:
            raise ConstraintError("all() needs a constraint", hint='.all("state = FINISHED")')
        alternatives = [self.base.predicate(constraints) for constraints in args]
        meets = self.base.matches.meets

        def every() -> Any:
            selected = self.current()
            if not selected:
                return False
            for predicate in alternatives:
                if all(meets(predicate, run, job.entries) for run, job in selected):
                    return selected
            self._raise_failures(selected, alternatives)
            return False

        states_only = self.reads_states_only and all(one.reads_states_only for one in alternatives)
        condition = _reading(every, self)
        condition.reads = (_Read(self, states_only),)
        return condition

    def _raise_failures(self, selected: list[Pair], alternatives: list[Predicate]) -> None:
        for run, job in selected:
            if state_of(run.entries) in FAILED_STATES and not any(
                self.base.matches.meets(predicate, run, job.entries) for predicate in alternatives
            ):
                raise failure(run)


@dataclass(frozen=True)
class _Read:
    """What a condition reads of a selection's runs: only their states, or other entries, too."""

    selection: TaskSelection
    states_only: bool


def _reading(func: Callable[[], Any], *conditions: Any) -> TaskSelectionEval:
    """A condition that reads what the given conditions read."""
    result = TaskSelectionEval(func)
    result.ticks = False
    for condition in conditions:
        if isinstance(condition, TaskSelection):
            result.bases += (condition.base,)
            result.reads += (_Read(condition, condition.reads_states_only),)
        elif isinstance(condition, TaskSelectionEval):
            result.bases += condition.bases
            result.reads += condition.reads
            result.ticks = result.ticks or condition.ticks
        else:
            result.ticks = True
    return result


async def _until_true(
    condition: Callable[[], Any],
    bases: tuple[StudyBase, ...],
    reads: tuple[_Read, ...],
    *,
    ticks: bool,
) -> Any:
    """Evaluate it until it is true: again when something has changed that it ``reads``.

    If that is not known: at each event in the studies, and with ``ticks`` also at every tick.
    """
    import asyncio

    from motoko.store.session import session

    if not bases:
        while True:
            session().refresh()
            if result := condition():
                return result
            await asyncio.sleep(TICK_S)
    session().commit()
    owner: Engine = bases[0].engine
    by_study = {base.study.name: base for base in bases}
    dispatcher = await owner.attached()
    what = f"a condition on {', '.join(by_study)}"
    interest = Interest(studies=by_study, relayed=bool(reads))
    with contextlib.ExitStack() as work:
        waiter = work.enter_context(dispatcher.waiting(interest, what=what))
        standing = [
            work.enter_context(
                owner.lookout(read.selection.base, dispatcher).waiting(
                    read.selection.constraints, waiter.event.set, states_only=read.states_only
                )
            )
            for read in reads
        ]
        for base in bases:
            session().refresh(base)
        while True:
            try:
                result = condition()
            except RunFailed:
                # Error handlers act first; a failure that they have not mended raises.
                await owner.handle_failure()
                session().commit()
                result = condition()
            if result:
                notice_failures(result)
                note_awaited(result)
                return result
            for one, read in zip(standing, reads, strict=True):
                one.keep(read.selection.current)
            news = await waiter.wait(TICK_S if ticks else None)
            waiter.check_stopped("waiting for a selection")
            waiter.read_again = False
            session().commit()
            if reads:  # the lookouts have refreshed the connections
                continue
            for study, base in by_study.items():
                tids = [change.tid for change in news if change.study == study]
                session().refresh(
                    base, max(map(bytes.fromhex, tids), default=dispatcher.tid(study))
                )
