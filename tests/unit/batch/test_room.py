"""How many jobs a workflow may have in the queue, over all its launchers."""

import pytest

from motoko.batch.queue_room import Room, counted


@pytest.fixture
def rooms(tmp_path):
    return [Room(tmp_path, name, ["a", "b"], 5) for name in "ab"]


def test_never_more_than_the_limit(rooms):
    a, b = rooms
    assert (a.take(0, 3), b.take(0, 9), a.take(3, 9), b.take(2, 1)) == (3, 2, 0, 0)


def test_what_ends_makes_room(rooms, tmp_path):
    a, b = rooms
    assert (a.take(0, 5), b.take(0, 1)) == (5, 0)
    a.note(4, waiting=False)
    assert (counted(tmp_path, ["a", "b"]), b.take(0, 3)) == (4, 1)


def test_shares(rooms):
    """A study that has most of the room leaves what becomes free to one that waits."""
    a, b = rooms
    assert (a.take(0, 9), b.take(0, 9)) == (5, 0)
    a.note(4, waiting=True)
    assert a.take(4, 5) == 0
    assert b.take(0, 9) == 1
    a.note(2, waiting=True)
    assert (b.take(1, 9), a.take(2, 9)) == (1, 0)
    b.note(0, waiting=False)
    assert a.take(2, 9) == 3


def test_the_note_of_a_dead_launcher_stays(rooms, tmp_path):
    a, b = rooms
    assert a.take(0, 3) == 3
    again = Room(tmp_path, "a", ["a", "b"], 5)
    assert b.take(0, 9) == 2
    again.note(0, waiting=False)
    assert b.take(2, 9) == 3


def test_unlimited(tmp_path):
    room = Room(tmp_path / "batch", "a", ["a"], None)
    assert room.take(1000, 1000) == 1000 and not (tmp_path / "batch").exists()


def test_what_is_no_note_counts_as_nothing(tmp_path):
    room = Room(tmp_path, "a", ["a", "b"], 2)
    (tmp_path / "jobs-b").write_text("")
    assert room.take(1, 5) == 1
