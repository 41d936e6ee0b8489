"""What machines do to workflows: pids used again, full disks, lost sockets, clocks set back."""

import contextlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from runs import make_runs, run_directory, runs_of, states
from support import Flow, processes_in, wait_until

from motoko.config import load
from motoko.control import records, supervisor_identity, supervisor_status
from motoko.identity import Identity, boot_id

ALL = {"zeo:mult", "bus", "watcher", "launcher:mult"}

# Says each signal that it gets; ends when its standard input is closed.
NOTING = """\
import signal, sys
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    try:
        signal.signal(number, lambda number, frame: print(number, flush=True))
    except (OSError, ValueError):
        pass
print("up", flush=True)
while sys.stdin.read(1):
    pass
"""
# Takes an offset in seconds from a file, for the clock that can be set.
CLOCK = """\
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static volatile long *offset;

__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("MOTOKO_TEST_CLOCK"), O_RDONLY);
    offset = mmap(0, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(clock, now);
    if (offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *offset;
    return code;
}

time_t time(time_t *now) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    return now ? (*now = found.tv_sec) : found.tv_sec;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return 0;
}
"""
HOUR_S = 3600


@pytest.fixture
def flow(workflow) -> Flow:
    return workflow()


def daemon_of(flow, name):
    """What the supervisor says of a daemon."""
    status = supervisor_status(load(flow.path))
    assert status is not None, "it does not answer"
    (found,) = (daemon for daemon in status["daemons"] if daemon["name"] == name)
    return found


def is_ready(flow, timeout=30.0):
    """Wait until all is ready."""

    def ready():
        status = supervisor_status(load(flow.path))
        assert status is not None and status["supervisor"]["state"] == "ready", status
        return True

    wait_until(ready, "all is ready", timeout)


def kill9(flow, name):
    """Kill a daemon; returns its pid."""
    pid = daemon_of(flow, name)["pid"]
    os.kill(pid, signal.SIGKILL)
    return pid


def another(flow, name, pid):
    """Wait until a daemon is ready with another pid."""

    def seen():
        daemon = daemon_of(flow, name)
        assert daemon["pid"] != pid and daemon["state"] == "ready", daemon
        return daemon

    return wait_until(seen, f"another {name}")


def nothing_runs(flow):
    assert not list(processes_in(flow.directory))


@pytest.fixture
def mounted():
    """``mounted(directory, *options)`` mounts something there for the test."""
    made = []

    def mount(directory, *options):
        directory.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", *options, directory], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"to mount something needs root: {done.stderr.strip()}")
        made.append(directory)

    def unmount(directory):
        made.remove(directory)
        subprocess.run(["umount", "-l", directory], check=True)

    mount.undo = unmount
    yield mount
    for directory in reversed(made):
        unmount(directory)


def read_only(mounted, directory):
    """Nobody can write there from now on; files that are open stay so."""
    mounted(directory, "--bind", str(directory))
    subprocess.run(["mount", "-o", "remount,bind,ro", directory], check=True)


def fill(directory):
    """Leave no byte; returns the file that takes them."""
    path = directory / "full"
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return path


class TestPidsUsedAgain:
    """Records and claims of ours that name a living process, which is not ours."""

    @pytest.fixture
    def foreign(self):
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", NOTING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            start_new_session=True,
        )
        assert process.stdout.readline() == "up\n"
        yield Identity.of(process.pid)
        state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        out, _ = process.communicate(timeout=10)
        assert (process.returncode, out, state) == (0, "", "S"), "it was signalled"

    @pytest.mark.parametrize(
        "other",
        [{"start_ticks": 1}, {"boot_id": "another"}, {"host": "elsewhere"}],
        ids=["reused pid", "before a reboot", "another host"],
    )
    def test_is_never_signalled(self, flow, foreign, other):
        who = replace(foreign, **other)

        def write(place, *names):
            for name in names:
                path = flow.directory / ".wf" / place / f"{name.replace(':', '-')}.json"
                path.write_text(json.dumps({"name": name, "run_name": name, **who.to_dict()}))

        flow.supervise("--no-launchers")
        assert flow.motoko("kill").returncode == 0
        # One that is to be cancelled, and one that a launcher looks at.
        launched = {"state": "launched", "attempt": 1}
        directories = [run_directory(flow, number) for number in (1, 2)]
        make_runs(flow, *({**launched, "run_path": str(path)} for path in directories))
        # A claim has no host: another one has another boot id.
        boot = boot_id() if who.is_here else "another"
        ticks = ["S", *["0"] * 18, str(who.start_ticks), "0"]
        for path in directories:
            (path / "attempt-1").write_text(f"{boot}\n{who.pid} (sh) {' '.join(ticks)}\n")
        daemons = (*sorted(ALL), "zeo:gone", "supervisor")
        write("daemons", *daemons)
        write("orchestrators", "a")

        assert flow.motoko("ps").returncode == 3
        assert flow.motoko("kill").stdout == "nothing is running\n"
        stopped = flow.motoko("orchestrator", "stop").stdout
        assert "stopped" not in stopped, stopped
        done = flow.motoko("cancel", "mult.1")
        assert done.returncode == 0, done.stdout + done.stderr
        write("daemons", *daemons)
        flow.supervise()
        wait_until(lambda: states(flow) == {1: "FAILED", 2: "FAILED"}, "both have ended")
        write("daemons", "zeo:gone")
        another(flow, "bus", kill9(flow, "bus"))
        is_ready(flow)
        os.kill(supervisor_identity(load(flow.path)).pid, signal.SIGKILL)
        wait_until(lambda: supervisor_identity(load(flow.path)) is None, "it is dead")
        write("daemons", "supervisor", "zeo:gone")
        assert flow.motoko("ps").returncode == 3
        done = flow.motoko("kill")
        assert done.returncode == 0 and done.stdout.count("stopped ") == len(ALL), done
        nothing_runs(flow)


class TestDisk:
    @pytest.fixture
    def small(self, mounted, tmp_path, workflow):
        """A workflow on a disk of its own, which is supervised."""
        flow = workflow(created=False)
        place = tmp_path / "disk"
        mounted(place, "-t", "tmpfs", "-o", "size=16m", "tmpfs")
        shutil.copytree(flow.directory, place, dirs_exist_ok=True)
        shutil.rmtree(flow.directory)
        flow.directory.symlink_to(place)
        flow.create()
        flow.supervise()
        yield flow
        # Before it is unmounted.
        (place / "full").unlink(missing_ok=True)
        assert flow.motoko("kill").returncode == 0

    def test_it_is_full(self, small):
        """Who lives goes on; who dies comes back as soon as there is room, or is given up."""
        make_runs(small, {"state": "FINISHED"})
        before = small.pids()
        path = fill(small.directory)
        pid = kill9(small, "launcher:mult")
        # It cannot even note who it is. The supervisor, which has nowhere to write, says why.
        daemon = wait_until(
            lambda: (d := daemon_of(small, "launcher:mult"))["restarts"] >= 2 and d, "it has tried"
        )
        assert "No space left on device" in daemon["last_exit"]
        shown = small.motoko("ps")
        assert shown.returncode == 1 and ".wf cannot be written: No space left" in shown.stdout
        path.unlink()
        assert small.motoko("supervise", "--detach").returncode == 0
        another(small, "launcher:mult", pid)
        others = {name: pid for name, pid in small.pids().items() if name != "launcher:mult"}
        assert others.items() <= before.items()
        assert states(small) == {1: "FINISHED"}
        make_runs(small, {}, {})
        wait_until(lambda: states(small)[2] == "FINISHED", "another is executed")

    def test_it_is_full_when_all_is_stopped_and_started(self, small):
        """`motoko kill` works; `motoko supervise` says why it does not."""
        path = fill(small.directory)
        assert small.motoko("kill").returncode == 0
        nothing_runs(small)
        fill(small.directory)  # what was removed has left some room
        for options in ([], ["--detach"]):
            done = small.motoko("supervise", *options)
            assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
            assert ".wf: No space left on device" in done.stderr and "hint: " in done.stderr
        path.unlink()
        small.supervise()

    def test_wf_cannot_be_written(self, mounted, flow):
        """Nothing is started; what runs goes on, and can be stopped."""
        wf = flow.directory / ".wf"
        flow.supervise()
        before = flow.pids()
        read_only(mounted, wf)
        kill9(flow, "watcher")
        daemon = wait_until(
            lambda: (d := daemon_of(flow, "watcher"))["state"] == "backoff" and d, "it is tried"
        )
        assert "Read-only file system" in daemon["last_exit"]
        assert "Read-only file system" in flow.motoko("ps").stdout
        mounted.undo(wf)
        is_ready(flow)
        assert {**before, "watcher": 0} == {**flow.pids(), "watcher": 0}
        read_only(mounted, wf)
        done = flow.motoko("kill")
        assert (done.returncode, done.stderr) == (0, "")
        nothing_runs(flow)
        for options in ([], ["--detach"]):
            done = flow.motoko("supervise", *options)
            assert done.returncode == 1, done.stdout
            assert "cannot write into" in done.stderr and "Read-only file system" in done.stderr
            assert "hint: make the workflow's directory writable" in done.stderr
        nothing_runs(flow)
        mounted.undo(wf)
        flow.supervise()

    def test_a_study_cannot_be_written(self, mounted, workflow):
        """The message says so; the other study is served."""
        flow = workflow(studies=("add", "mult"))
        flow.path.write_text(flow.path.read_text() + "supervisor: {attempts: 3}\n")
        read_only(mounted, flow.directory / "mult")
        done = flow.motoko("supervise", "--detach")
        assert done.returncode == 1 and "zeo:mult given up" in done.stderr
        assert "Read-only file system" in done.stderr
        found = flow.daemons()
        ready = {name for name, daemon in found.items() if daemon["state"] == "ready"}
        assert ready >= {"zeo:add", "bus"} and found["zeo:mult"]["restarts"] == 3
        mounted.undo(flow.directory / "mult")
        flow.supervise()


class TestSockets:
    def test_their_directory_is_removed(self, flow):
        """Commands say that nobody answers, until the supervisor has noticed and mended it."""
        flow.supervise()
        sockets = records(load(flow.path)).sockets
        before = daemon_of(flow, "launcher:mult")["pid"]
        shutil.rmtree(sockets)
        shown = flow.motoko("ps")
        assert (shown.returncode, shown.stderr) == (1, "") and "not answering" in shown.stdout
        out = flow.supervise()
        assert "already running" in out
        wait_until(
            lambda: (sockets / "bus-in").exists() and (sockets / "zeo-mult").exists(),
            "they are back",
        )
        is_ready(flow)
        assert sockets.stat().st_mode & 0o777 == 0o700
        for name in ("bus", "zeo:mult"):
            assert daemon_of(flow, name)["last_exit"] == "its socket was removed, restarted"
        make_runs(flow, {})
        wait_until(lambda: states(flow) == {1: "FINISHED"}, "a run is executed")
        assert daemon_of(flow, "launcher:mult")["pid"] == before

    def test_all_is_stopped_without_them(self, flow):
        flow.supervise()
        runtime = records(load(flow.path))
        shutil.rmtree(runtime.sockets)
        done = flow.motoko("kill")
        assert done.returncode == 0 and done.stdout.count("stopped ") == 1 + len(ALL), done
        nothing_runs(flow)
        assert not list((runtime.wf / "daemons").iterdir())

    def test_there_is_no_tmpdir(self, flow, monkeypatch):
        """Another place is taken, which commands find although they have another TMPDIR."""
        private = os.environ["TMPDIR"]
        monkeypatch.setenv("TMPDIR", f"{private}/missing")
        flow.supervise()
        sockets = records(load(flow.path)).sockets
        assert not sockets.is_relative_to(private)
        monkeypatch.setenv("TMPDIR", private)
        assert flow.motoko("ps").returncode == 0 and flow.motoko("kill").returncode == 0
        assert not sockets.exists()

    def test_nothing_fits_into_tmpdir(self, flow, mounted, monkeypatch):
        """Two files and no more: not even an empty directory can be made in the end."""
        place = flow.directory.parent / "tmp"
        mounted(place, "-t", "tmpfs", "-o", "nr_inodes=2", "tmpfs")
        monkeypatch.setenv("TMPDIR", str(place))
        for options in ([], ["--detach"]):
            done = flow.motoko("supervise", *options)
            assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
            assert "no directory for sockets can be made" in done.stderr
            assert "No space left on device" in done.stderr
            assert "hint: set TMPDIR, or runtime_dir in motoko.yaml" in done.stderr
            for path in place.iterdir():
                path.rmdir()
        nothing_runs(flow)


@pytest.fixture
def clock(tmp_path, monkeypatch):
    """``clock(seconds)`` sets the clock of all that is started in this test."""
    source, library, offset = (tmp_path / name for name in ("clock.c", "clock.so", "offset"))
    source.write_text(CLOCK)
    if shutil.which("cc") is None:
        pytest.skip("a clock of its own needs a C compiler")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)

    def put(seconds):
        with open(offset, "r+b") as file:
            file.write(struct.pack("l", seconds))

    offset.write_bytes(bytes(8))
    monkeypatch.setenv("MOTOKO_TEST_CLOCK", str(offset))
    monkeypatch.setenv("LD_PRELOAD", str(library))
    shown = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"], capture_output=True, check=True
    )
    assert abs(float(shown.stdout) - time.time()) < 60
    put(-HOUR_S)
    shown = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"], capture_output=True, check=True
    )
    assert abs(float(shown.stdout) + HOUR_S - time.time()) < 60
    put(0)
    return put


def test_clock_is_set_back(flow, clock):
    """Nobody is taken for hung, and what was done before is still there."""
    flow.supervise()
    make_runs(flow, {})
    wait_until(lambda: states(flow) == {1: "FINISHED"}, "a run is executed")
    before = flow.pids()
    clock(-HOUR_S)
    watched = time.monotonic() + 12
    wait_until(lambda: time.monotonic() > watched, "longer than the silence that counts")
    state = flow.ps()
    assert state["supervisor"]["state"] == "ready" and flow.pids() == before
    assert all(0 <= daemon["uptime_s"] < 600 for daemon in state["daemons"])
    for name, pid in [(name, kill9(flow, name)) for name in sorted(ALL)]:
        another(flow, name, pid)
    is_ready(flow)
    make_runs(flow, {}, {})
    wait_until(lambda: states(flow) == {1: "FINISHED", 2: "FINISHED"}, "another is executed")
    assert all(run["attempt"] == 1 for run in runs_of(flow).values())
    os.kill(supervisor_identity(load(flow.path)).pid, signal.SIGKILL)
    wait_until(lambda: supervisor_identity(load(flow.path)) is None, "it is dead")
    before = {daemon["name"]: daemon["pid"] for daemon in flow.ps()["daemons"]}
    flow.supervise()
    assert flow.pids() == before
    assert flow.motoko("logs", "-n", "200").returncode == 0
