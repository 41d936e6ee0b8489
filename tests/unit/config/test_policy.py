"""Policies: what may be said, where, and what wins."""

import pytest

from motoko.config.policy import Pack, Policy
from motoko.host.durations import seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (90, 90), (1.5, 1.5), ("90s", 90), ("2h", 7200), ("1h30m", 5400), ("1 h 30 min", 5400),
        ("1d", 86400), ("0.5h", 1800), ("90", 90), ("1.5", 1.5), ("1d 2h3m4s", 93784),
        (".5h", 1800), ("10min", 600), ("2H", 7200),
        # As Slurm has them.
        ("01:30:00", 5400), ("1:30", 90), ("10:00", 600), ("0:30", 30), ("90:00", 5400),
        ("100:00:00", 360000), ("2-00:00", 172800), ("1-12", 129600), ("1-02:03:04", 93784),
    ],
)  # fmt: skip
def test_seconds(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "h", "2 weeks", "2hh", "-1s", None, True, [], "1:2:3:4", "1:2", "1:2:3", "10:60",
        "1:60:00", "1-24", "1-00:60", "1-0:0", "-1:00", "30s1m", "1h1h", "5M", "1.2.3h", "1e3",
        "1_000", "1,5h", "1h30", "inf", "nan", "\u0663\u0660s", b"90s", "1:00.5", "1d-12",
    ],
)  # fmt: skip
def test_no_duration(text):
    with pytest.raises(ValueError, match="no duration"):
        seconds(text)


def test_the_later_wins():
    study = Policy(retries=1, environment={"A": "1", "B": "1"}).changed({"nproc": 2})
    run = study.changed({"retries": 3, "environment": {"B": 2}, "timeout": "1m", "x": "else"})
    assert run == Policy(3, 60.0, 2, {"A": "1", "B": "2"})
    assert study == Policy(1, None, 2, {"A": "1", "B": "1"})
    assert run.changed({"retries": None, "timeout": None}) == run


def test_finish():
    assert Policy().changed({"finish": "on-exit"}).on_exit
    assert not Policy().changed({"finish": "self"}).on_exit


def test_patience():
    kept = Policy().changed({"patience": "10:00"})
    assert (kept.patience_here, kept.patience_elsewhere) == (600, 600)
    assert (Policy().patience_here, Policy().patience_elsewhere) == (0, 600)
    never = Policy().changed({"patience": 0})
    assert (never.patience_here, never.patience_elsewhere) == (0, 0)


def test_environment_values_are_texts():
    given = {"OMP_NUM_THREADS": 4, "FLAG": True, "X": 1.5, "TEXT": "a b"}
    found = Policy().changed({"environment": given}).environment
    assert found == {"OMP_NUM_THREADS": "4", "FLAG": "true", "X": "1.5", "TEXT": "a b"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retries", -1), ("retries", "2"), ("retries", True), ("nproc", 0), ("nproc", 1.5),
        ("timeout", 0), ("timeout", "soon"), ("timeout", float("inf")), ("timeout", -5),
        ("patience", -1), ("patience", "long"),
        ("environment", ["A=1"]), ("environment", {"A B": 1}), ("environment", {"A": None}),
        ("environment", {"A": [1]}), ("environment", {"": 1}),
        ("environment", {"MOTOKO_RUN": "1"}), ("finish", "on_exit"), ("finish", 3),
    ],
)  # fmt: skip
def test_nonsense_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        Policy().changed({name: value})


def test_pack():
    assert Policy().changed({"pack": 20}).pack == Pack(20)
    assert Policy().changed({"pack": {"runs": 20, "at_once": 4}}).pack == Pack(20, 4)


@pytest.mark.parametrize("value", [0, True, 2.5, "x", {"at_once": 2}, {"runs": 2, "atonce": 2}])
def test_no_pack(value):
    with pytest.raises(ValueError, match="pack must be a number of runs"):
        Policy().changed({"pack": value})
