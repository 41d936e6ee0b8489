"""The truth about every end of a run, when the database, the disk or the memory fails it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import transaction
from launching import (
    GATE,
    NO_FINISH,
    Row,
    all_slots_free,
    check,
    deadline,
    ended_with,
    exit_record,
    go,
    identity,
    kill_daemon,
    nothing_lives,
    number_in,
    place,
    start,
    stop,
    wrapper_of,
)
from support import wait_until

LOST = "database connection lost"
# A launcher whose server dies each second time after it has saved something, before it says so.
UNANSWERED = """\
import types
import transaction
from ZEO.Exceptions import ClientDisconnected
from motoko.store import transactions
from motoko.workers.launcher import __main__ as launcher

cut = False


def commit():
    global cut
    saved = bool(transaction.get()._resources)
    transaction.commit()
    cut = saved and not cut
    if cut:
        raise ClientDisconnected("after it was saved")


transactions.transaction = types.SimpleNamespace(
    begin=transaction.begin, abort=transaction.abort, commit=commit
)
launcher.main()
"""
FILL = "head -c 10M /dev/zero > full\n"


@pytest.fixture(autouse=True)
def limit():
    with deadline(120):
        yield


def blocked(pid):
    """Whether a process's main thread sleeps and does nothing for 0.3 s: ``wait_until`` asks."""
    seen = []

    def still():
        text = (f"/proc/{pid}/task/{pid}/stat", f"/proc/{pid}/task/{pid}/status")
        stat, status = (Path(name).read_text() for name in text)
        fields = stat.rpartition(")")[2].split()
        switches = re.findall(r"ctxt_switches:\t(\d+)", status)
        seen.append((fields[0], *fields[11:13], *switches))
        return len(seen) > 15 and len(set(seen[-15:])) == 1 and fields[0] == "S"

    return still


class TestDatabase:
    def test_its_server_is_killed_in_the_middle_of_finish(self, supervised):
        """Truthfully told, and tried again if that is allowed."""
        code = (
            "run.start()\n"
            "first = not Path('finishing').exists()\n"
            "Path('pid').write_text(f'{os.getpid()}\\n')\n"
            "while not Path('go').exists(): time.sleep(0.05)\n"
            "Path('finishing').touch()\n"
            "run.finish()"
        )
        flow, session = supervised("--slots", "2")
        runs = [session.create(f"python doIt.py # {n}", code, retries=n) for n in (0, 1)]
        pids = [number_in(place(flow, run) / "pid") for run in runs]
        server = identity(flow, "zeo:mult")
        assert server.signal(signal.SIGSTOP)
        for run, pid in zip(runs, pids, strict=True):
            go(flow, run)
            wait_until(lambda run=run: (place(flow, run) / "finishing").exists(), "it finishes")
            wait_until(blocked(pid), "finish() waits for the server")
        server.signal(signal.SIGKILL)
        lost, again = session.ends(*runs)
        assert lost is not None and lost.reason == LOST and runs[0].exit_code == 1
        assert again is None and (runs[1].attempt, runs[1].last_failure) == (2, LOST)
        for run in runs:
            session.until(run, ended_state="FAILED" if run is runs[0] else "FINISHED")
            nothing_lives(place(flow, run), run.attempt)
        all_slots_free(flow)

    def test_there_is_no_server_when_it_ends(self, supervised):
        """The record is late, and not lost: with the same launcher, and with another one."""
        flow, session = supervised("--slots", "4", yaml="finish: on-exit\n")
        rows = [Row(f"{GATE}true"), Row(f"{GATE}exit 2", 2, ended_with(2))]
        runs = [session.create(row.script) for row in rows]
        for run in runs:
            wrapper_of(place(flow, run))
        stop(flow, "zeo:mult")
        for run in runs:
            go(flow, run)
            wait_until(lambda run=run: exit_record(place(flow, run)), "it has ended")
            nothing_lives(place(flow, run))
        start(flow, "zeo:mult")
        check(flow, session, rows, runs)

        rows = [Row(f"{GATE}true # 2"), Row(f"{GATE}exit 2 # 2", 2, ended_with(2))]
        runs = [session.create(row.script) for row in rows]
        for run in runs:
            wrapper_of(place(flow, run))
        stop(flow, "zeo:mult")
        assert identity(flow, "launcher:mult").signal(signal.SIGKILL)
        for run in runs:
            go(flow, run)
            wait_until(lambda run=run: exit_record(place(flow, run)), "it has ended")
        start(flow, "zeo:mult")
        check(flow, session, rows, runs)

    def test_its_server_is_frozen_when_it_ends(self, supervised):
        """kill -STOP for a while: nobody is woken twice, nothing is lost."""
        flow, session = supervised("--slots", "2", yaml="finish: on-exit\n")
        rows = [Row(f"{GATE}true"), Row(f"{GATE}exit 2", 2, ended_with(2))]
        runs = [session.create(row.script) for row in rows]
        for run in runs:
            wrapper_of(place(flow, run))
        server = identity(flow, "zeo:mult")
        assert server.signal(signal.SIGSTOP)
        try:
            for run in runs:
                go(flow, run)
                wait_until(lambda run=run: exit_record(place(flow, run)), "it has ended")
                nothing_lives(place(flow, run))
        finally:
            server.signal(signal.SIGCONT)
        check(flow, session, rows, runs)

    def test_its_server_dies_before_it_says_that_it_has_saved(self, supervised):
        """What is repeated starts nothing twice, and leaves nothing behind that nobody starts."""
        flow, session = supervised("--no-launchers", yaml="finish: on-exit\n")
        touch = 'touch "exec-$$"\n'
        rows = [Row(touch), Row(f"{touch}exit 3", 3, ended_with(3))]
        runs = [session.create(row.script) for row in rows]
        again = session.create(f"{touch}[ -e .motoko/attempt-2 ] || exit 1", retries=1)
        command = [sys.executable, "-P", "-c", UNANSWERED, str(flow.path), "mult", "--slots=3"]
        with (
            open(flow.directory / "log", "w") as log,
            subprocess.Popen(command, cwd=flow.directory, stdout=log, stderr=log) as launcher,
        ):
            try:
                assert session.ends(again) == [None]
                check(flow, session, rows, runs)
            finally:
                launcher.terminate()
        assert "after it was saved" in (flow.directory / "log").read_text()
        for run, attempts in ((runs[0], 1), (runs[1], 1), (again, 2)):
            files = list(place(flow, run).glob("exec-*"))
            assert (run.attempt, len(files)) == (attempts, attempts)

    def test_there_is_no_server_when_everything_is_killed(self, supervised):
        """``motoko kill`` ends the runs all the same; that is recorded when there is a server."""
        flow, session = supervised(yaml="supervisor: {stop_timeout: {launcher: 3}}\n")
        run = session.create("sleep 1000")
        wrapper_of(place(flow, run))
        stop(flow, "zeo:mult")
        done = flow.motoko("kill", "--now")
        assert done.returncode == 0, done.stderr
        nothing_lives(place(flow, run))
        flow.supervise()
        (error,) = session.ends(run)
        assert error is not None and "SIGTERM" in error.reason and run.exit_code == 143


LITTLE = 40 << 20  # bytes
# Of a control group of either version: what limits its memory, and keeps it from swapping.
LIMITS = {
    "memory": {"memory.limit_in_bytes": LITTLE, "memory.swappiness": 0},
    "": {"memory.max": LITTLE, "memory.swap.max": 0},
}


@pytest.fixture
def little_memory():
    """A control group with little memory: the file into which a process writes its pid to join."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, kind, ours = line.split(":", 2)
        if kind not in LIMITS:
            continue
        group = Path("/sys/fs/cgroup", kind, ours.lstrip("/"), f"motoko-test-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            limit, swap = LIMITS[kind].items()
            with contextlib.suppress(OSError):
                (group / swap[0]).write_text(str(swap[1]))
            try:
                (group / limit[0]).write_text(str(limit[1]))
            except OSError:
                continue
            yield group / "cgroup.procs"
            return
        finally:
            wait_until(lambda group=group: group.rmdir() or True, "nobody is in it any more")
    pytest.skip("no control group for memory can be made here")


class TestMemory:
    def test_the_kernel_kills_for_want_of_it(self, supervised, little_memory):
        """launch.sh's own process, or a child of it that takes too much."""
        take = "python -c 'bytearray(200_000_000)'"
        reason = re.escape("it was killed (SIGKILL) while the kernel ran out of memory")
        join = f"echo $$ > {little_memory}\n"
        rows = [
            Row(f"{join}exec {take}", 137, reason),
            Row(f"{join}{take}", 137, reason),
            Row(f"{join}{take} || exit 4", 4, ended_with(4)),
        ]
        flow, session = supervised("--slots", "1")
        check(flow, session, rows)


@pytest.fixture
def disk():
    """``disk(directory, size)``: a small file system of its own; ``disk.fill()``."""
    made = []

    def make(directory, size="1m"):
        directory.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", directory]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a file system of its own needs root: {done.stderr.strip()}")
        made.append(directory)

    yield make
    for directory in made:
        subprocess.run(["umount", "-l", directory], check=True)


def fill(directory):
    """Leave no byte; returns the file that takes them."""
    path = directory / "full"
    with open(path, "wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while file.write(bytes(4096)):
            pass
    return path


def said_by_ps(flow, words):
    """Wait until ``motoko ps`` says something."""
    wait_until(lambda: re.search(words, flow.motoko("ps").stdout), f"ps: {words}", timeout=20)


class TestDisk:
    @pytest.fixture
    def small(self, disk, supervised):
        """A supervised study whose run directories are on a disk of their own."""

        def make(*options):
            flow, session = supervised(*options)
            disk(flow.directory / "mult" / "BD-mult-runs")
            return flow, session

        return make

    def test_it_is_full_when_a_run_ends(self, small):
        """What it ended with is recorded, also by a launcher that was not there."""
        flow, session = small("--slots", "4")
        rows = [
            Row(f"{GATE}{FILL}exit 3", 3, ended_with(3)),
            Row(f"{GATE}{FILL}exit 0", 0, NO_FINISH),
            Row(f"{GATE}python doIt.py\n{FILL}exit 4", 4),
        ]
        runs = [session.create(row.script) for row in rows]
        for run in runs:
            wrapper_of(place(flow, run))
        for run in runs:
            if run is runs[1]:
                stop(flow, "launcher:mult")
            go(flow, run)
            nothing_lives(place(flow, run))
            (place(flow, run) / "full").unlink()
            assert exit_record(place(flow, run)) is None, "there was no space for it"
        start(flow, "launcher:mult")
        check(flow, session, rows, runs)

    def test_it_is_full_when_a_run_starts(self, small):
        """It waits, `ps` and `explain` say why, and it starts when there is space again."""
        flow, session = small("--slots", "2")
        path = fill(flow.directory / "mult" / "BD-mult-runs")
        row = Row("python doIt.py")
        run = session.create(row.script)
        said_by_ps(flow, "starts nothing now: .*No space left on device")
        explained = flow.motoko("explain", f"mult.{run.id}").stdout
        assert "can start no more now, and tries again by itself" in explained
        session.refresh()
        assert run.state == "CREATED"
        path.unlink()
        check(flow, session, [row], [run])
        assert run.attempt == 1 and "starts nothing" not in flow.motoko("ps").stdout

    @pytest.mark.parametrize("why", ["full", "read-only"])
    def test_it_cannot_be_written_when_a_prepared_run_starts(self, small, why):
        """Nobody can claim the attempt: it waits like the others, and starts later."""
        flow, session = small("--no-launchers")
        runs = flow.directory / "mult" / "BD-mult-runs"
        row = Row("python doIt.py # later")
        run = session.create(row.script)
        place(flow, run).mkdir()
        (place(flow, run) / "launch.sh").write_text("#!/bin/sh\ntouch /dev/null\n")
        run.entries.update({"state": "launched", "attempt": 1, "run_path": str(place(flow, run))})

        transaction.commit()
        if why == "full":
            path = fill(runs)
        else:
            subprocess.run(["mount", "-o", "remount,ro", runs], check=True)
        flow.supervise("--slots", "2")
        said_by_ps(flow, "starts nothing now: .*(No space left|Read-only file system|claimed)")
        all_slots_free(flow)
        kill_daemon(flow, "launcher:mult")
        said_by_ps(flow, "starts nothing now: ")
        if why == "full":
            path.unlink()
        else:
            subprocess.run(["mount", "-o", "remount,rw", runs], check=True)
        check(flow, session, [row], [run])
        assert run.attempt == 1
