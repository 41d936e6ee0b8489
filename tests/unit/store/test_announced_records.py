"""Who is told of which records that a server announces."""

import pytest
import transaction

from motoko.store.announced_records import Announcement, Announcements, records_of_state
from motoko.store.task_creator import TaskCreator

TID = b"\0" * 7 + b"\1"


class TestAnnouncements:
    def test_listeners_are_told_once_of_what_they_listen_to(self):
        announcements, told = Announcements(), []
        announcements.listen([b"a", b"b"], told.append, "first")
        announcements.listen([b"c"], told.append, "second")
        announcements.announce(TID, [b"x", b"b", b"a", b"c"])
        assert told == [Announcement(TID, [b"x", b"b", b"a", b"c"], ("first", "second"))]
        announcements.announce(TID, [b"x"])
        assert len(told) == 1

    def test_several_listen_to_one_record(self):
        announcements, first, second = Announcements(), [], []
        announcements.listen([b"a"], first.append)
        announcements.listen([b"a"], second.append)
        announcements.ignore([b"a", b"b"], first.append)
        announcements.announce(TID, [b"a"])
        assert not first and len(second) == 1


@pytest.mark.parametrize("entries", [0, 100], ids=["small", "large"])
def test_a_change_of_the_state_writes_one_of_its_records(base, entries):
    run = {"nproc": 1, "run_name": "r", "machine_name": "localhost", "state": "CREATED"}
    TaskCreator(base).create([{"x": 1}], run, identity=[*run])
    transaction.commit()
    run = base.runs.entries[1].entries
    run.update({f"value{number}": number for number in range(entries)})
    transaction.commit()
    expected = records_of_state(run)
    run["state"] = "FINISHED"
    written = {obj._p_oid for obj in base.connection._registered_objects}
    assert written and written <= set(expected)
    assert len(set(expected)) == (2 if entries else 1)
    transaction.abort()
