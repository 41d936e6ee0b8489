"""The mirror that the watcher writes: equal to the database, whatever becomes of its file."""

import os
import shutil
import signal
import sqlite3

import pytest
from mirrors import check, mirrored, path_of
from oracle import first_difference
from support import kill9, wait_until
from watched_studies import true
from watching import ROUND

from motoko.bus.messages import Beat, Resync
from motoko.host.identity import Identity
from motoko.mirror import mirror_file

VALUES = [
    {"energy": 1.5, "n": 3, "text": "é 'x' \"y\"", "is_done": True, "nothing": None},
    {"energy": float("inf"), "n": 2**70, "text": "\ud800", "is_done": 1},
    {"energy": 2, "list": [1, [2.5, "x"]], "dict": {"a": 1}, "pair": (1, 2)},
    {"select": 1, "order by": 2, "c0": 3, "rowid": 4, "más": 5, "x": 6, "id;--": 7, "": 8},
    {"long": "x" * 5_000, "huge": "y" * 100_000, "energy": "none"},
    {f"name{number:03}": number for number in range(500)},
    {"energy": -0.5, "huge": None},
]


def test_values(flow, other):
    """Values of every kind, under every name, in runs that grow."""
    numbers = other.create("mult", [1.0, 2.0, 3.0], tag="a", x_of_run=2)
    check(flow)
    for number in numbers[:2]:
        for values in VALUES:
            other.play("mult", [number], values)
        check(flow)
    other.delete("mult", numbers[1:2])
    check(flow)


def test_the_umask_says_who_reads_it(flow, other):
    other.create("mult", [1.0])
    check(flow)
    path = path_of(flow)
    mask = os.umask(0)
    os.umask(mask)
    assert path.parent.stat().st_mode & 0o777 == 0o777 & ~mask
    modes = {each.stat().st_mode & 0o777 for each in path.parent.glob("*.sqlite*")}
    assert modes == {0o666 & ~mask}


class TestDamage:
    """A watcher that finds another mirror than its predecessor has left."""

    @staticmethod
    def overwrite(path, place, data):
        with open(path, "r+b") as file:
            file.seek(place)
            file.write(data)

    def missing(self, path, old):
        mirror_file.remove(path)

    def without_digest(self, path, old):
        path.with_suffix(".digest").unlink()

    def empty(self, path, old):
        path.write_bytes(b"")

    def cut(self, path, old):
        os.truncate(path, path.stat().st_size // 2)

    def flipped(self, path, old):
        data = path.read_bytes()
        place = len(data) // 3
        self.overwrite(path, place, bytes([data[place] ^ 1]))

    def garbage(self, path, old):
        self.overwrite(path, 4096, os.urandom(4096))

    def foreign(self, path, old):
        mirror_file.remove(path)
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE runs (id INTEGER PRIMARY KEY)")

    def no_database(self, path, old):
        path.write_bytes(b"#!/bin/sh\n" * 1000)

    def directory(self, path, old):
        mirror_file.remove(path)
        path.mkdir()
        (path / "in the way").touch()

    def without_log(self, path, old):
        path.with_name(f"{path.name}-wal").unlink()

    def garbage_in_log(self, path, old):
        log = path.with_name(f"{path.name}-wal")
        self.overwrite(log, log.stat().st_size // 2, os.urandom(100))

    def older_with_newer_log(self, path, old):
        for name in (path.name, path.with_suffix(".digest").name):
            shutil.copy(old / name, path.parent / name)

    def older(self, path, old):
        shutil.rmtree(path.parent)
        shutil.copytree(old, path.parent)

    def other_layout(self, path, old):
        digest = path.with_suffix(".digest")
        digest.write_text(digest.read_text().replace('"layout": ', '"layout": 9'))

    def in_the_middle_of_a_checkpoint(self, path, old):
        mirror_file._note_digest(path)

    KINDS = (
        *(missing, without_digest, empty, cut, flipped, garbage, foreign, no_database, directory),
        *(without_log, garbage_in_log, older_with_newer_log, older, other_layout),
        in_the_middle_of_a_checkpoint,
    )

    def test_each(self, flow, other, listener):
        numbers = other.create("mult", [float(x) for x in range(50)], tag="x" * 50)
        path = path_of(flow)
        for kind in self.KINDS:
            check(flow)
            old = flow.directory / "old"
            shutil.rmtree(old, ignore_errors=True)
            shutil.copytree(path.parent, old)
            other.play("mult", numbers, {"note": f"before {kind.__name__}"})
            check(flow)
            pid = flow.pids()["watcher"]
            os.kill(pid, signal.SIGSTOP)
            other.play("mult", numbers[:2], *ROUND, {"note": kind.__name__})
            other.delete("mult", numbers[-1:])
            numbers.pop()
            kill9(pid)
            kind(self, path, old)
            told, truth = listener.up_to(other, "mult"), true(flow)
            left = {run for _, run, _, _ in truth}
            told = [each for each in told if each[1] in left]
            assert told == truth, f"{kind.__name__}: {first_difference(told, truth)}"
            if kind is TestDamage.directory:
                shutil.rmtree(path)
            check(flow)
        assert listener.counters["holes"] == 0


def test_written_into_meanwhile(flow, other):
    """Another process writes into the mirror: the watcher makes it anew."""
    numbers = other.create("mult", [float(x) for x in range(50)], tag="x" * 50)
    check(flow)
    pid = flow.pids()["watcher"]
    path = path_of(flow)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + os.urandom(len(data) // 2))
    for state in ROUND:
        other.play("mult", numbers[:3], state)
    check(flow)
    assert flow.pids()["watcher"] == pid
    assert "somebody else has written into its file" in flow.log("watcher")


def test_removed_meanwhile(flow, other):
    (number,) = other.create("mult", [1.0])
    check(flow)
    pid = flow.pids()["watcher"]
    shutil.rmtree(path_of(flow).parent)
    for state in ROUND:
        other.play("mult", [number], state)
        check(flow)
    assert flow.pids()["watcher"] == pid
    assert "its file is gone" in flow.log("watcher")


def test_one_that_cannot_be_written(flow, other, listener):
    """Nothing is published twice, the log says so once, and it is written when it can be."""
    numbers = other.create("mult", [1.0, 2.0])
    listener.up_to(other, "mult")
    check(flow)
    path = path_of(flow)
    pid = flow.pids()["watcher"]
    mirror_file.remove(path)
    (path / "in the way").mkdir(parents=True)
    resyncs, heard = len(listener.of_type(Resync, "mult")), len(listener.of_type(Beat, "mult"))
    for turn in range(3):
        other.play("mult", numbers, *ROUND)
        listener.up_to(other, "mult")
        wait_until(
            lambda turn=turn: len(listener.of_type(Beat, "mult")) >= heard + 2 * (turn + 1),
            "time passes",
        )
    assert flow.log("watcher").count("its mirror cannot be written") == 1
    assert "not watched" not in flow.log("watcher")
    told = listener.told["mult"]
    assert len({(each.tid, each.run_id) for each in told}) == len(told) == 2 + 3 * 6
    assert len(listener.of_type(Resync, "mult")) == resyncs

    shutil.rmtree(path)
    check(flow)
    assert flow.pids()["watcher"] == pid
    assert mirrored(flow)[0] == other.tid("mult")


@pytest.mark.parametrize("writer", ["mult"])
def test_it_is_the_checkpoint(flow, other, listener, writer):
    """A watcher that is started anew publishes what its predecessor has not known."""
    numbers = other.create(writer, [float(x) for x in range(20)])
    other.play(writer, numbers, *ROUND)
    listener.up_to(other, writer)
    check(flow)
    resyncs = len(listener.of_type(Resync, writer))
    kill9(flow.pids()["watcher"])
    other.play(writer, numbers, "START")
    assert listener.up_to(other, writer) == true(flow)
    assert len(listener.of_type(Resync, writer)) == resyncs
    check(flow)


def test_a_watcher_that_is_told_to_end(flow, other):
    """What was committed until then is in the mirror."""
    numbers = other.create("mult", [float(x) for x in range(20)])
    check(flow)
    watcher = Identity.of(flow.pids()["watcher"])
    supervisor = flow.ps()["supervisor"]["pid"]
    os.kill(supervisor, signal.SIGSTOP)  # so that there is no other watcher meanwhile
    try:
        other.play("mult", numbers, *ROUND)
        watcher.signal(signal.SIGTERM)
        wait_until(lambda: not watcher.alive, "it has ended")
        assert mirrored(flow)[0] == other.tid("mult")
    finally:
        os.kill(supervisor, signal.SIGCONT)
    other.play("mult", numbers, "START")
    check(flow)
    assert "read anew" not in flow.log("watcher").rpartition("stopped by")[2]
