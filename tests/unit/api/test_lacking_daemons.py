"""Who waits is told of daemons that are not there, or can start nothing: once, and now and then."""

import logging
from types import SimpleNamespace

import pytest

from motoko.api import lacking_daemons
from motoko.api.lacking_daemons import AGAIN_S, GIVEN_UP_S, LackingDaemons
from motoko.bus.messages import Lacking
from motoko.bus.waiters import Interest, Waiters
from motoko.config.daemon_kinds import LAUNCHER, ZEO
from motoko.supervisor.lacking import lacking
from motoko.supervisor.table import State

FULL = Lacking(hindered={"launcher:mult": "launcher:mult can start nothing more now (disk)"})
STOPPED = Lacking({"launcher:mult": "launcher:mult is stopped"})
GIVEN_UP = Lacking({"launcher:mult": "launcher:mult was given up"}, {}, ["launcher:mult"])


@pytest.fixture
def ear(monkeypatch, caplog):
    """``ear(word, seconds later)`` gives what is told of a word to who waits for ``ear.study``."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(lacking_daemons.time, "monotonic", lambda: clock.now)
    daemons, waiters = LackingDaemons(), Waiters()
    caplog.set_level(logging.WARNING)

    def hear(word, later=1.0):
        clock.now += later
        caplog.clear()
        with waiters.waiting(Interest(runs={(hear.study, 1)}), "RunList(1)") as waiter:
            daemons.heard(word, waiters)
            hear.woken = waiter.event.is_set()
        return [record.getMessage() for record in caplog.records]

    hear.study, hear.daemons = "mult", daemons
    return hear


@pytest.mark.parametrize(
    "word, line, over",
    [
        (FULL, FULL.hindered["launcher:mult"], "launcher:mult: at work again"),
        (STOPPED, STOPPED.absent["launcher:mult"], "all daemons are there again"),
        (GIVEN_UP, GIVEN_UP.absent["launcher:mult"], "all daemons are there again"),
    ],
)
def test_at_once_and_again(ear, word, line, over):
    line = f"still waiting for RunList(1), but {line}"
    assert ear(Lacking()) == []
    assert ear(word) == [line]
    assert ear(word, AGAIN_S / 2) == []
    assert ear(word, AGAIN_S / 2) == [line]
    assert ear(Lacking()) == [over]
    assert ear(Lacking(), AGAIN_S) == []


def test_what_comes_and_goes_is_told_now_and_then(ear):
    """A trouble whose text changes each time is reported now and then only."""
    assert ear(FULL) and ear(Lacking())
    for text in ("run-2: disk", "run-3: disk"):
        assert ear(Lacking(hindered={"launcher:mult": text})) == ear(Lacking()) == []
    assert ear(FULL, AGAIN_S) and ear(Lacking())


def test_the_concerns_of_others(ear):
    ear.study = "norm"
    assert ear(FULL) == ear(STOPPED) == ear(GIVEN_UP) == ear(Lacking()) == []
    both = Lacking({"bus": "bus is stopped", "launcher:mult": "launcher:mult is stopped"})
    assert ear(both) == ["still waiting for RunList(1), but bus is stopped"]


def test_from_one_to_the_other(ear):
    assert ear(FULL)
    assert ear(STOPPED) == ["still waiting for RunList(1), but launcher:mult is stopped"]
    assert ear(Lacking()) == ["all daemons are there again"]


def test_what_was_told_already(ear):
    ear.daemons.note_absent(["launcher:mult", "launcher:norm"])
    none = Lacking({"launcher:mult": "there is no launcher:mult", "launcher:norm": "likewise"})
    assert ear(none) == [] and len(ear(none, AGAIN_S)) == 1
    assert ear(STOPPED) == [] and ear(Lacking()) == ["all daemons are there again"]


def test_given_up_for_long(ear):
    assert ear(GIVEN_UP) and not ear.woken
    ear(GIVEN_UP, GIVEN_UP_S - 1)
    assert not ear.daemons.is_never_started("mult")
    ear(GIVEN_UP)
    assert ear.woken and "given up" in ear.daemons.is_never_started("mult")
    assert not ear.daemons.is_never_started("norm")
    ear(Lacking())
    assert not ear.woken and not ear.daemons.is_never_started("mult")
    ear(GIVEN_UP)
    assert not ear.daemons.is_never_started("mult"), "it counts anew"
    ear(STOPPED, GIVEN_UP_S)
    assert not ear.daemons.is_never_started("mult"), "somebody has stopped it"


def test_what_the_supervisor_says():
    def member(kind, study=None, state=State.READY, trouble="", hindered=""):
        return SimpleNamespace(
            spec=SimpleNamespace(kind=kind, study=study),
            entry=SimpleNamespace(state=state, last_exit="exited with 1", hindered=hindered),
            trouble=trouble,
        )

    members = {
        "zeo:a": member(ZEO, "a", State.STOPPED),
        "launcher:a": member(LAUNCHER, "a", State.FAILED, "old"),
        "zeo:b": member(ZEO, "b"),
        "launcher:b": member(LAUNCHER, "b", trouble="No space left on device"),
        "zeo:c": member(ZEO, "c"),
        "watcher": member("watcher", state=State.BACKOFF, hindered="no more processes"),
        "orchestrator:r": member("orchestrator", state=State.FAILED),
    }
    word = lacking(members)
    assert word.given_up == ["launcher:a"]
    assert word.absent == {
        "zeo:a": "zeo:a is stopped: `motoko start zeo:a` starts it again",
        "launcher:a": "launcher:a was given up (exited with 1): `motoko logs launcher:a` says why, "
        "`motoko supervise` starts it again",
        "launcher:c": "there is no launcher:c: `motoko launcher --bd_study c` starts it",
    }
    assert word.hindered == {
        "watcher": "watcher cannot be started now (no more processes): it is tried again by itself",
        "launcher:b": "launcher:b can start nothing more now (No space left on device): mend that, "
        "it tries again by itself",
    }
    assert lacking({}) == Lacking()
