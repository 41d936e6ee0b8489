"""How fast runs end, how long the others take, and the bar of a study."""

import pytest

from motoko.reports.bars import bar
from motoko.reports.pace import Pace, left_text, rate_text


def test_steady():
    pace = Pace()
    for second in range(1_000, 1_200):
        pace.ended(second + 0.5)
        pace.ended(second + 0.7)
    assert pace.rate(1_200) == pytest.approx(2.0, rel=0.02)
    assert pace.left(100, 1_200) == pytest.approx(50, rel=0.02)
    assert pace.rate(1_800) < 0.1, "nothing has ended for ten minutes"


def test_slow_runs():
    """An end an hour: earlier ends than those of the last minute count."""
    pace = Pace([3_600.0 * hour for hour in range(1, 6)])
    assert pace.rate(5 * 3_600 + 1) == pytest.approx(1 / 3_600, rel=0.01)


def test_unknown():
    pace = Pace()
    assert pace.rate(10) is None and pace.left(5, 10) is None
    pace.ended(9)
    assert pace.rate(10) is None, "one end tells nothing"
    pace.ended(9.5)
    assert pace.left(0, 10) is None, "nothing is left"


def test_clock_set_back():
    pace = Pace([100.0])
    pace.ended(50.0)
    assert pace.rate(101) == 1.0
    assert pace.rate(20) == 1.0


def test_changed_rate():
    """Only the last minute counts once enough runs have ended in it."""
    pace = Pace([float(second) for second in range(600)])
    for second in range(600, 700):
        for _ in range(10):
            pace.ended(float(second))
    assert pace.rate(700) == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (None, "-"), (0.0, "0.0/d"), (123.4, "123/s"), (3.21, "3.2/s"), (0.5, "30/min"),
        (1 / 700, "5.1/h"), (1 / 50_000, "1.7/d"),
    ],
)  # fmt: skip
def test_rate_text(rate, text):
    assert rate_text(rate) == text


def test_left_text():
    assert [left_text(each) for each in (None, 0.2, 59, 243, 7_500)] == [
        "-", "~1s", "~59s", "~4m 3s", "~2h 5m",
    ]  # fmt: skip


def test_bar():
    assert bar({}, 10) == []
    assert bar({"created": 1}, 4) == [("created", "····")]
    pieces = bar({"created": 5_000, "running": 1, "finished": 5_000, "failed": 1}, 20)
    assert [name for name, _ in pieces] == ["finished", "failed", "running", "created"]
    assert sum(len(text) for _, text in pieces) == 20
    assert dict(pieces)["failed"] == "x" and dict(pieces)["running"] == "▒"
    assert bar({"created": 3, "finished": 1}, 4) == [("finished", "█"), ("created", "···")]
    assert sum(len(text) for _, text in bar({"created": 1, "running": 1, "failed": 1}, 2)) == 2
