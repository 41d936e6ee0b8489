"""How many jobs a workflow may have in the queue, over all its launchers."""

from motoko.workers.batch.room import Room


def test_shared(tmp_path):
    a, b = (Room(tmp_path, name, ["a", "b"], 5) for name in "ab")
    with a.locked():
        assert a.free(0) == 5
        a.note(3)
    with b.locked():
        assert (b.free(0), b.free(1)) == (2, 1)
        b.note(2)
    assert (a.free(3), a.free(1), b.free(4)) == (0, 2, 0)
    # The note of a launcher that is dead stays, and its successor counts again.
    again = Room(tmp_path, "a", ["a", "b"], 5)
    again.note(0)
    assert b.free(2) == 3


def test_unlimited(tmp_path):
    room = Room(tmp_path / "batch", "a", ["a"], None)
    with room.locked():
        room.note(1000)
        assert room.free(1000) is None


def test_what_is_no_note_counts_as_nothing(tmp_path):
    room = Room(tmp_path, "a", ["a", "b"], 2)
    (tmp_path / "jobs-b").write_text("")
    assert room.free(1) == 1
