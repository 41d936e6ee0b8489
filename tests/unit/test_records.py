"""Decoding BlackDynamite's records, and following a study's runs transaction by transaction."""

import datetime
from pathlib import Path

import pytest
import transaction
import ZODB
from BTrees.OOBTree import OOBTree
from persistent import Persistent
from persistent.mapping import PersistentMapping
from ZODB.DemoStorage import DemoStorage
from ZODB.MappingStorage import MappingStorage
from ZODB.POSException import POSKeyError
from ZODB.utils import p64, u64, z64

from motoko.bd.base import StudyBase
from motoko.bd.tasks import TaskCreator
from motoko.config import load
from motoko.errors import NotCreated
from motoko.workers.records import Ref, decode, node
from motoko.workers.run_index import Change, HistoryGone, RunIndex

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
        self.storage = storage or MappingStorage()
        self.base = StudyBase(self.config, ZODB.DB(self.storage), "me_mult")
        job, run = self.base.Job(), self.base.Run()
        job.types["x"] = float
        self.base.createBase(job, run, yes=True)
        self.creator = TaskCreator(self.base)
        self.index = self.fresh()

    def fresh(self):
        index = RunIndex("mult", Loader(self.storage))
        index.walk(self.storage.lastTransaction())
        return index

    def create(self, values, run_name="a"):
        run = {"machine_name": "localhost", "nproc": 1, "run_name": run_name}
        made = self.creator.create(
            [{"x": float(x)} for x in values],
            run,
            executable=self.config.directory / "launch.sh",
            files=[],
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
        return {number: run.state for number, run in (index or self.index).runs.items()}

    def check(self):
        """The index knows what the database holds, as a new walk does."""
        truth = {number: run.entries.get("state") for number, run in self.base.runs.entries.items()}
        assert self.states() == truth
        assert self.states(self.fresh()) == truth


@pytest.fixture
def study(tmp_path):
    transaction.abort()
    made = Study(tmp_path)
    yield made
    made.base.close()


@pytest.fixture(params=[True, False], ids=["log", "push"])
def both(request, study):
    """A study that is followed by records of its log, and by pushes of oids alone."""
    follow = study.follow
    study.follow = lambda: follow(request.param)
    return study


class Own(Persistent):
    pass


class TestDecode:
    def stored(self, obj):
        """The record of an object that was stored as the root's ``it``."""
        db = ZODB.DB(MappingStorage())
        manager = transaction.TransactionManager()
        with db.transaction() as connection:
            connection.root()["it"] = obj
        connection = db.open(manager)
        return db.storage.load(connection.root()["it"]._p_oid)[0]

    def test_no_code_of_ours_runs(self):
        thing = Own()
        thing.when = datetime.datetime(2024, 1, 2)
        thing.child = PersistentMapping()
        thing.pure = Path("/a")
        name, state = decode(self.stored(thing))
        assert name.endswith(".Own")
        assert state["when"] == datetime.datetime(2024, 1, 2)
        assert isinstance(state["child"], Ref)
        assert not isinstance(state["pure"], Path)

    @pytest.mark.parametrize("count", [0, 1, OLD])
    def test_small_trees(self, count):
        content = {f"k{i:03}": i for i in range(count)}
        found = node(self.stored(OOBTree(content)))
        assert dict(found.items) == content and found.children == ()

    def test_large_tree(self):
        found = node(self.stored(OOBTree({f"k{i:03}": i for i in range(OLD * 3)})))
        assert len(found.children) > 1 and found.items == ()
        assert all(len(oid) == 8 for oid in found.children)


class TestWalk:
    def test_empty(self, study):
        assert study.index.runs == {}

    @pytest.mark.parametrize("count", [1, OLD, 200])
    def test_all_runs(self, study, count):
        study.create(range(count))
        transaction.commit()
        assert study.index.runs == {}  # it was not told
        assert study.states(study.fresh()) == dict.fromkeys(range(1, count + 1), "CREATED")

    def test_what_is_kept(self, study):
        (run,) = study.create([1], run_name="é b")
        transaction.commit()
        (known,) = study.fresh().runs.values()
        assert (known.state, known.run_name, known.job_id) == ("CREATED", "é b", 1)
        assert run.entries["job_id"] == 1

    def test_of_the_past(self, study):
        study.create(range(3))
        study.follow()
        then = study.index.tid
        study.base.runs.entries[1].entries["state"] = "START"
        study.create(range(3, 60))
        transaction.commit()
        index = RunIndex("mult", Loader(study.storage))
        index.walk(then)
        assert study.states(index) == {1: "CREATED", 2: "CREATED", 3: "CREATED"}

    def test_no_study(self):
        db = ZODB.DB(MappingStorage())
        with pytest.raises(NotCreated):
            RunIndex("mult", Loader(db.storage)).walk(db.storage.lastTransaction())

    def test_another_study(self, study):
        index = RunIndex("norm", Loader(study.storage))
        with pytest.raises(NotCreated, match="me_mult"):
            index.walk(study.storage.lastTransaction())

    def test_before_there_was_anything(self, study):
        with pytest.raises((HistoryGone, NotCreated)):
            RunIndex("mult", Loader(study.storage)).walk(p64(1))


class TestTransitions:
    def test_creation(self, both):
        both.create([1, 2])
        assert both.follow() == [Change(1, None, "CREATED"), Change(2, None, "CREATED")]
        both.check()

    def test_creation_by_blackdynamite_itself(self, both):
        job, run = both.base.Job(), both.base.Run()
        job["x"] = 5.0
        both.base.insert(job)
        run["machine_name"], run["nproc"], run["run_name"] = "localhost", 1, "a"
        run["exec"] = "none"
        run.attachToJob(both.base.jobs.entries[1])
        assert both.follow() == [Change(1, None, "CREATED")]
        both.check()

    def test_many_at_once(self, both):
        both.create(range(200))
        assert [change.run_id for change in both.follow()] == list(range(1, 201))
        both.check()

    def test_one_by_one_over_splits(self, both):
        for number in range(1, 3 * OLD):
            both.create([number])
            assert both.follow() == [Change(number, None, "CREATED")]
        both.check()

    def test_each_state_in_order(self, both):
        (run,) = both.create([1])
        both.follow()
        old = "CREATED"
        for new in ("launched", "START", "FINISHED", "FORWARDED"):
            run.entries["state"] = new
            assert both.follow() == [Change(1, old, new)]
            old = new

    def test_blackdynamite_methods(self, both):
        (run,) = both.create([1])
        both.follow()
        run.start()
        run.finish()
        # Both of them commit by themselves.
        assert both.follow() == [Change(1, "CREATED", "START"), Change(1, "START", "FINISHED")]
        run.state = "FORWARDED"
        assert both.follow() == [Change(1, "FINISHED", "FORWARDED")]

    def test_other_entries_are_no_transition(self, both):
        (run,) = both.create([1])
        both.follow()
        run.entries["y"] = 3.0
        assert both.follow() == []
        run.entries["state"] = "CREATED"
        assert both.follow() == []

    def test_several_runs_in_one_transaction(self, both):
        runs = both.create(range(100))
        both.follow()
        for run in runs[10:20]:
            run.entries["state"] = "START"
        changes = both.follow()
        assert sorted(c.run_id for c in changes) == list(range(11, 21))
        assert {(c.old, c.new) for c in changes} == {("CREATED", "START")}

    @pytest.mark.parametrize("name", ["a{:03}", "z{:03}"], ids=["before", "after"])
    def test_more_than_a_leaf_of_entries(self, both, name):
        (run,) = both.create([1])
        both.follow()
        for number in range(4 * OLD):
            run.entries[name.format(number)] = number
            assert both.follow() == []
        for old, new in (("CREATED", "START"), ("START", "FINISHED")):
            run.entries["state"] = new
            assert both.follow() == [Change(1, old, new)]
        both.check()

    def test_split_and_state_at_once(self, both):
        (run,) = both.create([1])
        both.follow()
        run.entries.update({f"s{i:03}": i for i in range(5 * OLD)})
        run.entries["state"] = "START"
        assert both.follow() == [Change(1, "CREATED", "START")]
        run.entries["state"] = "FINISHED"
        assert both.follow() == [Change(1, "START", "FINISHED")]
        both.check()

    def test_emptied_leaves(self, both):
        (run,) = both.create([1])
        run.entries.update({f"s{i:03}": i for i in range(5 * OLD)})
        both.follow()
        for i in range(5 * OLD):
            del run.entries[f"s{i:03}"]
        assert both.follow() == []
        run.entries["state"] = "START"
        assert both.follow() == [Change(1, "CREATED", "START")]

    def test_deletion(self, both):
        both.create(range(5))
        both.follow()
        del both.base.runs.entries[3]
        assert both.follow() == [Change(3, "CREATED", None)]
        both.check()

    def test_deletion_in_a_large_study(self, both):
        both.create(range(100))
        both.follow()
        for number in (1, 50, 100):
            del both.base.runs.entries[number]
        assert sorted(c.run_id for c in both.follow()) == [1, 50, 100]
        for number in list(both.base.runs.entries):
            del both.base.runs.entries[number]
        assert len(both.follow()) == 97
        both.check()

    def test_changed_and_deleted_at_once(self, both):
        run, _ = both.create(range(2))
        both.follow()
        run.entries["state"] = "START"
        del both.base.runs.entries[1]
        assert both.follow() == [Change(1, "CREATED", None)]

    def test_created_and_changed_at_once(self, both):
        (first,) = both.create([1])
        both.follow()
        (second,) = both.create([2])
        second.entries["state"] = "START"
        first.entries["state"] = "START"
        changes = both.follow()
        assert sorted(changes, key=lambda c: c.run_id) == [
            Change(1, "CREATED", "START"),
            Change(2, None, "START"),
        ]

    def test_late_deletion_is_of_the_transaction(self, both):
        # A split moves runs from one leaf to a new one: none of them is gone.
        both.create(range(OLD))
        both.follow()
        both.create(range(OLD, 2 * OLD))
        assert all(change.new == "CREATED" for change in both.follow())
        both.check()


class TestApply:
    def test_twice_is_nothing(self, study):
        study.create([1])
        study.follow()
        tid = study.index.tid
        assert study.index.apply(tid, [z64]) == []
        assert study.index.apply(p64(u64(tid) - 1), [z64]) == []
        assert study.index.tid == tid

    def test_of_no_concern_reads_nothing(self, study):
        study.create([1])
        study.follow()
        study.index.loader.read.clear()
        study.base.root()["other"] = 1
        transaction.commit()
        tid = study.storage.lastTransaction()
        assert study.index.apply(tid, [z64, p64(10**6)]) == []
        assert study.index.tid == tid and study.index.loader.read == []

    def test_one_state_reads_one_record(self, study):
        (run, *_) = study.create(range(200))
        study.follow()
        study.index.loader.read.clear()
        run.entries["state"] = "START"
        assert len(study.follow(with_records=False)) == 1
        assert len(study.index.loader.read) == 1

    def test_packed_revision(self, study):
        (run,) = study.create([1])
        study.follow()
        run.entries["state"] = "START"
        transaction.commit()
        tid, oid = study.storage.lastTransaction(), run.entries._p_oid
        run.entries["state"] = "FINISHED"
        transaction.commit()
        study.base.db.pack()
        with pytest.raises(HistoryGone):
            study.index.apply(tid, [oid])

    def test_over_a_demo_storage(self, tmp_path):
        transaction.abort()
        study = Study(tmp_path, DemoStorage())
        (run,) = study.create([1])
        transaction.commit()
        index = study.fresh()
        run.entries["state"] = "START"
        transaction.commit()
        tid = study.storage.lastTransaction()
        assert index.apply(tid, [run.entries._p_oid]) == [Change(1, "CREATED", "START")]
        study.base.close()
