"""`motoko top` in a real terminal, and what it costs while nothing happens."""

import os
import signal

import pytest
from runs import make_runs, release, started, states, with_waiting_runs
from supervised import frozen, restarted
from support import kill9, wait_until
from tmux_sessions import session

pytest.importorskip("textual", reason="textual (the extra `top`) is not installed")

RUN = {"state": "CREATED"}


@pytest.fixture
def flow(workflow):
    flow = workflow(studies=("mult", "add"))
    with_waiting_runs(flow)
    with open(flow.path, "a") as file:
        file.write("slots: 2\n")
    return flow


def calls(flow):
    """The storage calls that the servers have been asked to do."""
    return {
        name: daemon["counts"].get("calls")
        for name, daemon in flow.daemons().items()
        if name.startswith("zeo:")
    }


def calls_at_next_beat(flow, top):
    """The same when the view stands at a later moment."""
    shown = moment(top)
    wait_until(lambda: moment(top) != shown, "time goes on")
    return calls(flow)


def moment(top):
    return top.until("as of ").partition("as of ")[2][:8]


def test_a_workflow_from_the_first_run_to_the_end(flow):
    with session(flow.directory, "top") as top:
        top.until("no supervisor: the last state", "mult", "q Quit")
        flow.supervise()
        top.until("supervisor ready")
        make_runs(flow, RUN, RUN, RUN)
        wait_until(lambda: len(started(flow)) == 2, "two runs have been started")
        top.press("2")
        top.until("mult: 3 runs", "launched")
        top.press("f", "f")
        top.until("mult: 2 runs", "show: running")
        top.press("4")
        top.until("2 slots on this host, 0 free", "mult.1", "mult.2")
        top.press("6")
        top.until("CREATED -> launched", "mult.2")
        # A run, and its end by a key that asks first.
        top.press("2", "f", "f", "f", "/")
        top.until("Only runs that obey")
        top.press("x", " ", "<", " ", "2", "Enter")
        top.until("mult: 1 run ", "where: x < 2")
        top.press("Enter")
        top.until("mult.1 (x=1.0) is launched: it runs", "wrapper", "output")
        top.press("c")
        top.until("Cancel mult.1?")
        top.press("n", "c", "y")
        top.until("is FAILED: cancelled by")
        assert states(flow)[1] == "FAILED"
        top.press("Escape")
        top.until("where: x < 2")
        top.press("1")
        release(flow)
        wait_until(lambda: set(states(flow).values()) == {"FAILED", "FINISHED"}, "all have ended")
        top.until("██████")
        # The supervisor freezes, and goes on.
        pid = frozen(flow)
        top.until("the supervisor is not answering")
        os.kill(pid, signal.SIGCONT)
        top.until("supervisor ready")
        # It dies, and another one takes over.
        kill9(pid)
        top.until("the supervisor has died: its daemons go on")
        flow.supervise()
        top.until("supervisor ready")
        # Other daemons die.
        for name in ("bus", "watcher"):
            pid = flow.pids()[name]
            kill9(pid)
            restarted(flow, name, pid)
        make_runs(flow, RUN, study="add")
        top.press("Down", "Enter")
        top.until("add: 1 run ", "FINISHED")
        # Nothing happens: no database is asked. The servers tell of their calls at each beat.
        wait_until(lambda: calls(flow) == calls_at_next_beat(flow, top), "no call comes", 60.0)
        assert flow.motoko("kill").returncode == 0
        top.until("no supervisor: the last state")
        top.press("q")
        wait_until(lambda: not top.screen, "it has ended")


def test_without_what_it_needs(flow):
    done = flow.motoko("top")
    assert done.returncode == 2 and "needs a terminal" in done.stderr
    assert "Traceback" not in done.stderr
