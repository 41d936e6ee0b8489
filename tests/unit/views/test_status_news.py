"""Which of a supervisor's answers a view is told of."""

from motoko.control.protocol import DaemonInfo, OrchestratorInfo, Status, SupervisorInfo
from motoko.views import status_news
from motoko.views.status_news import DETAILS_S, FIGURES_S, Figures, StatusNews


def answer(launcher="1 running", bus="last message 0.1 s ago", state="ready", waiting=("mult.1",)):
    return Status(
        "motoko.yaml",
        SupervisorInfo(1, "here", "ready", 5.0),
        [
            DaemonInfo("bus", "bus", 2, "ready", 5.0, 0, None, "log", bus),
            DaemonInfo("launcher:mult", "launcher", 3, state, 5.0, 0, None, "log", launcher),
        ],
        [OrchestratorInfo("test", 4, "here", waiting=[*waiting])],
    )


def test_a_state_is_told_at_once_and_details_once_a_second():
    news = StatusNews()

    def is_told(now, *, figures=False, **values):
        return news.are_in(answer(**values), now, figures=figures)

    assert is_told(10.0)
    assert not is_told(10.0 + 2 * FIGURES_S), "nothing has changed"
    assert not is_told(30.0, bus="last message 0.4 s ago"), "only time has passed"
    assert is_told(40.0, launcher="2 running")
    assert not is_told(40.1, launcher="3 running"), "details may wait"
    assert is_told(40.2, launcher="3 running", state="failed"), "a state may not"
    assert is_told(40.3, launcher="3 running", state="failed", waiting=())
    assert is_told(40.3 + DETAILS_S, launcher="4 running", state="failed", waiting=())
    # What processes use changes all the time, and is looked at if it is in sight.
    quiet = {"launcher": "4 running", "state": "failed", "waiting": ()}
    assert not is_told(50.0, **quiet)
    assert is_told(50.0, **quiet, figures=True)
    assert not is_told(50.0 + FIGURES_S - 1, **quiet, figures=True)


def test_figures_are_looked_at_now_and_then(monkeypatch):
    now, asked = [100.0], []
    monkeypatch.setattr(status_news.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(status_news, "resource_use", asked.append)
    figures = Figures()
    for _ in range(3):
        for pid in (1, 2):
            figures.of(pid)
    assert asked == [1, 2]
    now[0] += FIGURES_S
    figures.of(1)
    assert asked == [1, 2, 1]
