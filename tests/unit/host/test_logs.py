"""Log files: one line an event, continued in fresh files, read in the order of time."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from pathlib import Path

import pytest
from support import wait_until

from motoko.host.log_files import LineFormatter, LogFile, fields, older, rotate, rotate_if_long
from motoko.host.log_reading import Log, in_order, last_lines, names_itself, tail

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bus.log"


def record(message, *arguments, **extra):
    made = logging.LogRecord("any", logging.INFO, __file__, 1, message, arguments, None)
    for name, value in extra.items():
        setattr(made, name, value)
    return made


def logging_to(path, size=10**9, files=3):
    handler = LogFile(path, size, files)
    handler.setFormatter(LineFormatter("bus"))
    return handler


def stamped(second, text="x"):
    return f"2030-01-01T00:00:{second:02}.000Z INFO bus {text}"


def text_of(log):
    return [line for event in log.more() for line in event.lines]


class TestLines:
    def test_one_line_in_utc(self):
        made = record("ready: %d slots", 2, created=1.25, msecs=250.0)
        text = LineFormatter("launcher:mult").format(made)
        assert text == "1970-01-01T00:00:01.250Z INFO launcher:mult ready: 2 slots"

    def test_fields(self):
        made = record("died", **fields(pid=12, how="died by SIGKILL", quote='a"b', nothing=""))
        text = LineFormatter("supervisor").format(made)
        assert text.endswith(' died pid=12 how="died by SIGKILL" quote="a\\"b" nothing=""')

    def test_what_has_several_lines_is_indented(self):
        made = record("given up:\n" + stamped(1), **fields(attempts=5))
        first, second = LineFormatter("supervisor").format(made).split("\n")
        assert first.endswith(" given up: attempts=5") and second == "    " + stamped(1)

    def test_tracebacks_are_indented(self):
        try:
            raise ValueError("two\nlines")
        except ValueError:
            made = record("failed", exc_info=sys.exc_info())
        first, *others = LineFormatter("bus").format(made).split("\n")
        assert STAMP.match(first) and len(others) >= 4
        assert all(line.startswith("    ") for line in others)


class TestWriting:
    def test_continues_in_fresh_files_and_keeps_some(self, path):
        handler = logging_to(path, size=200, files=2)
        for number in range(20):
            handler.emit(record("event %02d", number))
        handler.close()
        assert sorted(each.name for each in path.parent.iterdir()) == [
            *("bus.log", "bus.log.1", "bus.log.2")
        ]
        kept = [
            line for number in (2, 1, 0) for line in older(path, number).read_text().splitlines()
        ]
        assert [line[-2:] for line in kept] == [f"{n:02}" for n in range(20 - len(kept), 20)]
        assert 200 <= older(path, 1).stat().st_size < 300

    def test_no_line_is_lost(self, path):
        handler = logging_to(path, size=1000, files=10_000)
        for number in range(3000):
            handler.emit(record("event %d", number))
        handler.close()
        assert [line.split()[-1] for line in last_lines(path, 5000)] == [
            str(number) for number in range(3000)
        ]

    @pytest.mark.parametrize("how", ["renamed", "removed"])
    def test_a_file_that_somebody_else_has_taken_away(self, path, how):
        handler = logging_to(path, size=10**6 if how == "removed" else 60)
        handler.emit(record("one"))
        if how == "renamed":
            path.rename(path.with_name("elsewhere"))
        else:
            path.unlink()
        handler.emit(record("two " + "x" * 60))
        handler.emit(record("three"))
        handler.close()
        assert [line.split()[3] for line in path.read_text().splitlines()] == ["three"]
        if how == "renamed":
            assert "two" in path.with_name("elsewhere").read_text()
            assert not older(path, 1).exists()

    def test_rotating_a_log_that_nobody_writes_to(self, path):
        rotate_if_long(path, 10, 2)  # there is none: nothing to do
        path.write_text("short\n")
        rotate_if_long(path, 10, 2)
        assert not older(path, 1).exists()
        for number in range(4):
            path.write_text(f"{number}\n" * 10)
            rotate_if_long(path, 10, 2)
            assert not path.exists()
        assert [older(path, n).read_text()[0] for n in (1, 2)] == ["3", "2"]
        assert not older(path, 3).exists()

    def test_a_rotation_that_was_cut_short_loses_nothing(self, path):
        for number, text in ((0, "c\n"), (2, "b\n"), (3, "a\n")):
            older(path, number).write_text(text)
        rotate(path, 3)
        path.write_text("d\n")
        assert last_lines(path) == ["a", "b", "c", "d"]


class TestLastLines:
    def test_none(self, path):
        assert last_lines(path) == []
        path.write_text("")
        assert last_lines(path) == [] and tail(path) == "    (its log is empty)"

    def test_a_few_of_many(self, path):
        path.write_text("".join(f"{stamped(n % 60, n)}\n" for n in range(50_000)))
        assert last_lines(path, 3) == [stamped(n % 60, n) for n in (49_997, 49_998, 49_999)]
        assert len(last_lines(path)) == 20 and last_lines(path, 0) == []
        assert len(last_lines(path, 60_000)) == 50_000

    def test_lines_longer_than_a_block(self, path):
        path.write_text(f"{stamped(1)}\n{'y' * 300_000}\n{'z' * 70_000}\n")
        assert [len(line) for line in last_lines(path, 2)] == [300_000, 70_000]

    def test_no_times_at_all(self, path):
        path.write_text("".join(f"line {n}\n" for n in range(500_000)))
        started = time.process_time()
        assert last_lines(path, 2) == ["line 499998", "line 499999"]
        assert time.process_time() - started < 2

    def test_over_several_files(self, path):
        for number, text in ((2, "a\nb\n"), (1, "c\nd\n"), (0, "e\n")):
            older(path, number).write_text(text)
        assert last_lines(path, 4) == ["b", "c", "d", "e"]
        path.unlink()  # it is just being renamed
        assert last_lines(path, 3) == ["b", "c", "d"]

    def test_a_cut_line_and_bytes_that_are_no_text(self, path):
        path.write_bytes(b"one\n\xff\xfe\x00two\nthr")
        assert last_lines(path) == ["one", "\ufffd\ufffd\x00two", "thr"]
        assert tail(path, 1) == "    thr"


class TestOrder:
    def test_by_time_with_what_has_none_below_its_line(self, tmp_path):
        first, second = tmp_path / "bus.log", tmp_path / "zeo-a.log"
        first.write_text(f"{stamped(1)}\nTraceback:\n  why\n{stamped(4)}\n")
        second.write_text(f"{stamped(2)}\n{stamped(3)}\nmore\n")
        logs = [Log("bus", first), Log("zeo:a", second)]
        found = in_order(event for log in logs for event in log.last(20))
        assert found == [
            ("bus", stamped(1)),
            ("bus", "Traceback:"),
            ("bus", "  why"),
            ("zeo:a", stamped(2)),
            ("zeo:a", stamped(3)),
            ("zeo:a", "more"),
            ("bus", stamped(4)),
        ]

    def test_a_clock_that_was_set_back_does_not_shuffle_a_log(self, path):
        lines = [stamped(5, "a"), stamped(2, "b"), stamped(6, "c")]
        path.write_text("\n".join(lines) + "\n")
        assert [line for _, line in in_order(Log("bus", path).last(9))] == lines

    def test_a_log_without_times_counts_from_its_last_change(self, tmp_path):
        timed, plain = tmp_path / "bus.log", tmp_path / "orchestrator-a.log"
        timed.write_text(f"{stamped(1)}\n{stamped(30)}\n")
        plain.write_text("printed\n")
        os.utime(plain, (1893456010, 1893456010))  # 2030-01-01 00:00:10 UTC
        logs = [Log("bus", timed), Log("orchestrator:a", plain)]
        found = in_order(event for log in logs for event in log.last(9))
        assert [line for _, line in found] == [stamped(1), "printed", stamped(30)]

    def test_which_lines_say_whose_they_are(self):
        assert names_itself(stamped(1), "bus")
        for line in ("Traceback", stamped(1), "2030-01-01T00:00:00Z", ""):
            assert not names_itself(line, "zeo:a")


class TestFollowing:
    def test_what_is_added(self, path):
        log = Log("bus", path)
        assert log.last(5) == [] and log.more() == []
        path.write_text(f"{stamped(1)}\nhal")
        assert text_of(log) == [stamped(1)]
        with open(path, "a") as file:
            file.write("f\nwhole\n")
        assert text_of(log) == ["half", "whole"] and text_of(log) == []

    def test_begins_behind_the_last_lines(self, path):
        path.write_text("a\nb\nc")
        log = Log("bus", path)
        assert [line for event in log.last(1) for line in event.lines][-1] == "b"
        with open(path, "a") as file:
            file.write("d\n")
        assert text_of(log) == ["cd"]

    def test_lines_without_time_keep_that_of_the_line_above(self, path):
        path.write_text(f"{stamped(7)}\n")
        log = Log("bus", path)
        log.last(1)
        with open(path, "a") as file:
            file.write("  more\n")
        assert [event.time for event in log.more()] == [stamped(7).split()[0]]

    def test_several_new_files_between_two_looks(self, path):
        path.write_text("a\n")
        log = Log("bus", path)
        log.last(1)
        with open(path, "a") as file:
            file.write("b\n")
        for text in ("c\n", "d\ne\n", "f\n"):
            rotate(path, 9)
            path.write_text(text)
        assert text_of(log) == ["b", "c", "d", "e", "f"]
        rotate(path, 9)
        assert text_of(log) == []  # there is no present one for a moment
        path.write_text("g\n")
        assert text_of(log) == ["g"]

    def test_a_new_log_in_place_of_a_removed_one(self, path):
        path.write_text("a\n")
        log = Log("bus", path)
        log.last(1)
        path.unlink()
        assert text_of(log) == []
        path.write_text("b\n")
        assert text_of(log) == ["b"]

    def test_every_line_once_while_files_change(self, path):
        """A writer in a thread of its own, which begins a new file every few lines."""
        count, log, seen = 5000, Log("bus", path), []
        log.last(0)

        def write():
            handler = logging_to(path, size=500, files=2000)
            for number in range(count):
                handler.emit(record("event %d", number))
            handler.close()

        writer = threading.Thread(target=write)
        writer.start()

        def all_seen():
            seen.extend(text_of(log))
            return len(seen) >= count

        wait_until(all_seen, "all lines", timeout=60)
        writer.join()
        log.close()
        assert [int(line.split()[-1]) for line in seen] == list(range(count))
        assert len(list(Path(path.parent).iterdir())) > 100
