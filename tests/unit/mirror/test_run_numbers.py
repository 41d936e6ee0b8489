"""A number of each run, read by two threads at once."""

import pytest

from motoko.mirror import run_numbers
from motoko.mirror.columns import RUNS, Name, Owner
from motoko.mirror.mirror_file import Mirror
from motoko.mirror.mirror_reading import reading

NUMBERS = [2, 3, 5, 7, 11, 12, 40]


@pytest.fixture
def mirror(tmp_path):
    (tmp_path / "mirror").mkdir()
    mirror = Mirror.new(tmp_path / "mirror" / "mult.sqlite")
    mirror.begin()
    for number in NUMBERS:
        owner = Owner(RUNS, number)
        mirror.tables.add(owner, number)
        mirror.tables.write(owner, {Name(False, "run_name"): "r" if number % 2 else "s"})
    mirror.tables.stand_at(bytes(8))
    mirror.checkpoint()
    yield mirror
    mirror.close()


@pytest.fixture
def asked(mirror, tmp_path, monkeypatch):
    """What is asked of the file, and by how many connections."""
    monkeypatch.setattr(run_numbers, "SHARED_FROM", 1)
    read = []
    decoded = run_numbers._decoded
    monkeypatch.setattr(
        run_numbers, "_decoded", lambda tables, *rest: read.append(tables) or decoded(tables, *rest)
    )

    def ask(between=lambda: None):
        with reading(tmp_path / "mirror" / "mult.sqlite") as tables:
            tables.meta()  # the moment is that of the first look
            between()
            odd = run_numbers.numbers(tables, "10 * runs.id", "runs.run_name = ?", ["r"])
            every = run_numbers.numbers(tables, "runs.id", "0 OR 1", [])
        return odd, every, {id(one) for one in read}, len(read)

    return ask


def test_two_connections_read_half_each(asked):
    odd, every, _, count = asked()
    assert odd == [10 * number for number in NUMBERS if number % 2]
    assert every == NUMBERS
    assert count == 4


def test_one_reads_all_if_the_mirror_is_written_meanwhile(asked, mirror):
    def write():
        mirror.begin()
        mirror.tables.add(Owner(RUNS, 41), 41)
        mirror.tables.stand_at(b"1" * 8)
        mirror.commit()

    _, every, connections, _ = asked(write)
    assert every == NUMBERS
    assert len(connections) == 1


def test_in_memory():
    mirror = Mirror.in_memory()
    assert run_numbers.numbers(mirror.tables, "runs.id", "1", []) == []
