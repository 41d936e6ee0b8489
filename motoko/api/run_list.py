"""``await`` on runs."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from motoko.api.announced_ends import AnnouncedEnds
from motoko.api.precursors import note_awaited
from motoko.bus.waiters import Interest
from motoko.errors import RunFailed
from motoko.runs.entries import OwnEntries
from motoko.runs.outcomes import Outcome, outcome
from motoko.runs.outputs import stderr_path, tail
from motoko.runs.paths import present_directory
from motoko.runs.references import described
from motoko.runs.states import (
    FINISHED,
    UNENDED_STATES,
    WAITING_STATES,
    state_of,
)

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from motoko.api.engine import Engine
    from motoko.api.frames import RunTable
    from motoko.bus.waiters import RunKey, Waiter
    from motoko.store.base import StudyBase
    from motoko.store.bd_objects import JobZEO, RunZEO


SHOWN = 4
HTML_ROWS = 20  # of tables in notebooks


class RunList:
    """Runs that can be awaited until all of them have FINISHED.

    ``await run_list`` saves pending changes, sleeps until every run has reached FINISHED (a run may
    have moved on since then) and returns the pairs. It raises ``RunFailed`` as soon as one of the
    runs has failed for good or is deleted, ``WorkflowStopped`` if the workflow is stopped
    meanwhile, and ``LauncherGivenUp`` if a run waits for a launcher that was given up. It may be
    awaited more than once, by several coroutines, and be cancelled.

    Iterating, ``len`` and indexing work on the pairs, which are also in ``runs``.

    Args:
        runs: ``(run, job)`` pairs, as selections give them too; of one study or of several.
        engine: the engine through which the list waits. By default that of the runs.
        study: the study's name, for lists without a run: their tables have the study's columns.
    """

    def __init__(
        self,
        runs: list[tuple[RunZEO, JobZEO]],
        *,
        engine: Engine | None = None,
        study: str | None = None,
    ) -> None:
        self.runs = runs
        self._given = engine
        self._study = study

    @property
    def _engine(self) -> Engine:
        engine: Engine = self._given or self.runs[0][0].base.engine
        return engine

    def __iter__(self) -> Iterator[tuple[RunZEO, JobZEO]]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    @overload
    def __getitem__(self, index: int) -> tuple[RunZEO, JobZEO]: ...

    @overload
    def __getitem__(self, index: slice) -> list[tuple[RunZEO, JobZEO]]: ...

    def __getitem__(self, index: int | slice) -> Any:
        return self.runs[index]

    def __repr__(self) -> str:
        names = [f"{_study(run)}.{run.entries['id']}" for run, _ in self.runs[:SHOWN]]
        more = len(self.runs) - SHOWN
        return f"RunList({', '.join(names)}{f', and {more} more' if more > 0 else ''})"

    def _repr_html_(self) -> str:
        """The table of the runs, for notebooks: of very many the first and the last."""
        return str(self.to_pandas().to_html(max_rows=HTML_ROWS, notebook=True))

    def to_pandas(self, columns: Sequence[str] | str | None = None) -> pandas.DataFrame:
        """The runs' parameters and results as they are now, a row for each, in their order.

        Otherwise the same as :meth:`TaskSelection.to_pandas`. Runs that were deleted are left out.
        Also raises ``ConfigError`` if the runs are of several studies.
        """
        return self._table(columns).as_pandas()

    def to_arrow(self, columns: Sequence[str] | str | None = None) -> pyarrow.Table:
        """The same as a ``pyarrow.Table``; see :meth:`TaskSelection.to_arrow`."""
        return self._table(columns).as_arrow()

    def to_polars(self, columns: Sequence[str] | str | None = None) -> polars.DataFrame:
        """The same as a ``polars.DataFrame``; see :meth:`TaskSelection.to_polars`."""
        return self._table(columns).as_polars()

    def _table(self, columns: Sequence[str] | str | None) -> RunTable:
        from motoko.api.run_tables import one_study, table_of_runs

        base = one_study(self.runs)
        if base is None and self._given is not None and self._study is not None:
            base = self._given.base(self._study)
        return table_of_runs(self.runs, base, columns)

    def __await__(self) -> Generator[Any, None, list[tuple[RunZEO, JobZEO]]]:
        return self._wait().__await__()

    async def _wait(self) -> list[tuple[RunZEO, JobZEO]]:
        from motoko.store.session import session

        # This comes first: saving may put other objects into the list.
        session().commit()
        if not self.runs:
            return self.runs
        bases: dict[str, StudyBase] = {_study(run): run.base for run, _ in self.runs}
        for study, base in bases.items():
            base.load([run for run, _ in self.runs if _study(run) == study])
        dispatcher = await self._engine.attached()
        pending = {_key(run): run for run, _ in self.runs}
        with dispatcher.waiting(Interest(runs=pending), what=repr(self)) as waiter:
            announced = AnnouncedEnds(waiter, dispatcher.loop, pending)
            for study, base in bases.items():
                session().refresh(base, self._engine.told(study, dispatcher))
            await self._settle(pending, waiter, list(pending), set())
            with announced.listening():
                await self._wait_for(pending, waiter, announced, bases)
        note_awaited(self.runs)
        return self.runs

    async def _wait_for(
        self,
        pending: dict[RunKey, RunZEO],
        waiter: Waiter,
        announced: AnnouncedEnds,
        bases: Mapping[str, StudyBase],
    ) -> None:
        from motoko.store.session import session

        while pending:
            news = await waiter.wait()
            waiter.check_stopped("waiting for runs")
            changed = announced.take()
            concerned = list(pending) if waiter.read_again else []
            waiter.read_again = False
            # A run that has only been started ends no wait, and need not be looked at.
            telling = [change for change in news if change.new not in UNENDED_STATES]
            tids = [(change.study, bytes.fromhex(change.tid)) for change in telling]
            tids += [(study, tid) for (study, _), tid in changed.items()]
            for study, tid in dict(sorted(tids)).items():  # the newest of each study
                session().refresh(bases[study], tid)
            if concerned and not telling:
                for base in bases.values():
                    session().refresh(base)
            concerned += [(change.study, change.run_id) for change in telling]
            passed = {(c.study, c.run_id) for c in telling if c.new == FINISHED}
            for study, base in bases.items():
                runs = [pending.get(key) for key in (*concerned, *changed) if key[0] == study]
                base.load([run for run in runs if run is not None])
            for key in changed:
                if key in pending and outcome(pending[key].entries) is Outcome.FINISHED:
                    del pending[key]
                    waiter.forget(key)
            announced.expect(changed)
            await self._settle(pending, waiter, concerned, passed)
            for study in bases:
                error = self._engine.launcher_given_up(study)
                if error is not None and _waits(pending, study):
                    raise error

    async def _settle(
        self,
        pending: dict[RunKey, RunZEO],
        waiter: Waiter,
        concerned: Iterable[RunKey],
        passed: set[RunKey],
    ) -> None:
        """Stop waiting for the runs that have ended; ``RunFailed`` if one has failed."""
        for key in concerned:
            run = pending.get(key)
            if run is None:
                continue
            end = outcome(run.entries)
            if end is Outcome.FAILED and key not in passed:
                await self._failed(run)
            elif end is Outcome.PENDING and key not in passed and _is_gone(run):
                raise _deleted(run)
            elif end is Outcome.FINISHED or key in passed or _has_moved_on(run):
                del pending[key]
                waiter.forget(key)

    async def _failed(self, run: RunZEO) -> None:
        """Let error handlers and actions act first; then raise, if the run is still failed."""
        engine = self._engine
        await engine.handle_failure()
        if outcome(run.entries) is Outcome.FAILED and engine.on_failure == "raise":
            engine.noticed |= {_key(run) for run, _ in self.runs}  # the await is for all of them
            raise failure(run)


def _waits(pending: dict[RunKey, RunZEO], study: str) -> bool:
    """Whether any of a study's pending runs has not been started yet."""
    states = (state_of(run.entries) for (name, _), run in pending.items() if name == study)
    return any(state in WAITING_STATES for state in states)


def failure(run: RunZEO) -> RunFailed:
    """The error that tells why a run has failed."""
    from motoko.store.jobs_of_runs import parameters_of

    entries = run.entries
    study = _study(run)
    run.base.engine.noticed.add(_key(run))
    state = state_of(entries)
    directory = present_directory(run.base.study, entries)
    parameters = parameters_of(run.base.study, run.base.jobs.entries, entries)
    return RunFailed(
        study,
        entries["id"],
        state,
        OwnEntries(entries).failure_reason or "no reason was recorded",
        parameters=parameters,
        described=described(f"{study}.{entries['id']}", parameters),
        run_path=None if directory is None else str(directory),
        stderr=tail(stderr_path(entries, run.base.study)),
        hint=f"when the cause is mended, `motoko retry {study}.{entries['id']}` runs it again",
    )


def _is_gone(run: RunZEO) -> bool:
    """Whether a run has been deleted."""
    return run.base.runs.entries.get(run.entries["id"]) is not run


def _deleted(run: RunZEO) -> RunFailed:
    """The error for awaiting a run that was deleted, and so will never end."""
    return RunFailed(
        *_key(run),
        "deleted",
        "somebody has deleted it while it was awaited",
        hint="createTask() makes it again, when the orchestrator is started again",
    )


def _has_moved_on(run: RunZEO) -> bool:
    """Whether a run in a user's own state was FINISHED before, without an entry that says so."""
    entries = run.entries
    state = state_of(entries)
    if state in UNENDED_STATES or OwnEntries(entries).ended_state:
        return False
    from motoko.store.history import has_been

    return has_been(run, FINISHED)


def _study(run: RunZEO) -> str:
    name: str = run.base.study.name
    return name


def _key(run: RunZEO) -> RunKey:
    return _study(run), run.entries["id"]
