"""Whatever a run has started ends with it, wherever it has gone; and nothing else does."""

import os
import signal
import subprocess

import pytest
from launching import (
    GATE,
    all_slots_free,
    deadline,
    go,
    identity,
    kill_daemon,
    place,
    process_in,
    start,
    stop,
    taken_slots,
    wrapper_of,
)
from support import wait_until

from motoko.host.process_limits import stamp
from motoko.runs.marks import text_of

# Each writes its number into a file of its own. The last has no session, parent, environment or
# file of the run any more.
SESSION = "setsid sh -c 'echo $$ > {}; exec sleep 1000' &\n"
DAEMON = "(setsid bash -c '(trap \"\" TERM HUP; echo $BASHPID > {}; sleep 1000) & exit' &)\n"
CHILD = "env -i PATH=$PATH setsid sh -c 'echo $$ > {}; exec 3>&- 4>&-; sleep 1000' &\n"
TRACELESS = """\
python -c '
import os
os.fork() and os._exit(0)
os.setsid()
os.fork() and os._exit(0)
os.closerange(0, 65536)
os.execve("/bin/sh", ["sh", "-c", "echo $$ > {}; exec sleep 1000"], {{"PATH": os.defpath}})
'
"""
LEAVING = SESSION.format("a") + DAEMON.format("b") + TRACELESS.format("d")
WAITING = "until [ -s a ] && [ -s b ] && [ -s d ]; do sleep 0.05; done\n"


@pytest.fixture(autouse=True)
def limit():
    with deadline(120):
        yield


@pytest.fixture
def stranger():
    """Somebody who carries the mark of a copied workflow, and looks into the run's directory."""
    processes = []

    def start(directory, wrapper):
        claim = f"/copy{directory}/.motoko/attempt-1"
        mark = f"{wrapper.process.boot_id} {wrapper.pid} {wrapper.start + 1} {claim}"
        with open(directory / ".motoko" / "attempt-1") as file:
            process = subprocess.Popen(
                ["sleep", "1000"],
                cwd=directory,
                stdin=file,
                env={**os.environ, "MOTOKO_RUN": mark, "MOTOKO_ATTEMPT": "1"},
            )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def left_by(flow, run, *names):
    return [process_in(place(flow, run) / name) for name in names or ("a", "b", "d")]


def all_end(processes, what):
    def ended():
        living = [process for process in processes if process.alive]
        assert not living, living
        return True

    wait_until(ended, what, timeout=15)


def test_at_the_end(supervised):
    """Of a run that has FINISHED or FAILED; and the next one has its slot."""
    flow, session = supervised("--slots", "1")
    for end in ("python doIt.py", "exit 3"):
        run = session.create(f"{LEAVING}{WAITING}{end}")
        left = left_by(flow, run)
        session.ends(run)
        assert session.ends(session.create(f"python doIt.py # {run.id}")) == [None]
        all_end(left, "nothing of it lives")
    all_slots_free(flow)


def test_when_it_is_ended(supervised, stranger):
    """Cancelled, too late, cancelled without a launcher, killed; another user's processes, too."""
    flow, session = supervised("--slots", "4")
    script = f"{LEAVING}{CHILD.format('c')}{WAITING}sleep 1000"
    late = session.create(f"{script} # late", timeout=4.0)
    as_other = "setpriv --reuid 12345 " if os.getuid() == 0 else ""
    runs = [session.create(f"{as_other}sleep 1000 &\n{script} # {n}") for n in range(3)]
    left = {run.id: left_by(flow, run, "a", "b", "c", "d") for run in (late, *runs)}
    others = [stranger(place(flow, run), wrapper_of(place(flow, run))) for run in (late, *runs)]
    assert flow.motoko("cancel", f"mult.{runs[0].id}").returncode == 0
    for run in (runs[0], late):
        all_end(left[run.id], "nothing of it lives")
    wait_until(lambda: len(taken_slots(flow)) == 2, "their slots are free")
    stop(flow, "launcher:mult")
    assert flow.motoko("cancel", f"mult.{runs[1].id}").returncode == 0
    all_end(left[runs[1].id], "nothing of it lives")
    start(flow, "launcher:mult")
    assert flow.daemons()["launcher:mult"]["restarts"] == 0
    assert all(process.alive for process in left[runs[2].id])
    assert flow.motoko("kill", "--now").returncode == 0
    all_end(left[runs[2].id], "nothing of it lives")
    assert [other.poll() for other in others] == [None] * 4 and taken_slots(flow) == []


def test_a_launcher_that_was_killed(supervised, stranger):
    """Before the end, and right after it: the next one ends what is left."""
    flow, session = supervised("--slots", "3")
    runs = [session.create(f"{LEAVING}{WAITING}{GATE}exit {n}") for n in (3, 4)]
    lives = session.create(f"{LEAVING}{WAITING}{GATE}sleep 1000")
    left = [process for run in runs for process in left_by(flow, run)]
    kept = left_by(flow, lives)
    other = stranger(place(flow, runs[0]), wrapper_of(place(flow, runs[0])))
    kill_daemon(flow, "launcher:mult")  # adopted by the next
    go(flow, runs[0])
    session.ends(runs[0])
    all_end(left[:3], "what was left of the adopted run has ended")
    # Nobody is there when it ends; or its end was recorded by one who did no more.
    stop(flow, "launcher:mult")
    go(flow, runs[1])
    wait_until(lambda: not wrapper_of(place(flow, runs[1])).alive, "it has ended")
    assert all(process.alive for process in left[3:])
    start(flow, "launcher:mult")
    session.ends(runs[1])
    all_end(left[3:], "nothing of it lives")
    assert other.poll() is None and all(process.alive for process in kept)
    wait_until(lambda: len(taken_slots(flow)) == 1, "only the one that runs has its slot")


def test_what_was_left_when_the_end_was_recorded_already(supervised):
    flow, session = supervised("--slots", "2")
    run = session.create("exit 3")
    session.ends(run)
    wrapper = wrapper_of(place(flow, run))
    launcher = identity(flow, "launcher:mult")
    claim = place(flow, run) / ".motoko" / "attempt-1"
    mark = f"{text_of(wrapper)} {claim}"
    with (
        subprocess.Popen(["sleep", "1000"], env={**os.environ, "MOTOKO_RUN": mark}) as marked,
        subprocess.Popen(["sleep", "1000"], env={}) as stamped,
    ):
        stamp(stamped.pid, wrapper.number)
        launcher.signal(signal.SIGKILL)
        for survivor in (marked, stamped):
            assert survivor.wait(20) == -signal.SIGKILL


def test_a_wrapper_that_was_killed(supervised):
    """launch.sh goes on, and so does what it has started; then that ends, too."""
    flow, session = supervised("--slots", "1")
    run = session.create(f"{LEAVING}{WAITING}{GATE}python doIt.py")
    left = left_by(flow, run)
    wrapper_of(place(flow, run)).process.signal(signal.SIGKILL)
    next_one = session.create("python doIt.py # next")
    go(flow, run)
    assert session.ends(run, next_one) == [None, None]
    all_end(left, "nothing of it lives")
