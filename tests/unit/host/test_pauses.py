"""Pauses between attempts grow up to a limit, and are not the same for everybody."""

from motoko.host.pauses import Pauses


def test_they_grow():
    pauses = Pauses(0.1, 1.0)
    for due in (0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0):
        assert due / 2 <= pauses.next() <= due


def test_they_begin_anew():
    pauses = Pauses(0.1, 1.0)
    for _ in range(5):
        pauses.next()
    pauses.restart()
    assert pauses.next() <= 0.1 < pauses.next() * 2


def test_they_differ():
    assert len({Pauses(0.1, 1.0).next() for _ in range(20)}) > 10


def test_a_constant_one():
    pauses = Pauses(0.02, 0.02)
    assert all(0.01 <= pauses.next() <= 0.02 for _ in range(10))
