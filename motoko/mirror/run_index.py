"""Following a study's runs and jobs in its database, transaction by transaction, in a mirror.

No sockets and no threads here: records come from a :class:`Loader`, transitions go out as return
values.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Protocol

from motoko.errors import NotCreated
from motoko.mirror.columns import JOBS, RUNS, Name, Owner, Run
from motoko.mirror.mirror_tables import Holding, Members, MirrorTables
from motoko.mirror.scalars import can_be_stored
from motoko.store.records import Ref, decode, node, node_of
from motoko.store.schemas import schema_among


class Loader(Protocol):
    """Reads many records at once."""

    def at(self, oids: Sequence[bytes], tid: bytes) -> list[bytes | None]:
        """Each record as it was just after ``tid``; ``None`` if it was not there."""

    def written_by(self, oids: Sequence[bytes], tid: bytes) -> list[bytes | None]:
        """Each record exactly as transaction ``tid`` wrote it; ``None`` if that is gone."""


FEW = 64  # if a transaction has no more records, all of them are read at once
TOGETHER = 1_000  # runs that are read at once
NODES_TOGETHER = 32  # records of all runs that are read at once
# Attributes that BlackDynamite keeps for each run and job besides its entries.
NO_VALUES = frozenset(
    {"entries", "key_string", "optional", "operators", "base"}
    | {"types", "configfiles", "quantities", "runs"}
)


class HistoryGone(Exception):
    """A revision is no longer in the database, which was packed or replaced by another one."""


@dataclass(frozen=True)
class Change:
    """One run's state before and after a transaction; ``None`` if there was no such run.

    Attributes:
        run: the run, as it was just after the transaction; ``None`` if it was deleted.
    """

    run_id: int
    old: str | None
    new: str | None
    run: Run | None = field(default=None, compare=False)


@dataclass
class _Reading:
    """What records of one run or job hold, as they are read.

    Attributes:
        values: all of them.
        before: names that these records held before, or that records dropped since held.
        held: what each record holds now.
        away: records that these records led to before, and lead to no more.
    """

    values: dict[Name, Any] = field(default_factory=dict)
    before: set[Name] = field(default_factory=set)
    held: dict[int, Holding] = field(default_factory=dict)
    away: set[int] = field(default_factory=set)


class RunIndex:
    """The runs of one study, followed transaction by transaction.

    The mirror's tables hold all that is known; the caller decides when they are committed.

    Attributes:
        tid: the newest transaction that is known.
    """

    def __init__(
        self, study: str, loader: Loader, tables: MirrorTables, bd_name: str | None = None
    ) -> None:
        self.study = study
        self._bd_name = bd_name or study  # what BlackDynamite calls it
        self.loader = loader
        self.tables = tables
        self.tid = bytes.fromhex(tables.meta().get("tid", ""))
        self._written: Mapping[bytes, bytes] = {}  # by the transaction that is being applied

    def walk(self, tid: bytes) -> None:
        """Forget everything and read the study as it was just after ``tid``.

        Raises ``HistoryGone`` if that is no longer there, ``NotCreated`` if there is no such study.
        """
        self._written = {}
        self.tid = b""
        self.tables.clear()
        runs, jobs = self._containers(tid)
        if self.tables.with_values:
            self._add_all(JOBS, jobs, tid)
        self._add_all(RUNS, runs, tid)
        self._stand_at(tid)

    def apply(
        self, tid: bytes, oids: Iterable[bytes], records: Mapping[bytes, bytes] | None = None
    ) -> list[Change]:
        """The state changes of one transaction, by run id; none if it is known already.

        ``records`` are the transaction's own, if the caller has them; else they are loaded.
        Raises ``HistoryGone`` if they cannot be loaded; the tables are incomplete then.
        """
        if tid <= self.tid:
            return []
        oids = list(oids)
        touched: dict[int, list[int]] = {RUNS: [], JOBS: []}
        changed: dict[Owner, dict[int, Holding]] = defaultdict(dict)
        for oid in map(_number, oids):
            if (holding := self.tables.holding(oid)) is not None:
                changed[holding[0]][oid] = holding[1]
            elif (members := self.tables.members(oid)) is not None:
                touched[members[0]].append(oid)
        if records is None:
            # Records of new runs are among those that a small transaction has written.
            any_touched = any(touched.values())
            concerned = [oid for held in changed.values() for oid in held]
            concerned += [oid for numbers in touched.values() for oid in numbers]
            wanted = oids if any_touched and len(oids) <= FEW else [*map(_oid, concerned)]
            loaded = zip(wanted, self.loader.written_by(wanted, tid), strict=True)
            records = {oid: data for oid, data in loaded if data is not None}
        self._written = records
        changes: list[Change] = []
        for table in (JOBS, RUNS):
            if touched[table]:
                made, owners = self._members_changed(table, touched[table], tid)
                changes += made
                for owner in owners:
                    changed.pop(owner, None)
        changes += self._values_changed(changed, tid)
        self._written = {}
        self._stand_at(tid)
        return sorted(changes, key=lambda change: change.run_id)

    def _stand_at(self, tid: bytes) -> None:
        self.tid = tid
        self.tables.stand_at(tid)

    def _containers(self, tid: bytes) -> tuple[int, int]:
        """The records of all runs, and of all jobs."""

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

        def of(kind: str) -> int:
            container = content[kind if kind in content else kind.capitalize()]
            return _number(state(container.oid)["entries"].oid)

        return of("runs"), of("jobs")

    def _at(self, oids: Sequence[bytes], tid: bytes) -> list[bytes]:
        missing = [oid for oid in oids if oid not in self._written]
        loaded = zip(missing, self.loader.at(missing, tid) if missing else (), strict=True)
        records = {**self._written, **dict(loaded)}
        return _present(records[oid] for oid in oids)

    # All runs, or jobs

    def _add_all(self, table: int, container: int, tid: bytes) -> None:
        """Read all runs or jobs, some at a time: there may be millions."""
        nodes, new = [container], dict[int, int]()
        while nodes:
            together, nodes = nodes[:NODES_TOGETHER], nodes[NODES_TOGETHER:]
            for _, below, held in self._read_members(table, together, tid):
                nodes[:0] = below
                new |= held
            if len(new) >= TOGETHER or not nodes:
                self._add(table, new, tid)
                new = {}

    def _read_members(
        self, table: int, oids: list[int], tid: bytes
    ) -> list[tuple[int, tuple[int, ...], dict[int, int]]]:
        """What container records hold now: the records below, and runs' records by number."""
        content = []
        for oid, data in zip(oids, self._at([*map(_oid, oids)], tid), strict=True):
            record = node(data)
            below = tuple(map(_number, record.children))
            held = {
                key: _number(value.oid)
                for key, value in record.items
                if type(key) is int and isinstance(value, Ref)
            }
            self.tables.hold_members(oid, table, Members(tuple(held), below))
            content.append((oid, below, held))
        return content

    def _members_changed(
        self, table: int, touched: list[int], tid: bytes
    ) -> tuple[list[Change], set[Owner]]:
        """Take in runs or jobs that were made or deleted. Returns the changes, and these owners."""
        before, away, now = set[int](), set[int](), dict[int, int]()
        kept, oids = set[int](), list(touched)
        while oids:
            below_new: list[int] = []
            for oid in oids:
                if (known := self.tables.members(oid)) is not None:
                    before.update(known[1].numbers)
                    away.update(known[1].below)
            for _, below, held in self._read_members(table, oids, tid):
                now |= held
                kept.update(below)
                below_new += [child for child in below if self.tables.members(child) is None]
            oids = below_new
        self._leave(away - kept, before)
        new = {
            number: record
            for number, record in now.items()
            if self.tables.record(Owner(table, number)) != record
        }
        olds = {
            number: self.tables.run(number) if table == RUNS else None
            for number in (before - now.keys()) | new.keys()
        }
        for number in olds:
            self.tables.remove(Owner(table, number))
        self._add(table, new, tid)
        changes = []
        for number, old in olds.items() if table == RUNS else ():
            run = self.tables.run(number)
            if (old is None) != (run is None) or (old and run and old.state != run.state):
                changes.append(_change(number, old, run))
        return changes, {Owner(table, number) for number in olds}

    def _leave(self, oids: set[int], before: set[int]) -> None:
        """Drop containers that nothing leads to any more; add their numbers to ``before``."""
        while oids:
            known = [members for oid in oids if (members := self.tables.members(oid))]
            self.tables.drop_containers(oids)
            before.update(number for _, members in known for number in members.numbers)
            oids = {oid for _, members in known for oid in members.below}

    def _add(self, table: int, records: Mapping[int, int], tid: bytes) -> None:
        """Add new runs or jobs, with all that they hold; ``records`` are theirs by number."""
        readings: dict[Owner, _Reading] = {}
        level = []
        for number, record in records.items():
            owner = Owner(table, number)
            self.tables.add(owner, record)
            readings[owner] = _Reading()
            level.append((owner, record))
        self._read(level, readings, tid)
        for owner, reading in readings.items():
            self._write(owner, reading)

    # What a run or a job holds

    def _read(
        self, level: list[tuple[Owner, int]], readings: Mapping[Owner, _Reading], tid: bytes
    ) -> None:
        """Read records of runs and jobs, and those below that are not known yet."""
        while level:
            below: list[tuple[Owner, int]] = []
            records = self._at([_oid(oid) for _, oid in level], tid)
            for (owner, oid), data in zip(level, records, strict=True):
                reading = readings[owner]
                values, children = _content(data)
                self._note(reading, oid, values, children)
                for child in children:
                    known = self.tables.holding(child)
                    if known is None or known[0] != owner:
                        below.append((owner, child))
            level = below

    def _note(
        self, reading: _Reading, oid: int, values: dict[Name, Any], children: tuple[int, ...]
    ) -> None:
        reading.values.update(values)
        reading.held[oid] = Holding(frozenset(values), children)

    def _write(
        self,
        owner: Owner,
        reading: _Reading,
        held: Mapping[int, Holding] | None = None,
        old: Run | None = None,
    ) -> dict[str, Any]:
        """Write what was read; ``held`` and ``old`` are what is written already."""
        for oid, holding in reading.held.items():
            if held is None or held.get(oid) != holding:
                self.tables.hold(oid, owner, holding)
        return self.tables.write(owner, reading.values, reading.before - reading.values.keys(), old)

    def _values_changed(
        self, changed: Mapping[Owner, Mapping[int, Holding]], tid: bytes
    ) -> list[Change]:
        """Take in runs and jobs whose records were written. Returns the changes of state."""
        changes = []
        for owner, held in changed.items():
            old = self.tables.run(owner.number) if owner.table == RUNS else None
            reading = _Reading()
            for holding in held.values():
                reading.before |= holding.names
                reading.away.update(holding.below)
            _present(self._written.get(_oid(oid)) for oid in held)
            self._read([(owner, oid) for oid in held], {owner: reading}, tid)
            for holding in reading.held.values():
                reading.away.difference_update(holding.below)
            self._drop(reading)
            own = self._write(owner, reading, held, old)
            if old is not None:
                run = replace(old, **own)
                if old.state != run.state:
                    changes.append(_change(owner.number, old, run))
        return changes

    def _drop(self, reading: _Reading) -> None:
        """Forget records that nothing leads to any more."""
        oids = reading.away
        while oids:
            known = [holding for oid in oids if (holding := self.tables.holding(oid))]
            self.tables.drop_records(oids)
            for oid in oids:
                reading.held.pop(oid, None)
            reading.before.update(name for _, held in known for name in held.names)
            oids = {oid for _, held in known for oid in held.below}


def _content(data: bytes) -> tuple[dict[Name, Any], tuple[int, ...]]:
    """The values in a record of a run or job, and the records below it."""
    cls, state = decode(data)
    if isinstance(state, dict):  # the run or job itself
        values = {
            key: value
            for name, value in state.items()
            if name not in NO_VALUES and (key := _name(True, name)) is not None
        }
        entries = state.get("entries")
        if isinstance(entries, Ref):
            return values, (_number(entries.oid),)
        items = entries.items() if isinstance(entries, dict) else ()
        return values | _entries(items), ()
    record = node_of(cls, state)
    return _entries(record.items), tuple(map(_number, record.children))


def _entries(items: Iterable[tuple[Any, Any]]) -> dict[Name, Any]:
    return {key: value for name, value in items if (key := _name(False, name)) is not None}


def _name(is_attribute: bool, name: Any) -> Name | None:
    """The mirror's name for a value; ``None`` if the mirror cannot keep it."""
    return _known_name(is_attribute, name) if type(name) is str else None


@lru_cache(maxsize=10_000)
def _known_name(is_attribute: bool, name: str) -> Name | None:
    return Name(is_attribute, name) if can_be_stored(name) else None


def _change(number: int, old: Run | None, run: Run | None) -> Change:
    return Change(number, old.state if old else None, run.state if run else None, run)


def _present(data: Iterable[bytes | None]) -> list[bytes]:
    records = list(data)
    if any(item is None for item in records):
        raise HistoryGone("a record is no longer in the database")
    return records  # type: ignore[return-value]  # none is None


def _number(oid: bytes) -> int:
    return int.from_bytes(oid, "big")


def _oid(number: int) -> bytes:
    return number.to_bytes(8, "big")
