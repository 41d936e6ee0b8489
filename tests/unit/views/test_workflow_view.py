"""What a live view says that it cannot know, and the time that it stands at."""

import pytest

from motoko.bus.messages import Transition
from motoko.control.protocol import SupervisorInfo
from motoko.reports.state_counts import StateCounts
from motoko.reports.status import ELSEWHERE, NOT_ANSWERING, NOT_RUNNING, Daemon, WorkflowStatus
from motoko.views.workflow_view import EVENTS, WorkflowView


def daemon(name, pid=10, state="ready", **more):
    kind = name.partition(":")[0]
    return Daemon(name, kind, pid, state, 5.0, 0, None, "log", **more)


ALL = [daemon(name) for name in ("bus", "watcher", "zeo:mult", "launcher:mult")]


def seen(state="ready", daemons=ALL, **more):
    view = WorkflowView.of(["mult"])
    info = SupervisorInfo(1, "here", state, 5.0)
    view.see(WorkflowStatus("motoko.yaml", info, daemons, [], **more), 100.0)
    view.is_told = state == "ready"
    view.heard = 100.0
    return view


def test_all_is_well():
    assert list(seen().unknown()) == []


def test_nothing_is_known():
    view = WorkflowView.of(["mult"])
    assert list(view.unknown()) == ["the workflow's processes are not known yet"]
    assert view.stands_at(view.studies["mult"]) is None


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (seen(NOT_RUNNING, []), "no supervisor: the last state, from the files"),
        (seen(NOT_RUNNING, ALL), "the supervisor has died: its daemons go on"),
        (seen(NOT_RUNNING, [daemon("zeo:mult")]), "1 daemon lives"),
        (seen(NOT_ANSWERING, ALL), "the supervisor is not answering"),
        (seen(ELSEWHERE, [], note="it is on node7: cannot be reached"), "it is on node7"),
        (seen(daemons=ALL[:3]), "no launcher"),
        (seen(daemons=[ALL[0], *ALL[2:]]), "no watcher"),
        (seen(daemons=[*ALL, daemon("launcher:x", None, "failed")]), "launcher:x was given up"),
        (seen(daemons=[*ALL, daemon("gate", trouble="no room")]), "gate: no room"),
    ],
)
def test_what_is_missing(view, words):
    assert words in "\n".join(view.unknown())


def test_the_bus():
    view = seen()
    view.is_told = False
    assert "the bus is not heard yet" in "\n".join(view.unknown())
    view.why_untold = "it is of another account"
    (line,) = view.unknown()
    assert line == "it is of another account; the files are looked at every 2 s"


def test_what_another_account_cannot_do_is_not_suggested():
    for daemons, words in (([], "the workflow is ann's"), (ALL, "its daemons go on")):
        view = seen(NOT_RUNNING, daemons)
        assert "`motoko supervise`" in next(view.unknown())
        view.see(view.status, 100.0, "ann")
        (line, *_) = view.unknown()
        assert line.endswith(words)


def test_silence():
    view = seen()
    study = view.studies["mult"]
    study.begin_reading()
    study.read(StateCounts(), 50.0)
    assert view.stands_at(study) == 100.0, "the watcher was heard then"
    view.silent = frozenset(["mult"])
    assert view.stands_at(study) == 50.0, "nobody would have told"
    assert "no word from the watcher of mult" in "\n".join(view.unknown())


def test_a_study_that_cannot_be_read():
    view = seen()
    view.studies["mult"].failed_to_read("not created yet")
    assert "mult: not created yet" in list(view.unknown())


def test_which_runs_have_changed():
    view = WorkflowView.of(["mult"])
    for number in range(EVENTS + 1):
        tid = f"{number:016x}"
        view.take(Transition("mult", number, "START", "FINISHED", tid, "e", number, "t"), 1.0)
    assert view.changed_since(EVENTS + 1) == frozenset()
    assert view.changed_since(EVENTS - 1) == {("mult", EVENTS - 1), ("mult", EVENTS)}
    assert len(view.changed_since(1)) == EVENTS
    assert view.changed_since(0) is None  # that event was dropped
