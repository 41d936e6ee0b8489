"""What a run has when the spawner has started it: descriptors, signals, limits, its variables."""

import errno
import json
import os
import re
import resource
import signal
import sys
from pathlib import Path

import pytest
import spawning
from support import wait_until

from motoko.host.identity import Identity
from motoko.workers.launcher import wrapper
from motoko.workers.launcher.spawner import environment

STATE = """\
import json, os, resource
print(json.dumps({
    "descriptors": sorted(map(int, os.listdir("/proc/self/fd")))[:-1],
    "limits": resource.getrlimit(resource.RLIMIT_CORE),
    "session": os.getsid(0),
    "umask": os.umask(0),
    "nice": os.nice(0),
    "variables": dict(os.environ),
    "input": os.readlink("/proc/self/fd/0"),
    "directory": os.getcwd(),
}))
"""


@pytest.fixture
def directory(tmp_path):
    """Where a run tells what it has."""
    path = tmp_path / "a run"
    (path / ".motoko").mkdir(parents=True)
    (path / "state.py").write_text(STATE)
    script = f"grep Sig /proc/self/status > signals; exec {sys.executable} -S state.py"
    (path / "launch.sh").write_text(f"#!/bin/bash -p\n{script}\n")
    return path


def state_of(directory):
    return json.loads((directory / "r.o7").read_text())


def test_what_a_run_has(directory):
    """What this process has, but for its own descriptors and what Python ignores."""
    held = {"BASH_FUNC_f%%": "() { :; }", "a.b": "dots", "Ä": "\udcff"}
    before, mask = resource.getrlimit(resource.RLIMIT_CORE), os.umask(0o027)
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, before[1]))
        with spawning.spawner({**environment(), **held}) as spawner:
            process = spawning.execute(spawner, directory)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
        os.umask(mask)
    assert process.record["code"] == 0, (directory / "r.e7").read_text()
    state = state_of(directory)
    assert state["descriptors"] == [0, 1, 2] and state["input"] == os.devnull
    ours, its = (
        {name: int(mask, 16) for name, mask in re.findall(r"Sig(Ign|Blk):\s*(\w+)", text)}
        for text in (Path("/proc/self/status").read_text(), (directory / "signals").read_text())
    )
    # But for what Python ignores; and glibc keeps 32 and 33 for itself.
    glibc_s, python_s = 3 << 31, 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1
    assert its["Ign"] & ~glibc_s == ours["Ign"] & ~(glibc_s | python_s)
    assert its["Blk"] == ours["Blk"] == 0
    assert (state["limits"], state["umask"], state["nice"]) == ([0, before[1]], 0o027, os.nice(0))
    assert state["session"] == process.pid and state["directory"] == str(directory)
    variables = state["variables"]
    assert variables.pop("MOTOKO_RUN").endswith(f" {directory}/.motoko/attempt-1")
    expected = {**environment(), **held, "MOTOKO_ATTEMPT": "1", "PWD": str(directory)}
    of_shells = dict.fromkeys(("_", "SHLVL", "OLDPWD"))
    assert variables | of_shells == expected | of_shells


def test_very_many_slots(directory):
    """More than a message can bring: the run holds them all, and the spawner none."""
    slots = [os.open(os.devnull, os.O_RDONLY) for _ in range(2 * wrapper.DESCRIPTORS_MAX + 3)]
    try:
        with spawning.spawner() as spawner:
            for attempt in (1, 2):
                process = spawner.start(directory, attempt, "r.o7", "r.e7", slots)
                process.go()
                spawning.ended(process)
                assert len(state_of(directory)["descriptors"]) == len(slots) + 3
            assert len([*Path(f"/proc/{spawner._forker.pid}/fd").iterdir()]) == 4
    finally:
        for slot in slots:
            os.close(slot)


def test_a_wrapper_that_is_not_let_go(directory):
    with spawning.spawner() as spawner:
        process = spawner.start(directory, 1, "r.o7", "r.e7", ())
        process.abandon()
        spawning.ended(process)
        assert process.unstarted == wrapper.NO_GO and process.record is None
        waiting = spawner.start(directory, 1, "r.o7", "r.e7", ())
        left = Identity.of(waiting.pid)
        waiting._channel.close()  # as when its launcher is killed
        wait_until(lambda: not left.alive, "it ends")
        os.close(waiting.pidfd)
        assert {path.name for path in directory.rglob("*")} == {
            *(".motoko", "launch.sh", "state.py")
        }
        assert spawning.execute(spawner, directory).record["code"] == 0
        assert spawning.execute(spawner, directory).unstarted == wrapper.CLAIMED


def test_a_spawner_that_is_killed(directory):
    """At any moment: its runs live on and tell how they ended, and another one takes its place."""
    (directory / "launch.sh").write_text(
        "#!/bin/sh\nuntil [ -e go ]; do sleep 0.02; done\nexit 3\n"
    )
    with spawning.spawner() as spawner:
        running = spawner.start(directory, 1, "r.o7", "r.e7", ())
        waiting = spawner.start(directory, 2, "r.o8", "r.e8", ())
        running.go()
        wait_until((directory / ".motoko" / "attempt-1").exists, "it has begun")
        for number in (signal.SIGKILL, signal.SIGSTOP):
            first = Identity.of(spawner._forker.pid)
            assert first.signal(number)
            other = spawner.start(directory, 3, "r.o9", "r.e9", ())
            other.abandon()
            os.close(other.pidfd)
            wait_until(lambda killed=first: not killed.alive, "it has ended")
        waiting.go()
        (directory / "go").touch()
        for process in (running, waiting):
            spawning.ended(process)
            assert process.record["code"] == 3


def test_where_no_python_starts(directory, monkeypatch):
    """The machine's trouble, not the run's."""
    monkeypatch.setattr(sys, "executable", str(directory / "python"))
    with spawning.spawner() as spawner:
        with pytest.raises(FileNotFoundError):
            spawner.start(directory, 1, "r.o7", "r.e7", ())
        (directory / "python").write_text("#!/bin/sh\nexit 1\n")
        (directory / "python").chmod(0o700)
        with pytest.raises(OSError, match="the process that starts runs") as caught:
            spawner.start(directory, 1, "r.o7", "r.e7", ())
        assert caught.value.errno != errno.EAGAIN
