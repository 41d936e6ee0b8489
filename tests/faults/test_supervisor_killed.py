"""kill -9 of the supervisor, of `motoko kill` and of daemons at any moment; many supervisors.

``MOTOKO_KILLS`` says how many moments of each kind are tried, ``MOTOKO_CAMPAIGN_SEED`` which. A
long campaign (``MOTOKO_CAMPAIGN_S``, as `make test-faults` sets it) tries many.
"""

import contextlib
import itertools
import os
import random
import signal
import time
from pathlib import Path

import msgspec
import pytest
from support import Flow, processes_in, wait_until

from motoko.config import load
from motoko.control.client import supervisor_status
from motoko.control.daemon_records import records, supervisor_identity
from motoko.host.files import read_json
from motoko.host.identity import Identity

SEED = int(os.environ.get("MOTOKO_CAMPAIGN_SEED", "1"))
LONG = float(os.environ.get("MOTOKO_CAMPAIGN_S", "0")) >= 600
MOMENTS = int(os.environ.get("MOTOKO_KILLS", "40" if LONG else "4"))
# In the order in which they are stopped.
ALL = ("launcher:mult", "watcher", "zeo:mult", "bus")
START_MS = 1500  # a start takes about this, on a machine that does nothing else
DETECTED_S = 1.0
FROZEN_S = 15.0
MARGIN_S = 5.0  # on a busy machine

# The daemons come no further than this until they are told.
HELD = """\
import os, sys, time
if any(each.startswith("motoko.workers.") for each in sys.orig_argv):
    while not os.path.exists(os.environ["MOTOKO_TEST_GO"]):
        time.sleep(0.02)
"""


@pytest.fixture
def flow(workflow) -> Flow:
    return workflow()


@contextlib.contextmanager
def noted(text):
    """Say in which round something has failed."""
    try:
        yield
    except AssertionError as error:
        error.add_note(text)
        raise


def living(flow):
    """The daemons whose records name a living process."""
    found = {}
    for path in (flow.directory / ".wf" / "daemons").glob("[a-z]*.json"):
        data = read_json(path)
        identity = Identity.from_dict(data) if data else None
        if identity is not None and identity.alive and data["name"] != "supervisor":
            found[data["name"]] = identity
    return found


def running(flow):
    """The pids of each daemon's processes, as their command lines tell."""
    found = {}
    for identity, command in processes_in(flow.directory):
        module, *words = command.partition(" -m motoko.workers.")[2].split()[:3] or [""]
        if module:
            name = ":".join([module, *words[1:2]])
            found.setdefault(name, []).append(identity.pid)
    return found


def holders(flow):
    """Who holds the lock of each daemon and of the supervisor, as the kernel says."""
    owners = {}
    for line in Path("/proc/locks").read_text().splitlines():
        _, kind, _, _, pid, inode, *_ = line.replace("->", "").split()
        if kind == "FLOCK":
            owners[int(inode.rpartition(":")[2])] = int(pid)
    found = {}
    for name in (*ALL, "supervisor"):
        path = records(load(flow.path)).lock(name)
        if path.exists() and path.stat().st_ino in owners:
            found[name] = owners[path.stat().st_ino]
    return found


def all_is_well(flow, lived=()):
    """Everything is ready, each once, under one supervisor; who has lived is who he was."""
    status = supervisor_status(load(flow.path))
    assert status is not None and status.supervisor.state == "ready", status
    pids = {daemon.name: daemon.pid for daemon in status.daemons}
    assert set(pids) == set(ALL)
    once = {name: [pid] for name, pid in pids.items()}
    # One that was started twice leaves as soon as it finds the lock taken.

    def runs_once():
        now = running(flow)
        assert now == once, now
        return True

    wait_until(runs_once, "each runs once")
    assert holders(flow) == {**pids, "supervisor": status.supervisor.pid}
    assert {name: identity.pid for name, identity in dict(lived).items()}.items() <= pids.items()


def nothing_is_left(flow):
    """No process, no record, no socket; all locks are free."""
    assert not list(processes_in(flow.directory))
    assert not list((flow.directory / ".wf" / "daemons").iterdir())
    assert not (flow.directory / ".wf" / "restarts.json").exists()
    sockets = Path((flow.directory / ".wf" / "runtime").read_text().strip())
    assert not sockets.exists() and not holders(flow)


def kill(flow):
    """``motoko kill``, which has to succeed, and to leave nothing."""
    done = flow.motoko("kill")
    assert done.returncode == 0, done.stdout + done.stderr
    nothing_is_left(flow)


def killed(identity):
    """kill -9, and nothing of it is left."""
    identity.signal(signal.SIGKILL)
    wait_until(lambda: not identity.alive, "it is dead")


def supervisor(flow):
    """The living supervisor."""
    return supervisor_identity(load(flow.path))


def moments_of_a_start(rng):
    """Some milliseconds after the supervisor's record appears, or one of the command's lines."""
    every = [("ms", ms) for ms in range(0, START_MS, 50)] + [
        ("line", number) for number in range(1, len(ALL) + 2)
    ]
    rng.shuffle(every)
    while True:
        yield from every


def start_and_kill(flow, moment):
    """``supervise --detach`` whose supervisor is killed at a moment; returns who lives then."""
    kind, number = moment
    before = supervisor(flow)
    command = flow.begin("supervise", "--detach", start_new_session=True)
    identity = wait_until(lambda: (s := supervisor(flow)) != before and s, "a supervisor")
    if kind == "ms":
        due = time.monotonic() + number / 1000
        wait_until(lambda: time.monotonic() >= due, "it is time")
    else:
        for _ in range(number):
            command.stdout.readline()
    killed(identity)
    lived = living(flow)
    command.communicate(timeout=60)
    return lived


def test_supervisor_killed_while_it_starts(flow):
    """The next one takes over, whatever moment it was; and so does `motoko kill`."""
    rng = random.Random(SEED)
    moments = moments_of_a_start(rng)
    for moment in itertools.islice(moments, MOMENTS):
        with noted(f"killed at {moment}, seed {SEED}"):
            lived = start_and_kill(flow, moment)
            if rng.random() < 0.3:
                second = next(moments)
                with noted(f"then at {second}"):
                    lived |= start_and_kill(flow, second)
            if rng.random() < 0.7:
                flow.supervise()
                all_is_well(flow, lived)
            kill(flow)


@pytest.mark.parametrize("command", ["kill", "supervise"])
def test_daemons_that_have_no_record_yet(flow, tmp_path, command):
    """Their supervisor was killed while Python loaded them: nobody has noted who they are."""
    (tmp_path / "sitecustomize.py").write_text(HELD)
    environment = {"PYTHONPATH": str(tmp_path), "MOTOKO_TEST_GO": str(tmp_path / "go")}
    first = flow.begin("supervise", "--detach", env={**os.environ, **environment})
    wait_until(lambda: set(running(flow)) == {"zeo:mult", "bus"}, "the first ones are started")
    killed(supervisor(flow))
    first.communicate(timeout=60)
    assert not living(flow) and len(running(flow)) == 2
    if command == "supervise":
        second = flow.begin("supervise", "--detach", env={**os.environ, **environment})
        wait_until(lambda: len(running(flow).get("bus", ())) == 2, "others are started")
        (tmp_path / "go").touch()
        out, _ = second.communicate(timeout=20)
        assert second.returncode == 0, out
        all_is_well(flow)
        assert all(daemon["restarts"] == 0 for daemon in flow.daemons().values()), "nobody died"
    kill(flow)


def stopping(flow, ended):
    """``motoko kill`` has been begun, and so many daemons have ended."""
    command = flow.begin("kill")
    wait_until(lambda: len(living(flow)) <= len(ALL) - ended, f"{ended} have ended")
    return command


@pytest.mark.parametrize("ended", range(len(ALL) + 1) if LONG else [1, 4])
def test_supervisor_and_command_killed_while_all_is_stopped(flow, ended):
    """`motoko supervise` has everything again; whose turn had not come is adopted."""
    flow.supervise()
    supervising = supervisor(flow)
    command = stopping(flow, ended)
    killed(supervising)
    command.kill()
    command.wait()
    lived = [(name, identity) for name in ALL if (identity := living(flow).get(name))]
    flow.supervise()
    all_is_well(flow, lived[1:])  # the first one may have been told to end
    kill(flow)


def test_supervisor_alone_killed_while_all_is_stopped(flow):
    """The command that waits for it finishes its work, without waiting for long."""
    rng = random.Random(SEED)
    for ended in [rng.randrange(len(ALL)) for _ in range(MOMENTS // 4)]:
        with noted(f"after {ended} had ended"):
            flow.supervise()
            supervising = supervisor(flow)
            command = stopping(flow, ended)
            killed(supervising)
            out, _ = command.communicate(timeout=20)
            assert command.returncode == 0, out
            nothing_is_left(flow)


@pytest.mark.parametrize("supervised", [True, False])
def test_command_killed_while_all_is_stopped(flow, supervised):
    """It is called again, and nothing is left."""
    rng = random.Random(SEED)
    for ended in [rng.randrange(3) for _ in range(MOMENTS // 4)]:
        with noted(f"after {ended} had ended"):
            flow.supervise()
            if not supervised:
                killed(supervisor(flow))
            command = stopping(flow, ended)
            command.kill()
            command.wait()
            kill(flow)


@pytest.mark.parametrize("count", [2, 5])
def test_supervised_at_the_same_moment(flow, count):
    """One wins, the others say so; all of them return when everything is ready."""
    started = [flow.begin("supervise", "--detach") for _ in range(count)]
    outputs = []
    for process in started:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0, out
        outputs.append(out)
    all_is_well(flow)
    pid = supervisor(flow).pid
    others = [out for out in outputs if f"already running: pid {pid}" in out]
    winners = [out for out in outputs if out not in others]
    assert len(others) == count - 1, outputs
    assert f"ready (pid {pid})" in winners[0], outputs
    kill(flow)


def daemon_of(flow, name):
    """What the supervisor says of a daemon."""
    status = supervisor_status(load(flow.path))
    return msgspec.to_builtins(status.daemon(name))


def another(flow, name, pid, state=None, timeout=20.0):
    """Wait until a daemon has another pid, and a state if one is given; returns what it is."""

    def seen():
        daemon = daemon_of(flow, name)
        assert daemon["pid"] not in (None, pid) and state in (None, daemon["state"]), daemon
        return daemon

    return wait_until(seen, f"another {name}", timeout)


def test_death_is_noticed_at_once(flow):
    """Another process is there within a second; one more chance, since this machine is shared."""
    flow.supervise()
    for name in ALL:
        took = []
        while not took or (took[-1] >= DETECTED_S and len(took) < 2):
            pid = daemon_of(flow, name)["pid"]
            start = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            another(flow, name, pid)
            took.append(time.monotonic() - start)
            found = another(flow, name, pid, "ready")
            ready = time.monotonic() - start
            assert f"{name} ready pid={found['pid']}" in flow.log("supervisor")
        print(f"{name}: another process after {took[-1]:.3f} s, ready after {ready:.3f} s")
        assert took[-1] < DETECTED_S, took
    wait_until(lambda: flow.state() == "ready", "all is ready")
    all_is_well(flow)


def test_frozen_daemons_are_replaced(workflow):
    """Of every kind, within 15 s; the reason is in ps."""
    # A frozen bus hides who else is, so it is one of another workflow.
    one, two = workflow(name="one"), workflow(name="two")
    one.supervise()
    two.supervise()
    frozen = [(one, name) for name in ALL if name != "bus"] + [(two, "bus")]
    pids = {name: daemon_of(flow, name)["pid"] for flow, name in frozen}
    start = time.monotonic()
    for pid in pids.values():
        os.kill(pid, signal.SIGSTOP)
    for flow, name in reversed(frozen):
        left = start + FROZEN_S + MARGIN_S - time.monotonic()
        another(flow, name, pids[name], timeout=left)
        print(f"{name}: replaced {time.monotonic() - start:.1f} s after it was frozen")
    for flow in (one, two):
        wait_until(lambda flow=flow: flow.state() == "ready", "all is ready")
        all_is_well(flow)
    for flow, name in frozen:
        why = daemon_of(flow, name)["last_exit"]
        assert why.endswith(" for 10 s, killed") and why in flow.motoko("ps").stdout, name
