"""What the watcher knows of a study: which record belongs to which run, and the runs' states.

No sockets and no threads here: records come from a :class:`Loader`, transitions go out as return
values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from motoko.errors import NotCreated
from motoko.store.records import Node, Ref, decode, node
from motoko.store.schemas import schema_among


class Loader(Protocol):
    """Reads many records at once."""

    def at(self, oids: Sequence[bytes], tid: bytes) -> list[bytes | None]:
        """Each record as it was just after ``tid``; ``None`` if it was not there."""

    def written_by(self, oids: Sequence[bytes], tid: bytes) -> list[bytes | None]:
        """Each record exactly as transaction ``tid`` wrote it; ``None`` if that is gone."""


FEW = 64  # records of a transaction that are read at once, whatever they are


class HistoryGone(Exception):
    """A revision is no longer in the database: it was packed, or replaced by another one."""


@dataclass(frozen=True)
class Change:
    """One run's state before and after a transaction; ``None`` is: there was no such run."""

    run_id: int
    old: str | None
    new: str | None


@dataclass
class Run:
    """The little that is kept of each run."""

    state: str | None = None
    run_name: str | None = None
    job_id: int | None = None
    event_name: str | None = None


class RunIndex:
    """The runs of one study, followed transaction by transaction."""

    def __init__(self, study: str, loader: Loader, bd_name: str | None = None) -> None:
        self.study = study
        self._bd_name = bd_name or study  # what BlackDynamite calls it
        self.loader = loader
        self.tid = b""
        self.runs: dict[int, Run] = {}
        self._owner: dict[bytes, int] = {}  # a record of a run's entries -> the run
        self._containers: dict[bytes, frozenset[int]] = {}  # a record of Runs -> its run ids
        self._written: Mapping[bytes, bytes] = {}  # by the transaction that is looked at

    def walk(self, tid: bytes) -> None:
        """Forget everything and read the study as it was just after ``tid``.

        Raises ``HistoryGone`` if that is no longer there, ``NotCreated`` if there is no such study.
        """
        self._written = {}
        self.runs.clear()
        self._owner.clear()
        self._containers.clear()
        container = self._find_runs(tid)
        self._add_runs(self._read_container([container], tid), tid)
        self.tid = tid

    def apply(
        self, tid: bytes, oids: Iterable[bytes], records: Mapping[bytes, bytes] | None = None
    ) -> list[Change]:
        """The state changes of one transaction, by run id; none if it is known already.

        ``records`` are the transaction's own, if the caller has them; else they are loaded.
        Raises ``HistoryGone`` if they cannot be.
        """
        if tid <= self.tid:
            return []
        oids = list(oids)
        touched = [oid for oid in oids if oid in self._containers]
        entries = [oid for oid in oids if oid in self._owner]
        if records is None:
            # Runs that were made are among what a small transaction has written.
            wanted = oids if touched and len(oids) <= FEW else [*touched, *entries]
            loaded = zip(wanted, self.loader.written_by(wanted, tid), strict=True)
            records = {oid: data for oid, data in loaded if data is not None}
        self._written = records
        changes = self._container_changes(touched, tid) if touched else []
        changes += self._entry_changes(entries, tid)
        self._written = {}
        self.tid = tid
        return sorted(changes, key=lambda change: change.run_id)

    def _find_runs(self, tid: bytes) -> bytes:
        def state(oid: bytes) -> Any:
            return decode(self._at([oid], tid)[0])[1]

        def items(tree: Ref) -> dict[Any, Any]:
            root = node(self._at([tree.oid], tid)[0])
            leaves = [root]
            while leaves[0].children:
                leaves = [
                    node(data) for leaf in leaves for data in self._at(list(leaf.children), tid)
                ]
            return {key: value for leaf in leaves for key, value in leaf.items}

        root = state(bytes(8))["data"]
        if "schemas" not in root:
            raise NotCreated(f"study {self.study}: the database holds no study")
        schemas = items(state(root["schemas"].oid)["entries"])
        schema = schema_among(schemas, self._bd_name, self.study)
        if schema is None:
            raise NotCreated(f"study {self.study}: the database holds {sorted(schemas)} only")
        content = items(state(schemas[schema].oid)["entries"])
        runs = content["runs" if "runs" in content else "Runs"]
        oid: bytes = state(runs.oid)["entries"].oid
        return oid

    def _at(self, oids: Sequence[bytes], tid: bytes) -> list[bytes]:
        missing = [oid for oid in oids if oid not in self._written]
        loaded = zip(missing, self.loader.at(missing, tid) if missing else (), strict=True)
        records = {**self._written, **dict(loaded)}
        return _present(records[oid] for oid in oids)

    def _read_container(self, oids: list[bytes], tid: bytes) -> dict[int, bytes]:
        """Read container records and those below that are new; the runs they hold, by id."""
        runs: dict[int, bytes] = {}
        while oids:
            below: list[bytes] = []
            for oid, data in zip(oids, self._at(oids, tid), strict=True):
                record = node(data)
                held = {key: value.oid for key, value in record.items}
                self._containers[oid] = frozenset(held)
                runs |= held
                below += [child for child in record.children if child not in self._containers]
            oids = below
        return runs

    def _container_changes(self, touched: list[bytes], tid: bytes) -> list[Change]:
        before = frozenset[int]().union(*(self._containers[oid] for oid in touched))
        now = self._read_container(touched, tid)
        changes = []
        new = {run_id: oid for run_id, oid in now.items() if run_id not in self.runs}
        if new:
            self._add_runs(new, tid)
            changes += [Change(run_id, None, self.runs[run_id].state) for run_id in sorted(new)]
        for run_id in sorted(before - now.keys()):
            if run := self.runs.pop(run_id, None):
                changes.append(Change(run_id, run.state, None))
        return changes

    def _add_runs(self, runs: Mapping[int, bytes], tid: bytes) -> None:
        ids = list(runs)
        level: list[tuple[int, bytes]] = []
        for run_id, data in zip(ids, self._at([runs[i] for i in ids], tid), strict=True):
            self.runs[run_id] = Run()
            level.append((run_id, decode(data)[1]["entries"].oid))
        self._read_entries(level, tid)

    def _read_entries(self, level: list[tuple[int, bytes]], tid: bytes) -> None:
        """Read records of runs' entries, and those below that are new; note what they hold."""
        while level:
            below: list[tuple[int, bytes]] = []
            records = self._at([oid for _, oid in level], tid)
            for (run_id, oid), data in zip(level, records, strict=True):
                self._owner[oid] = run_id
                record = node(data)
                below += self._fresh(run_id, record)
                self._note(run_id, record)
            level = below

    def _fresh(self, run_id: int, record: Node) -> list[tuple[int, bytes]]:
        return [(run_id, child) for child in record.children if child not in self._owner]

    def _note(self, run_id: int, record: Node) -> None:
        run = self.runs[run_id]
        for key, value in record.items:
            if key == "state":
                run.state = _text(value)
            # What it was created with: nothing else that a script may write there.
            elif key == "run_name" and isinstance(value, str):
                run.run_name = value
            elif key == "job_id" and isinstance(value, int):
                run.job_id = value
            elif key == "event_name" and isinstance(value, str):
                run.event_name = value

    def _entry_changes(self, oids: list[bytes], tid: bytes) -> list[Change]:
        changes = []
        records = _present(self._written.get(oid) for oid in oids)
        for oid, record in zip(oids, records, strict=True):
            run_id = self._owner[oid]
            if run_id not in self.runs:
                continue  # deleted in this very transaction
            old = self.runs[run_id].state
            leaf = node(record)
            self._read_entries(self._fresh(run_id, leaf), tid)
            self._note(run_id, leaf)
            new = self.runs[run_id].state
            if new != old:
                changes.append(Change(run_id, old, new))
        return changes


def _text(value: Any) -> str | None:
    """A state or name as messages tell it, whatever a run has in its place."""
    return value if isinstance(value, str | None) else str(value)


def _present(data: Iterable[bytes | None]) -> list[bytes]:
    records = list(data)
    if any(item is None for item in records):
        raise HistoryGone("a record is no longer in the database")
    return records  # type: ignore[return-value]  # none is None
