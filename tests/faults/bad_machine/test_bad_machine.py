"""What machines do to workflows: pids used again, full disks, lost sockets, clocks set back."""

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
from bad_machines import another, daemon_of, is_ready, kill9, nothing_runs
from runs import make_runs, run_directory, runs_of, states
from support import wait_until

from motoko.config import load
from motoko.control.daemon_records import records, supervisor_identity
from motoko.host.identity import Identity
from motoko.host.proc_files import boot_id

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
        [
            {"start_ticks": 1},
            {"boot_id": "another"},
            {"boot_id": "another", "host": "elsewhere"},
        ],
        ids=["reused pid", "before a reboot", "another host"],
    )
    def test_is_never_signalled(self, flow, foreign, other):
        who = replace(foreign, **other)
        # A supervisor of another host is not followed without a word: `--takeover`.
        is_elsewhere = who.host == "elsewhere"

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
            (path / ".motoko" / "attempt-1").write_text(
                f"{boot}\n{who.pid} (sh) {' '.join(ticks)}\n"
            )
        daemons = (*sorted(ALL), "zeo:gone", "supervisor")
        write("daemons", *daemons)
        write("orchestrators", "a")

        assert flow.motoko("ps").returncode == 3
        killed = flow.motoko("kill")
        if is_elsewhere:
            assert killed.returncode == 3 and "--takeover" in killed.stderr
            flow.supervise("--no-launchers", "--takeover")
            assert flow.motoko("kill").returncode == 0
        else:
            assert killed.stdout == "nothing is running\n"
        stopped = flow.motoko("orchestrator", "stop").stdout
        assert "stopped" not in stopped, stopped
        done = flow.motoko("cancel", "mult.1")
        assert done.returncode == 0, done.stdout + done.stderr
        write("daemons", *(daemons[:-1] if is_elsewhere else daemons))
        flow.supervise()
        # What a reboot has interrupted is executed again.
        ended = {"FAILED"} if who.is_here else {"FAILED", "FINISHED"}
        wait_until(lambda: (s := states(flow))[1] == "FAILED" and s[2] in ended, "both have ended")
        write("daemons", "zeo:gone")
        another(flow, "bus", kill9(flow, "bus"))
        is_ready(flow)
        os.kill(supervisor_identity(load(flow.path)).pid, signal.SIGKILL)
        wait_until(lambda: supervisor_identity(load(flow.path)) is None, "it is dead")
        write("daemons", "zeo:gone", *([] if is_elsewhere else ["supervisor"]))
        assert flow.motoko("ps").returncode == 3
        done = flow.motoko("kill")
        assert done.returncode == 0 and done.stdout.count("stopped ") == len(ALL), done
        nothing_runs(flow)


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
        # Its supervisor may have begun to mend it: some are about to be started again then.
        assert done.returncode == 0 and "stopped supervisor" in done.stdout, done
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
