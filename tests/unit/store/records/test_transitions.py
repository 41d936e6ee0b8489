"""Decoding BlackDynamite's records, and following a study's runs transaction by transaction."""

from dataclasses import astuple

import numpy as np
import pytest
import transaction
from record_databases import OLD, Study
from ZODB.DemoStorage import DemoStorage
from ZODB.utils import p64, u64, z64

from motoko.mirror.run_index import Change, HistoryGone


@pytest.fixture(params=[True, False], ids=["log", "push"])
def both(request, study):
    """A study that is followed by records of its log, and by pushes of oids alone."""
    follow = study.follow
    study.follow = lambda: follow(request.param)
    return study


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

    @pytest.mark.parametrize("state", [3, [1, 2], {"a": 1}, np.array([1.0, 2.0])])
    def test_what_is_no_state(self, study, state):
        """A state that is no text is published as one, once, and the next state follows."""
        (run,) = study.create([1])
        study.follow()
        run.entries.update({"state": state, "run_name": ["a"]})
        transaction.commit()
        ((number, old, told, _),) = [astuple(change) for change in study.follow()]
        assert (number, old) == (1, "CREATED") and isinstance(told, str)
        run.entries["note"] = 1
        transaction.commit()
        assert study.follow() == []
        run.entries["state"] = "FINISHED"
        transaction.commit()
        assert study.follow() == [Change(1, told, "FINISHED")]

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
