"""What a run has when the spawner has started it: descriptors, signals, limits, its variables."""

import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import spawning
from support import wait_until

from motoko.host.identity import Identity
from motoko.runs.claims import Claim, read_claim, read_exit
from motoko.runs.marks import parse
from motoko.runs.processes import end_processes
from motoko.runs.sessions import in_session, survivors
from motoko.runs.wrappers import TURNS
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
    assert state["session"] == process.record["pid"] and state["directory"] == str(directory)
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
                process.rest()
                assert len(state_of(directory)["descriptors"]) == len(slots) + 3
            assert len([*Path(f"/proc/{spawner._forker.pid}/fd").iterdir()]) == 4
    finally:
        for slot in slots:
            os.close(slot)


def test_turns(directory):
    """A wrapper executes one attempt after another, each with a mark and a session of its own."""
    (directory / "launch.sh").write_text(
        "#!/bin/bash\necho $MOTOKO_RUN; ulimit -x; sleep 60 & exit 3\n"
    )
    names, marked, pids = set(), set(), []
    with spawning.spawner() as spawner:
        for attempt in range(1, TURNS + 2):
            process = spawner.start(directory, attempt, "r.o7", "r.e7", ())
            process.go()
            spawning.ended(process)
            wrapper, claim = process.wrapper, read_claim(directory, attempt)
            assert process.record["code"] == 3 and process.record["attempt"] == attempt
            assert claim.wrapper == wrapper and claim.wrapper.session == process.record["pid"]
            (left,) = survivors(wrapper)  # but for the wrapper itself
            assert in_session(claim.wrapper) == [left] and not wrapper.alive
            text, number = (directory / "r.o7").read_text().splitlines()
            assert int(number) == wrapper.number and parse(text).wrapper == wrapper
            names.add(wrapper)
            marked.add(number)
            pids.append(process.pid)
            assert left.signal(signal.SIGKILL)
            process.rest()
    assert len(names) == len(marked) == TURNS + 1
    assert pids == [pids[0]] * TURNS + pids[-1:] and pids[-1] != pids[0]


def test_it_is_killed_in_its_turn_only(directory):
    (directory / "launch.sh").write_text("#!/bin/sh\nuntil [ -e go ]; do sleep 0.02; done\n")
    with spawning.spawner() as spawner:
        (directory / "go").touch()
        first = spawning.execute(spawner, directory).wrapper
        (directory / "go").unlink()
        second = spawner.start(directory, 2, "r.o7", "r.e7", ())
        second.go()
        wait_until((directory / ".motoko" / "attempt-2").exists, "it has begun")
        assert first.pid == second.pid and first != second.wrapper
        first.kill()
        (directory / "go").touch()
        spawning.ended(second)
        assert second.record["code"] == 0
        second.rest()
        process = second.wrapper.process
        process.signal(signal.SIGKILL)  # while it waits
        wait_until(lambda: not process.alive, "it is dead")
        third = spawning.execute(spawner, directory, attempt=3)
        assert third.record["code"] == 0 and third.pid != second.pid


def test_two_attempts_of_one_wrapper_are_ended(directory):
    """The first one is over. The wrapper, which is stopped, is killed for the second one."""
    (directory / "launch.sh").write_text("#!/bin/sh\n[ $MOTOKO_ATTEMPT = 1 ] || exec sleep 60\n")
    with spawning.spawner() as spawner:
        first = spawning.execute(spawner, directory).wrapper
        second = spawner.start(directory, 2, "r.o7", "r.e7", ())
        second.go()
        wait_until((directory / ".motoko" / "attempt-2").exists, "it has begun")
        assert second.wrapper.process.signal(signal.SIGSTOP)
        end_processes([Claim(second.wrapper), Claim(first)], grace=0.2)
        wait_until(lambda: not second.wrapper.process.alive, "it is killed")
        wait_until(lambda: not survivors(second.wrapper), "and so is all the rest")
        second.close()


def test_a_wrapper_whose_launcher_has_gone(directory):
    """It ends with its turn, and until then it is one of the attempt's processes."""
    (directory / "launch.sh").write_text(
        "#!/bin/sh\nuntil [ -e go ]; do sleep 0.02; done\nexit 3\n"
    )
    with spawning.spawner() as spawner:
        process = spawner.start(directory, 1, "r.o7", "r.e7", ())
        process.go()
        wait_until((directory / ".motoko" / "attempt-1").exists, "it has begun")
        wrapper = process.wrapper
        process.close()
        assert wrapper.alive and wrapper.process in survivors(wrapper)
        (directory / "go").touch()
        wait_until(lambda: not wrapper.process.alive, "it has ended")
        assert read_exit(directory, 1) == 3


HARD = """\
import json, os, resource, select, sys
from pathlib import Path
resource.setrlimit(10, (5, 5))
from motoko.runs.claims import read_claim
from motoko.workers.launcher.spawner import Spawner
spawner, directory = Spawner(), Path(sys.argv[1])
for attempt in (1, 2):
    process = spawner.start(directory, attempt, "r.o7", "r.e7", ())
    process.go()
    select.select([process.watched], [], [])
    process.listen()
    claimed = read_claim(directory, attempt).wrapper
    session, mark = (directory / "r.o7").read_text().split(None, 1)
    assert process.record["code"] == 0 and int(session) == process.pid
    assert claimed == process.wrapper and claimed.turn == 0
    assert mark.split()[1:3] == [str(process.pid), str(claimed.process.start_ticks)]
    process.rest()
spawner.close()
"""


def test_where_no_numbers_can_be_given(directory):
    """An administrator has set the limit: each wrapper has one turn, and the run its session."""
    (directory / "launch.sh").write_text("#!/bin/sh\nps -o sid= $$\necho $MOTOKO_RUN\n")
    subprocess.run([sys.executable, "-c", HARD, directory], check=True, timeout=60)


def test_a_wrapper_that_is_not_let_go(directory):
    with spawning.spawner() as spawner:
        process = spawner.start(directory, 1, "r.o7", "r.e7", ())
        process.abandon()
        assert process.unstarted == wrapper.NO_GO and process.record is None
        waiting = spawner.start(directory, 1, "r.o7", "r.e7", ())
        left = Identity.of(waiting.pid)
        waiting._channel.close()  # as when its launcher is killed
        wait_until(lambda: not left.alive, "it ends")
        assert {path.name for path in directory.rglob("*")} == {
            *(".motoko", "launch.sh", "state.py")
        }
        assert spawning.execute(spawner, directory).record["code"] == 0
        again = spawning.execute(spawner, directory)
        assert again.unstarted == wrapper.CLAIMED and again.wrapper.turn == 2


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
            wait_until(lambda killed=first: not killed.alive, "it has ended")
        waiting.go()
        (directory / "go").touch()
        for process in (running, waiting):
            spawning.ended(process)
            assert process.record["code"] == 3
            process.close()


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
