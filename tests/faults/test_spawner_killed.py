"""The process that starts a launcher's runs is killed or stopped: nothing is lost."""

import os
import signal
from pathlib import Path

import pytest
from launching import (
    GATE,
    all_slots_free,
    daemon,
    deadline,
    go,
    identity,
    place,
    taken_slots,
    wrapper_of,
)
from support import wait_until

from motoko.host.identity import Identity
from motoko.runs.sessions import survivors

NAME = b"motoko-spawner"
YAML = "finish: on-exit\n"


@pytest.fixture(autouse=True)
def limit():
    with deadline(120):
        yield


def spawner_of(flow):
    """The launcher's own child that forks wrappers."""
    launcher = identity(flow, "launcher:mult").pid
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    (pid,) = [pid for pid in children if NAME in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return Identity.of(int(pid))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_its_runs_go_on_and_others_start(supervised, number):
    flow, session = supervised("--slots", "2", yaml=YAML)
    running = session.create(f"{GATE}python -Sc 'b\"x\" * 100_000_000'; exit 3")
    wrapper_of(place(flow, running))
    first = spawner_of(flow)
    assert first.signal(number)
    others = [session.create(f"echo {n}") for n in range(5)]
    assert session.ends(*others) == [None] * 5
    second = spawner_of(flow)
    assert second != first
    wait_until(lambda: not first.alive, "the first one is gone")
    assert "is replaced" in flow.log("launcher:mult")
    go(flow, running)
    (error,) = session.ends(running)
    assert error is not None and "exit code 3" in error.reason
    session.until(running, exit_code=3, attempt=1)
    assert 100_000_000 < running.max_rss_bytes < 150_000_000
    assert daemon(flow, "launcher:mult")["restarts"] == 0
    all_slots_free(flow)


def test_killed_with_its_launcher(supervised):
    """And with the supervisor's next launcher: each run has one execution, and its figures."""
    flow, session = supervised("--slots", "2", yaml=YAML)
    runs = [session.create(f"touch exec-$$; {GATE}exit {n}") for n in range(2)]
    wrappers = [wrapper_of(place(flow, run)) for run in runs]
    spawner, launcher = spawner_of(flow), identity(flow, "launcher:mult")
    for process in (spawner, launcher):
        assert process.signal(signal.SIGKILL)
    wait_until(lambda: daemon(flow, "launcher:mult")["restarts"] == 1, "there is another launcher")
    third = session.create("true")
    for run in runs:
        go(flow, run)
    assert session.ends(third) == [None]
    ends = session.ends(*runs)
    assert ends[0] is None and "exit code 1" in ends[1].reason
    for run in runs:
        assert len([*place(flow, run).glob("exec-*")]) == 1
        assert run.cpu_s >= 0
    wait_until(lambda: not survivors(*wrappers), "nothing is left")
    os.kill(spawner_of(flow).pid, signal.SIGKILL)
    assert session.ends(session.create("true # again")) == [None]


def test_a_wrapper_that_is_killed_before_it_begins(supervised):
    """It has waited for a turn, and got one: the run is executed by another one, as attempt 1."""
    flow, session = supervised("--slots", "1", yaml=YAML)
    first = session.create("true")
    assert session.ends(first) == [None]
    waiting = wrapper_of(place(flow, first)).process
    assert waiting.signal(signal.SIGSTOP)
    run = session.create("echo again >> tries")
    session.until(run, state="launched")
    wait_until(lambda: taken_slots(flow) == [0], "the run is given to it")
    assert waiting.signal(signal.SIGKILL)
    assert session.ends(run) == [None]
    session.until(run, attempt=1)
    assert (place(flow, run) / "tries").read_text() == "again\n"
    assert "its wrapper was killed before it began" in flow.log("launcher:mult")
