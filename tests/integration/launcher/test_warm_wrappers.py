"""Wrappers of warm runs: they take turns, and have forked the next run before they get it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import spawning
from support import wait_until
from warming import standby_of

from motoko.host.identity import Identity
from motoko.host.living_processes import processes
from motoko.host.process_limits import stamp_of
from motoko.runs.claims import read_claim, read_exit
from motoko.runs.marks import parse
from motoko.runs.processes import end_processes
from motoko.runs.sessions import in_session, survivors
from motoko.runs.wrappers import TURNS
from motoko.workers.launcher import wrapper
from motoko.workers.launcher.spawner import Forker, facts
from motoko.workers.launcher.warm_pythons import PROGRAM

GATE = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)\n"


@dataclass
class Template:
    """A template, and the directory of its runs."""

    forker: Forker
    directory: Path

    def start(self, attempt, text, slots=(), **more):
        """Have a wrapper wait with an attempt that executes a text."""
        (self.directory / "doIt.py").write_text(text)
        run = {
            "environment": {"PATH": os.environ["PATH"], **more},
            "python": "python",
            "options": [],
            "script": "doIt.py",
            "arguments": [str(attempt)],
        }
        known = facts(self.directory, attempt, f"o{attempt}", f"e{attempt}")
        return self.forker.start({**known, "warm": json.dumps(run)}, slots)

    def execute(self, attempt, text, slots=(), **more):
        """Have it executed; returns the wrapper, which waits again."""
        process = self.start(attempt, text, slots, **more)
        process.go()
        spawning.ended(process)
        process.rest()
        return process

    def output(self, attempt):
        return (self.directory / f"o{attempt}").read_text()

    def has_begun(self, attempt):
        """Wait until doIt.py is being executed."""
        claim = self.directory / ".motoko" / f"attempt-{attempt}"
        wait_until(lambda: claim.read_text().count("\n") > 5, "it has begun")
        return read_claim(self.directory, attempt).wrapper


@pytest.fixture
def template(tmp_path):
    directory = tmp_path / "a run"
    (directory / ".motoko").mkdir(parents=True)
    with template_in(directory) as made:
        yield made


@contextlib.contextmanager
def template_in(directory):
    modules = json.dumps({"preload": [], "imports": ["fractions"]})
    forker = Forker([sys.executable, str(PROGRAM)], [modules], {"FROM": "the template"})
    try:
        assert json.loads(forker.socket.recv(wrapper.MESSAGE_MAX)) == {"problem": ""}
        yield Template(forker, directory)
    finally:
        forker.end()


def gone(*identities):
    wait_until(lambda: not any(one.alive for one in identities), "they have ended")


SEEN = """\
import fractions, os, random, resource, sys
print(os.environ.get("MOTOKO_RUN"), flush=True)
print(resource.getrlimit(10)[0], os.getsid(0), os.getpgrp(), os.getpid())
print(len(os.listdir("/proc/self/fd")) - 1, os.getcwd(), sys.argv)
print(sorted({name for name in os.environ} - {"MOTOKO_RUN", "PATH"}))
print(getattr(fractions, "mine", None), random.random())
fractions.mine = os.environ["NUMBER"] = "1"
if os.fork() == 0:
    import time
    time.sleep(60)
sys.stdout.flush()
os._exit(3)
"""


def test_turns(template):
    """Each run is an interpreter as if just started, with a mark and a session of its own."""
    names, numbers, pids, drawn = set(), set(), [], set()
    held = os.open(os.devnull, os.O_RDONLY)
    for attempt in range(1, TURNS + 2):
        process = template.execute(attempt, SEEN, [held], **{f"OF{attempt}": "x"})
        assert process.record["code"] == 3 and process.record["attempt"] == attempt
        mark, *lines = template.output(attempt).splitlines()
        name = process.wrapper
        limit, session, group, pid = map(int, lines[0].split())
        assert parse(mark).wrapper == name and parse(mark).claim.endswith(f"/attempt-{attempt}")
        assert limit == name.number and session == group == pid == process.record["pid"]
        assert lines[1] == f"4 {template.directory} ['doIt.py', '{attempt}']"
        assert lines[2] == f"['OF{attempt}']"
        changed, number = lines[3].split()
        assert changed == "None"
        (left,) = survivors(name)  # not the wrapper, nor what it has forked ahead
        claim = read_claim(template.directory, attempt)
        assert claim.wrapper == name and claim.wrapper.session == pid
        assert in_session(claim.wrapper) == [left] and not name.alive
        assert left.signal(signal.SIGKILL)
        names.add(name)
        numbers.add(limit)
        drawn.add(number)
        pids.append(process.pid)
    os.close(held)
    assert len(names) == len(numbers) == len(drawn) == TURNS + 1
    assert pids == [pids[0]] * TURNS + pids[-1:] and pids[-1] != pids[0]


def test_what_waits_is_no_part_of_any_attempt(template):
    held = os.open(template.directory, os.O_RDONLY)
    process = template.execute(1, "", [held])
    os.close(held)
    standby = standby_of(process)
    for one in (process.wrapper.process, standby):
        assert stamp_of(one.pid) is None
        assert Path(f"/proc/{one.pid}/cwd").readlink() == Path("/")
        files = [str(path.readlink()) for path in Path(f"/proc/{one.pid}/fd").iterdir()]
        assert not any(str(template.directory) in path for path in files)
    table = {one.identity.pid: one.session for one in processes()}
    assert table[standby.pid] == process.pid
    process.close()
    gone(standby, process.wrapper.process)


def test_a_wrapper_is_killed_while_it_waits(template):
    first = template.execute(1, "")
    standby = standby_of(first)
    assert first.wrapper.process.signal(signal.SIGKILL)
    gone(first.wrapper.process, standby)
    second = template.execute(2, "print('here')")
    assert second.record["code"] == 0 and template.output(2) == "here\n"
    assert second.pid != first.pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_is_forked_ahead_is_killed(template, number):
    """Before it gets the attempt, and after that: another one executes it."""
    first = template.execute(1, "")
    standby = standby_of(first)
    assert standby.signal(number)
    gone(standby)
    second = template.start(2, "print('here')")
    assert second.pid == first.pid
    waiting = wait_until(
        lambda: (left := survivors(second.wrapper))[1:] and left, "the run has the attempt"
    )
    (run,) = (one for one in waiting if one.pid != second.pid)
    assert run.signal(number)
    gone(run)
    second.go()
    spawning.ended(second)
    assert second.record["code"] == 0 and template.output(2) == "here\n"
    assert second.record["pid"] == read_claim(template.directory, 2).wrapper.session != run.pid
    second.rest()
    assert template.execute(3, "").pid == first.pid


def test_a_wrapper_is_killed_before_it_is_let_go(template):
    """Nothing is executed, and nothing claimed."""
    process = template.start(1, "print('here')")
    waiting = wait_until(
        lambda: (left := survivors(process.wrapper))[1:] and left, "the run has the attempt"
    )
    assert process.wrapper.process.signal(signal.SIGKILL)
    gone(*waiting)
    process.go()
    spawning.ended(process)
    assert not process.has_told
    process.close()
    assert {path.name for path in template.directory.rglob("*")} == {".motoko", "doIt.py"}
    assert template.execute(1, "print('here')").record["code"] == 0


def test_a_wrapper_is_killed_in_its_turn(template):
    """The run goes on, and is seen."""
    process = template.start(1, GATE)
    process.go()
    claimed = template.has_begun(1)
    assert process.wrapper.process.signal(signal.SIGKILL)
    gone(process.wrapper.process)
    (run,) = survivors(process.wrapper)
    assert in_session(claimed) == [run] and run.pid == claimed.session
    (template.directory / "go").touch()
    gone(run)
    process.close()


def test_it_is_not_let_go(template):
    process = template.start(1, "print('here')")
    process.abandon()
    assert process.unstarted == wrapper.NO_GO and process.record is None
    gone(process.wrapper.process)
    left = template.start(1, "print('here')")
    waiting = wait_until(
        lambda: (both := survivors(left.wrapper))[1:] and both, "the run has the attempt"
    )
    left._channel.close()  # as when its launcher is killed
    gone(*waiting)
    assert {path.name for path in template.directory.rglob("*")} == {".motoko", "doIt.py"}
    assert template.execute(1, "").record["code"] == 0
    again = template.execute(1, "")
    assert again.unstarted == wrapper.CLAIMED and again.wrapper.turn == 2
    assert template.execute(2, "").record["code"] == 0


def test_its_launcher_has_gone(template):
    process = template.start(1, f"{GATE}raise SystemExit(3)")
    process.go()
    template.has_begun(1)
    process.close()
    template.forker.end()
    assert process.wrapper.alive
    (template.directory / "go").touch()
    gone(process.wrapper.process)
    assert read_exit(template.directory, 1) == 3


def test_an_attempt_is_ended(template):
    process = template.start(1, GATE)
    process.go()
    template.has_begun(1)
    end_processes([read_claim(template.directory, 1)], grace=5)
    spawning.ended(process)
    assert process.record["code"] == 128 + signal.SIGTERM
    process.rest()
    assert template.execute(2, "").pid == process.pid


def test_a_killed_template(template):
    """What it has forked lives on, until it is closed."""
    running = template.start(1, GATE)
    running.go()
    template.has_begun(1)
    idle = template.execute(2, "")
    killed = Identity.of(template.forker.pid)
    assert killed.signal(signal.SIGKILL)
    wait_until(lambda: template.forker.has_ended, "it has ended")
    template.forker.close()
    gone(idle.wrapper.process)
    (template.directory / "go").touch()
    spawning.ended(running)
    assert running.record["code"] == 0
    running.rest()
    gone(running.wrapper.process)


def test_very_many_slots(template):
    slots = [os.open(os.devnull, os.O_RDONLY) for _ in range(2 * wrapper.DESCRIPTORS_MAX + 3)]
    count = "import os; print(len(os.listdir('/proc/self/fd')))"
    try:
        for attempt in (1, 2):
            template.execute(attempt, count, slots)
            assert int(template.output(attempt)) == len(slots) + 4
    finally:
        for slot in slots:
            os.close(slot)


HARD = """\
import os, resource, sys
from pathlib import Path
resource.setrlimit(10, (5, 5))
from test_warm_wrappers import SEEN, read_claim, signal, survivors, template_in
with template_in(Path(sys.argv[1])) as template:
    for attempt in (1, 2):
        process = template.execute(attempt, SEEN)
        claimed = read_claim(template.directory, attempt).wrapper
        mark, numbers, *_ = template.output(attempt).splitlines()
        assert process.record["code"] == 3 and claimed == process.wrapper and claimed.turn == 0
        assert numbers.split()[:3] == ["5", str(process.pid), str(process.pid)], numbers
        assert mark.split()[1:3] == [str(process.pid), str(claimed.process.start_ticks)]
        (left,) = (one for one in survivors(claimed) if one != claimed.process)
        assert left.signal(signal.SIGKILL)
"""


def test_where_no_numbers_can_be_given(tmp_path):
    """Each wrapper has one turn, and the run its session."""
    (tmp_path / ".motoko").mkdir()
    places = [str(Path(__file__).parent), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    subprocess.run([sys.executable, "-c", HARD, tmp_path], check=True, timeout=60, env=environment)
