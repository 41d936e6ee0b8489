"""What attempts have used, as wrappers record it, and as it is written on runs."""

import os

import pytest

from motoko.runs.entries import DocumentedEntries, OwnEntries, own_key
from motoko.runs.used import UNKNOWN, Used

TICK = 1 / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    ("record", "used"),
    [
        (None, UNKNOWN),
        ({"code": 0}, UNKNOWN),  # an earlier version's
        ({"code": 0, "cpu_ticks": None}, UNKNOWN),
        ({"code": 0, "cpu_ticks": 150}, Used(150 * TICK)),
        ({"cpu_s": 0.25, "max_rss_bytes": 4096}, Used(0.25, 4096)),
        ({"cpu_s": "much", "cpu_ticks": "more", "max_rss_bytes": 1.5}, UNKNOWN),
    ],
)
def test_exit_records(record, used):
    assert Used.recorded(record) == used


def test_the_last_attempts_figures_count():
    run = {"id": 1, "state": "launched", "run_path": "/w"}
    own = OwnEntries(run)
    own.update({"attempt": 1, **Used(2.0, 4096).changes(run)})
    assert (own.cpu_s, own.max_rss_bytes) == (2.0, 4096)
    own.update(Used(3.0).changes(run))
    assert (own.cpu_s, own.max_rss_bytes) == (3.0, None)
    assert UNKNOWN.changes({"id": 1, "motoko.attempt": 1}) == {}


def test_a_users_results_of_these_names_are_the_users():
    run = {"id": 1, "state": "launched", "run_path": "/w", "cpu_s": "mine"}
    own = OwnEntries(run)
    assert own.cpu_s is None  # also on a run of an earlier version
    own.convert()
    own.update(Used(2.0, 4096).changes(run))
    seen = DocumentedEntries(run)
    assert (own.cpu_s, run["cpu_s"], seen["cpu_s"]) == (2.0, "mine", "mine")
    assert own_key(run, "cpu_s") is None and seen["max_rss_bytes"] == 4096
    own.clear()
    assert run["cpu_s"] == "mine" and "motoko.cpu_s" not in run
