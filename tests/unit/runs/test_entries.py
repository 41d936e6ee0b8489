"""Motoko's own entries of a run, whatever users write beside them."""

import math
from pathlib import Path

import pytest
from BTrees.OOBTree import OOBTree
from hypothesis import assume, given
from hypothesis import strategies as st

from motoko.config.reserved_names import OF_MOTOKO
from motoko.runs.entries import (
    DocumentedEntries,
    OwnEntries,
    documented,
    is_old,
    own_key,
)
from motoko.runs.entry_table import OWN, PREFIX

FRESH = {"id": 1, "state": "CREATED"}
# As the commit before has written them.
OLD = {
    **{"id": 1, "state": "FAILED", "run_path": "/w/run-1", "attempt": 2, "exit_code": 3},
    **{"failure_reason": "why", "ended_state": "FAILED", "last_failure": "before"},
}
WRONG = [
    *(True, [], {}, b"x", object(), math.nan),
    *("newton-2", -1, 2.5, 10**400, None, float("inf")),
]
values = st.sampled_from(WRONG) | st.integers() | st.text() | st.floats() | st.booleans()
users = st.dictionaries(st.sampled_from(sorted(OWN)), values)


def new_run(**changes):
    """The entries of a run that this version has prepared."""
    entries = dict(FRESH)
    OwnEntries(entries).update({"attempt": 1, "state": "launched", "run_path": "/w", **changes})
    return entries


def every(own):
    return {name: own.get(name) for name in OWN}


def test_names_of_the_table_are_attributes():
    own = OwnEntries(FRESH)
    assert (own.attempt, own.batch_attempt, own.retry_at, own.is_job) == (1, 1, 0.0, False)
    rest = OWN.keys() - {"attempt", "batch_attempt", "retry_at"}
    assert {getattr(own, name) for name in rest} == {None}
    assert {name for name in OWN if not OWN[name].yields} == OF_MOTOKO


@given(users)
def test_a_users_entries_change_nothing_of_a_new_run(given_):
    # What is shown there: nobody can tell it from a user's.
    assume(given_.get("attempt") not in (3, 4))
    entries = new_run(attempt=3, exit_code=1, batch_name="n", failure_reason="why")
    before = every(OwnEntries(entries))
    entries.update(given_)
    own = OwnEntries(entries)
    assert every(own) == before and (own.attempt, own.exit_code, own.is_job) == (3, 1, True)
    own.update({"attempt": 4, "failure_reason": None})
    own.drop("exit_code")
    assert {name: entries[name] for name in given_} == given_
    own.clear()
    assert entries == {"id": 1, "state": "launched", "run_path": "/w", **given_}


@given(users)
def test_a_run_that_waits_and_was_never_prepared_has_nothing(given_):
    entries = {**FRESH, **given_}
    own = OwnEntries(entries)
    assert documented(entries) == {} and own.attempt == 1 and own.retry_at == 0.0
    own.convert()
    own.update({"state": "launched", "run_path": "/w", "attempt": 1})
    assert {name: entries[name] for name in given_} == given_
    assert documented(entries) == {"attempt": 1}


@given(users)
def test_nothing_of_a_wrong_type_is_read(given_):
    for entries in ({**OLD, **given_}, {**new_run(), **{PREFIX + k: v for k, v in given_.items()}}):
        own = OwnEntries(entries)
        for name, value in every(own).items():
            assert value is None or isinstance(value, OWN[name].type), name
        assert own.attempt >= 1 and own.batch_attempt >= 1 and math.isfinite(own.retry_at)
        assert own.is_job in (True, False)


def test_a_run_that_fails_by_its_own_word_may_say_why():
    entries = {**new_run(), "failure_reason": "diverged"}
    assert OwnEntries(entries).failure_reason is None
    entries["state"] = "FAILED"
    assert OwnEntries(entries).failure_reason == "diverged"
    OwnEntries(entries).update({"failure_reason": "time limit"})
    assert OwnEntries(entries).failure_reason == "time limit"


class TestShown:
    """The attempt, for doIt.py, which knows BlackDynamite alone."""

    def test_follows_motokos_own(self):
        entries = new_run()
        assert entries["attempt"] == 1
        OwnEntries(entries).update({"attempt": 2})
        assert entries["attempt"] == OwnEntries(entries).attempt == 2

    @pytest.mark.parametrize("value", [7, "newton-2", [1]])
    def test_users_own_is_kept(self, value):
        entries = new_run()
        entries["attempt"] = value
        OwnEntries(entries).update({"attempt": 2})
        assert entries["attempt"] == value and OwnEntries(entries).attempt == 2
        OwnEntries(entries).clear()
        assert entries["attempt"] == value

    def test_goes_with_the_others(self):
        entries = new_run()
        OwnEntries(entries).clear()
        assert "attempt" not in entries and f"{PREFIX}attempt" not in entries

    def test_converted(self):
        entries = dict(OLD)
        OwnEntries(entries).convert()
        assert entries["attempt"] == OwnEntries(entries).attempt == 2


class TestOld:
    """Runs that the commit before has executed, and may still look after."""

    def test_is_read_and_written_in_its_format(self):
        entries = OOBTree(OLD)
        own = OwnEntries(entries)
        assert (own.attempt, own.exit_code, own.failure_reason) == (2, 3, "why")
        own.update({"cancelled_by": "me", "state": "START"})
        own.drop("exit_code")
        assert dict(entries) == {
            **{name: value for name, value in OLD.items() if name != "exit_code"},
            **{"cancelled_by": "me", "state": "START"},
        }

    @pytest.mark.parametrize(
        ("entries", "old"),
        [
            (FRESH, False),
            ({**FRESH, "attempt": 7}, False),
            ({**FRESH, "state": "TOBELAUNCHED"}, False),
            ({**FRESH, "attempt": 2, "run_path": "/w/run-1"}, True),  # to be retried
            ({**FRESH, "state": "FAILED"}, True),  # cancelled before it was started
            ({**FRESH, "state": "OWN"}, True),
            (OLD, True),
            (new_run(), False),
        ],
    )
    def test_is_told_from_new(self, entries, old):
        assert is_old(entries) is old

    def test_is_converted(self):
        entries = OOBTree({**OLD, "retry_at": "newton", "batch_name": None})
        before = every(OwnEntries(entries))
        own = OwnEntries(entries)
        own.convert()
        own.convert()
        assert every(own) == every(OwnEntries(entries)) == before
        assert not is_old(entries) and "failure_reason" not in entries
        assert entries["retry_at"] == "newton"  # no time: it was the user's

    def test_is_removed_as_a_whole(self):
        entries = dict(OLD)
        OwnEntries(entries).clear()
        assert entries == {"id": 1, "state": "FAILED", "run_path": "/w/run-1"}


class TestDocumentedNames:
    def test_motokos_own_come_first(self):
        entries = {**new_run(attempt=2), "attempt": 7, "retry_at": "newton"}
        seen = DocumentedEntries(entries, {"note": "x", "id": 9})
        assert (seen["attempt"], seen["retry_at"], seen["id"]) == (2, "newton", 1)
        assert seen.get("failure_reason") is None and seen["note"] == "x"
        assert {*seen} == {"id", "state", "run_path", "attempt", "retry_at", "note"}
        assert len(seen) == 6 and "motoko.attempt" not in {*seen}

    def test_keys(self):
        assert own_key(new_run(), "attempt") == "motoko.attempt"
        assert own_key(OLD, "attempt") == "attempt"
        assert own_key(OLD, "retry_at") is None and own_key(OLD, "state") is None
        assert own_key(FRESH, "attempt") is None and own_key({**FRESH, 3: 4}, 3) is None


def test_every_name_is_documented():
    text = (Path(__file__).parents[3] / "docs" / "orchestrators.md").read_text()
    for entry in OWN.values():
        assert f"| `{entry.name}` | {entry.type.__name__} | {entry.writer} |" in text, entry.name
