"""Finding a study's runs in its mirror, for the view of a database connection.

The mirror stands at one transaction, and the connection's view at another. The finder names the
records that were written between these two; its caller reads them through the connection.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from motoko.config import StudyConfig, WorkflowConfig
from motoko.host.locks import is_locked
from motoko.host.pauses import Pauses
from motoko.layout import lock_path, mirror_path, owns_wf
from motoko.mirror.constraint_sql import OF_OBJECTS, where
from motoko.mirror.mirror_file import NotUsable, check_readable
from motoko.mirror.mirror_reading import uri_of
from motoko.mirror.mirror_tables import RUNS, TABLES, MirrorTables
from motoko.runs.entry_table import PREFIX
from motoko.store.internals.connections import view_of
from motoko.store.predicates import Predicate
from motoko.store.run_finders import Candidates, CannotFind, FoundRun, Node, Owners, View
from motoko.store.written_records import NotWritten, written_between

BUSY_S = 5.0
PATIENCE_S = 2.0  # for a mirror that is about to know what was just committed
PAUSE_S, PAUSE_MAX_S = 0.005, 0.1
FEW = 1_000  # changed records: with no more of them there is no waiting for a newer mirror
TOGETHER = 500  # values in one query


class MirrorFinder:
    """Finds the runs of a study in its mirror; see ``RunFinder``.

    Args:
        study: the study.
        mirror: its mirror.
    """

    def __init__(self, study: StudyConfig, mirror: WatchedMirror) -> None:
        self._study = study
        self._mirror = mirror

    @contextlib.contextmanager
    def moment(self, view: View) -> Iterator[MirrorMoment]:
        """What the mirror knows while the block runs."""
        try:
            deadline = time.monotonic() + PATIENCE_S
            pauses = Pauses(PAUSE_S, PAUSE_MAX_S)
            while True:
                with self._mirror.reading() as tables:
                    moment = self._compared(tables, view)
                    is_worth_it = moment.is_ahead or len(moment.changed) <= FEW
                    if is_worth_it or time.monotonic() > deadline:
                        yield moment
                        return
                time.sleep(pauses.next())
        except NotUsable as error:
            self.close()
            raise CannotFind(str(error)) from error
        except sqlite3.Error as error:
            self.close()
            raise CannotFind(f"it cannot be read: {error}") from error

    def close(self) -> None:
        """Close the mirror's file; the finder is not asked any more."""
        self._mirror.close()

    def _compared(self, tables: MirrorTables, view: View) -> MirrorMoment:
        """The mirror, and what was written between it and a view."""
        meta = tables.meta()
        if "tid" not in meta or "witness" not in meta:
            raise NotUsable("it was not finished")
        if meta["witness"] != view.witness.hex():
            raise NotUsable("it is that of another database")
        tid, sees = bytes.fromhex(meta["tid"]), view_of(view.connection)
        if tid > view.tid and tid > view.ask_tid():
            raise NotUsable("it is newer than the database")
        if tid == view.tid and tid < sees:
            return MirrorMoment(tables, frozenset(), is_ahead=False)
        try:
            changed = written_between(tid, sees, self._study, view.connection.db().storage)
        except NotWritten as error:
            raise NotUsable(str(error)) from error
        return MirrorMoment(tables, changed, is_ahead=tid >= sees)


class MirrorMoment:
    """A mirror at one transaction, for a view; see ``FoundMoment``.

    Attributes:
        changed: the records that differ in the view.
        is_ahead: whether the mirror has commits that the view does not see yet.
    """

    def __init__(self, tables: MirrorTables, changed: frozenset[bytes], *, is_ahead: bool) -> None:
        self.changed = changed
        self.is_ahead = is_ahead
        self._tables = tables
        self._execute = tables.connection.execute

    def candidates(self, predicate: Predicate) -> Candidates:
        """The runs that may meet a predicate, or for which it raises an error, in order."""
        condition = where(self._tables, predicate)
        rows = self._execute(
            "SELECT runs.id, runs.record, jobs.record FROM runs "
            f"LEFT JOIN jobs ON jobs.id = runs.job_id WHERE {condition.sql} ORDER BY runs.id",
            condition.parameters,
        )
        runs = (
            FoundRun(number, _oid(record), None if job is None else _oid(job))
            for number, record, job in rows
        )
        return Candidates(runs, condition.is_exact)

    def owners(self, records: Iterable[bytes]) -> Owners:
        """The owners of those records that belong to a run or job, or to the trees of all."""
        owners = Owners({}, {}, set(), set())
        numbers = [_number(record) for record in records]
        for oid, owner in self._among("SELECT oid, owner FROM records WHERE oid", numbers):
            (owners.runs if owner & 1 == RUNS else owners.jobs)[_oid(oid)] = owner >> 1
        for oid, table in self._among("SELECT oid, owner FROM containers WHERE oid", numbers):
            (owners.nodes if table == RUNS else owners.job_nodes).add(_oid(oid))
        return owners

    def node(self, record: bytes) -> Node | None:
        """What a node of the trees of all runs or jobs holds."""
        known = self._tables.members(_number(record))
        if known is None:
            return None
        table, members = known
        rows = self._among(f"SELECT id, record FROM {TABLES[table]} WHERE id", members.numbers)
        return Node(
            [_oid(below) for below in members.below],
            {number: _oid(oid) for number, oid in rows},
        )

    def runs_of(self, jobs: Collection[int]) -> list[int]:
        """The runs that name one of these jobs as theirs."""
        return [number for (number,) in self._among("SELECT id FROM runs WHERE job_id", [*jobs])]

    def carried(self, names: Collection[str], but: Collection[int]) -> set[str]:
        """The names under which any run, except those in ``but``, has an entry or attribute."""
        sets = [
            (number, {tuple(name) for name in json.loads(text)})
            for number, text in self._execute("SELECT id, names FROM name_sets")
        ]
        return {name for name in names if self._is_carried(name, sets, but)}

    def _is_carried(
        self, name: str, sets: list[tuple[int, set[tuple[bool, str]]]], but: Collection[int]
    ) -> bool:
        stored = {(False, name), (False, f"{PREFIX}{name}"), (True, name)}
        if name in OF_OBJECTS:
            rows = self._execute("SELECT id << 1 FROM runs")
        else:
            having = [number for number, held in sets if held & stored]
            numbers = ", ".join(map(str, having))
            rows = self._execute(
                f"SELECT owner FROM records WHERE names IN ({numbers}) AND owner & 1 = {RUNS}"
            )
        return any(owner >> 1 not in but for (owner,) in rows)

    def _among(self, query: str, values: Sequence[int]) -> Iterator[tuple[int, ...]]:
        for first in range(0, len(values), TOGETHER):
            some = ", ".join(map(str, values[first : first + TOGETHER]))
            yield from self._execute(f"{query} IN ({some})")


def _number(oid: bytes) -> int:
    return int.from_bytes(oid, "big")


def _oid(number: int) -> bytes:
    return number.to_bytes(8, "big")


class WatchedMirror:
    """A study's mirror, as long as its watcher writes it.

    Args:
        config: the workflow.
        study: one of its studies.
    """

    def __init__(self, config: WorkflowConfig, study: StudyConfig) -> None:
        self._directory = config.directory
        self._path = mirror_path(config.directory, study.name)
        self._opened: _Opened | None = None

    @contextlib.contextmanager
    def reading(self) -> Iterator[MirrorTables]:
        """Its tables as of its last commit; raises ``NotUsable``, or ``sqlite3.Error``."""
        try:
            if not owns_wf(self._directory):
                raise NotUsable("it came with a copy of another workflow")
            if not is_locked(lock_path(self._directory, "watcher")):
                raise NotUsable("no watcher runs")
            check_readable(self._path, is_watched=True)
            if self._opened is None or not self._opened.is_in_place(self._path):
                self.close()
                self._opened = _Opened(self._path)
        except OSError as error:
            raise NotUsable(f"it cannot be read: {error}") from error
        with self._opened.reading() as tables:
            yield tables

    def close(self) -> None:
        """Close its file; :meth:`reading` opens it again."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


class _Opened:
    """A mirror's file, open for reading."""

    def __init__(self, path: Path) -> None:
        uri = uri_of(path)
        if uri is None:
            raise NotUsable("its watcher has not opened it")
        self._pid = os.getpid()
        self._file = path.stat()
        self._connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        self._tables: MirrorTables | None = None

    def is_in_place(self, path: Path) -> bool:
        """Whether the path still leads to this file; false in a forked child."""
        return os.getpid() == self._pid and os.path.samestat(path.stat(), self._file)

    @contextlib.contextmanager
    def reading(self) -> Iterator[MirrorTables]:
        """Its tables, which do not change while the block runs."""
        self._connection.execute("BEGIN")
        try:
            if self._tables is None:
                self._tables = MirrorTables(self._connection, is_new=False)
            else:
                self._tables.forget()
            yield self._tables
        finally:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        if os.getpid() == self._pid:  # a forked child's copy is its parent's
            self._connection.close()
