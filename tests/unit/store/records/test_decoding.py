"""Decoding BlackDynamite's records, and following a study's runs transaction by transaction."""

import datetime
import re
import signal
import uuid
from collections import Counter, OrderedDict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy
import pandas
import pytest
import transaction
import ZODB
from BTrees.OOBTree import OOBTree
from persistent import Persistent
from persistent.mapping import PersistentMapping
from record_databases import OLD, index_of
from ZODB.MappingStorage import MappingStorage
from ZODB.utils import p64

from motoko.errors import NotCreated
from motoko.mirror.run_index import HistoryGone
from motoko.store.records import Ref, decode, node


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
        assert "datetime" in type(state["when"]).__name__
        assert isinstance(state["child"], Ref)
        assert not isinstance(state["pure"], Path)

    @pytest.mark.parametrize(
        "value",
        [
            datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
            datetime.timedelta(1),
            Decimal("0.1"),
            Fraction(1, 3),
            numpy.arange(3.0),
            numpy.float64(0.5),
            pandas.Timestamp("2024-01-02", tz="UTC"),
            pandas.DataFrame({"a": [1, 2]}),
            uuid.UUID(int=1),
            Path("/a"),
            {1, 2},
            frozenset([1]),
            Counter("aab"),
            OrderedDict(a=1),
            signal.SIGINT,
            re.compile("a"),
            range(3),
            print,
            int,
        ],
        ids=repr,
    )
    def test_values_of_any_type_are_passed_over(self, value):
        """Values that cannot be decoded are skipped: the watcher needs states alone."""
        thing = Own()
        thing.before, thing.value, thing.state = 1, [value], "START"
        assert decode(self.stored(thing))[1]["state"] == "START"

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
        assert study.states() == {}

    @pytest.mark.parametrize("count", [1, OLD, 200])
    def test_all_runs(self, study, count):
        study.create(range(count))
        transaction.commit()
        assert study.states() == {}  # it was not told
        assert study.states(study.fresh()) == dict.fromkeys(range(1, count + 1), "CREATED")

    def test_what_is_kept(self, study):
        (run,) = study.create([1], run_name="é b")
        transaction.commit()
        ((_, known),) = study.fresh().tables.runs()
        assert (known.state, known.run_name, known.job_id) == ("CREATED", "é b", 1)
        assert run.entries["job_id"] == 1

    def test_of_the_past(self, study):
        study.create(range(3))
        study.follow()
        then = study.index.tid
        study.base.runs.entries[1].entries["state"] = "START"
        study.create(range(3, 60))
        transaction.commit()
        index = index_of(study.storage)
        index.walk(then)
        assert study.states(index) == {1: "CREATED", 2: "CREATED", 3: "CREATED"}

    def test_no_study(self):
        db = ZODB.DB(MappingStorage())
        with pytest.raises(NotCreated):
            index_of(db.storage).walk(db.storage.lastTransaction())

    def test_another_study(self, study):
        index = index_of(study.storage, "norm")
        with pytest.raises(NotCreated, match="me_mult"):
            index.walk(study.storage.lastTransaction())

    def test_before_there_was_anything(self, study):
        with pytest.raises((HistoryGone, NotCreated)):
            index_of(study.storage).walk(p64(1))
