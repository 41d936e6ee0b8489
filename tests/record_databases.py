"""Decoding BlackDynamite's records, and following a study's runs transaction by transaction."""

from pathlib import Path

import transaction
import ZODB
from mirrors import values_of
from ZODB.MappingStorage import MappingStorage
from ZODB.POSException import POSKeyError
from ZODB.utils import p64, u64

from motoko.config import load
from motoko.mirror.mirror_file import Mirror
from motoko.mirror.mirror_tables import JOBS, RUNS
from motoko.mirror.mirrored_rows import rows
from motoko.mirror.run_index import RunIndex
from motoko.store.base import StudyBase
from motoko.store.task_creator import TaskCreator

OLD = 30  # items a leaf of an OOBTree holds before it splits


class Loader:
    """What the watcher's storage offers, over any storage."""

    def __init__(self, storage):
        self.storage = storage
        self.read = []

    def at(self, oids, tid):
        self.read += oids
        return [self._before(oid, p64(u64(tid) + 1)) for oid in oids]

    def _before(self, oid, tid):
        try:
            found = self.storage.loadBefore(oid, tid)
        except POSKeyError:
            return None
        return found and found[0]

    def written_by(self, oids, tid):
        self.read += oids
        found = []
        for oid in oids:
            try:
                found.append(self.storage.loadSerial(oid, tid))
            except POSKeyError:
                found.append(None)
        return found


def difference(mirrored, true):
    """Where two tables differ, for people."""
    for number in mirrored.keys() | true.keys():
        one, other = mirrored.get(number, {}), true.get(number, {})
        for name in one.keys() | other.keys():
            if one.get(name) != other.get(name):
                return f"{number}: {name}: {one.get(name)!r} mirrored, {other.get(name)!r} true"
    return None


def records_of(index):
    """What an index knows of the database's records."""
    query = (
        "SELECT oid, owner, name_sets.names, below "
        "FROM records JOIN name_sets ON name_sets.id = records.names"
    )
    return sorted(index.tables.connection.execute(query))


def index_of(storage, name="mult"):
    """An index of a study that nothing is known of yet."""
    return RunIndex(name, Loader(storage), Mirror.in_memory().tables)


class Study:
    """A study in memory, written by BlackDynamite's classes, and an index that follows it."""

    def __init__(self, directory: Path, storage=None):
        (directory / "mult" / ".bd").mkdir(parents=True)
        (directory / "motoko.yaml").write_text(
            "task_managers:\n  mult:\norchestrator: orchestrator.main\n"
        )
        for name, text in {
            "bd.yaml": "study: mult\njob:\n  x: float\n",
            "launch.sh": "true\n",
            "doIt.py": "",
        }.items():
            (directory / "mult" / name).write_text(text)
        self.config = load(directory).studies["mult"]
        self.storage = MappingStorage() if storage is None else storage
        self.base = StudyBase(self.config, ZODB.DB(self.storage), "me_mult")
        job, run = self.base.Job(), self.base.Run()
        job.types["x"] = float
        self.base.createBase(job, run, yes=True)
        self.creator = TaskCreator(self.base)
        self.index = self.fresh()

    def fresh(self):
        index = index_of(self.storage)
        index.walk(self.storage.lastTransaction())
        return index

    def create(self, values, run_name="a"):
        run = {"machine_name": "localhost", "nproc": 1, "run_name": run_name}
        made = self.creator.create(
            [{"x": float(x)} for x in values],
            run,
            identity=["run_name"],
        )
        return [run for run, _ in made]

    def follow(self, with_records=True):
        """Commit, and what the index makes of it: as from the log, or as from a push."""
        transaction.commit()
        changes = []
        for record in self.storage.iterator(p64(u64(self.index.tid) + 1)):
            records = {each.oid: each.data for each in record}
            changes += self.index.apply(record.tid, records, records if with_records else None)
        return changes

    def states(self, index=None):
        return {number: run.state for number, run in (index or self.index).tables.runs()}

    def check(self):
        """The index knows what the database holds, as a new walk does."""
        states = {n: run.entries.get("state") for n, run in self.base.runs.entries.items()}
        truth = {number: state if state is None else str(state) for number, state in states.items()}
        assert self.states() == truth
        fresh = self.fresh()
        assert self.states(fresh) == truth
        for index in (self.index, fresh):
            for table, objects in ((RUNS, self.base.runs), (JOBS, self.base.jobs)):
                true = {number: values_of(each) for number, each in objects.entries.items()}
                mirrored = dict(rows(index.tables, table))
                assert mirrored == true, difference(mirrored, true)
        assert records_of(self.index) == records_of(fresh)
