"""Wrappers of warm runs wait for turns, with the next run that they have forked ahead."""

import signal
import time

import pytest
from launching import kill_daemon, place, supervising
from support import wait_until
from warming import (
    CALL,
    END,
    WARM,
    executed_by,
    is_warm,
    template_of,
    waiting,
    warmed,
    wrapper_that_waits,
)

from motoko.config import load
from motoko.host.clock import uptime_s
from motoko.reports import slot_use


@pytest.fixture
def supervised(workflow):
    with supervising(workflow) as make:
        yield make


def test_a_wrapper_takes_turns(supervised):
    flow, session = supervised("--slots", "1")
    wrapper, _ = wrapper_that_waits(session, flow)
    assert {executed_by(session, flow) for _ in range(3)} == {wrapper}


def test_a_wrapper_that_waits_is_killed(supervised):
    flow, session = supervised()
    wrapper, standby = wrapper_that_waits(session, flow)
    assert wrapper.signal(signal.SIGKILL)
    wait_until(lambda: not wrapper.alive and not standby.alive, "it has ended")
    assert executed_by(session, flow) != wrapper


def test_a_run_that_was_forked_ahead_is_killed(supervised):
    flow, session = supervised()
    wrapper, standby = wrapper_that_waits(session, flow)
    assert standby.signal(signal.SIGKILL)
    wait_until(lambda: not standby.alive, "it has ended")
    assert executed_by(session, flow) == wrapper


def test_a_template_is_killed_while_wrappers_wait(supervised):
    flow, session = supervised()
    template = template_of(session, flow)
    waiting = wrapper_that_waits(session, flow)
    assert template.signal(signal.SIGKILL)
    wait_until(lambda: not any(one.alive for one in (template, *waiting)), "they have ended")
    assert template_of(session, flow) != template


def test_a_launcher_is_killed_while_wrappers_wait(supervised):
    flow, session = supervised()
    waiting = wrapper_that_waits(session, flow)
    kill_daemon(flow, "launcher:mult")
    wait_until(lambda: not any(one.alive for one in waiting), "they have ended")
    assert wrapper_that_waits(session, flow)[0] not in waiting


def test_since_when_a_run_holds_its_slots(supervised):
    """Not since it was forked."""
    flow, session = supervised()
    _, standby = wrapper_that_waits(session, flow)
    wait_until(lambda: uptime_s(standby) > 1, "it has waited for a while")
    before = time.time() - 0.02  # a file's time is that of a tick
    run = waiting(flow, session)
    (holder,) = slot_use.holders(load(flow.path))
    assert holder.name == f"mult.{run.id}" and holder.since >= before
    (place(flow, run) / "go").touch()
    assert session.ends(run) == [None]


def test_a_changed_module(supervised, tmp_path, monkeypatch):
    """After a module has changed, no run uses its earlier content."""
    (tmp_path / "mine.py").write_text("number = 1\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    flow, session = supervised(yaml="preload: [mine]\n")
    waiting = wrapper_that_waits(session, flow)
    (tmp_path / "mine.py").write_text("number = 22\n")
    text = "run['number'] = __import__('mine').number; "
    run = session.create(CALL, text + END, **WARM)
    assert session.ends(run) == [None]
    session.refresh()
    assert run["number"] == 22 and not is_warm(run)
    wait_until(lambda: not any(one.alive for one in waiting), "no run is forked from it any more")
    warmed(session)
