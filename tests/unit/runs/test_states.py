"""What a run's state means for whoever waits for it."""

import numpy as np
import pytest

from motoko.config.policy import Policy
from motoko.runs import states
from motoko.runs.ends import End, settle
from motoko.runs.entries import OwnEntries
from motoko.runs.outcomes import Outcome, outcome
from motoko.runs.outputs import output_stem, stderr_path, tail


@pytest.mark.parametrize("state", ["CREATED", "TOBELAUNCHED", "launched", "START"])
def test_pending(state):
    assert outcome({"state": state}) is Outcome.PENDING


@pytest.mark.parametrize("state", sorted(states.FAILED_STATES))
def test_failed(state):
    assert outcome({"state": state}) is Outcome.FAILED


def test_batch_ends_are_failures():
    assert {"FAILED", "FAILURE", "ERROR", "CANCELLED", "TIMEOUT"} <= states.FAILED_STATES
    assert not states.FAILED_STATES & (states.WAITING_STATES | states.RUNNING_STATES)


def test_finished():
    assert outcome({"state": "FINISHED"}) is Outcome.FINISHED


@pytest.mark.parametrize("state", [None, 3, [1, 2], {"a": 1}, np.array([1.0, 2.0]), b"FINISHED"])
def test_what_is_no_state(state):
    """Any value that a program writes into `state` is accepted."""
    run = {"state": state, "run_path": "somewhere"}
    assert states.state_of(run) == str(state)
    assert outcome(run) is Outcome.PENDING
    assert settle(run, End(code=1), policy=Policy(), now=0.0)["exit_code"] == 1
    assert OwnEntries(run).failure_reason is None


def test_moved_on_after_finished():
    assert outcome({"state": "FORWARDED", "ended_state": "FINISHED"}) is Outcome.FINISHED


def test_own_state_while_running():
    assert outcome({"state": "EQUILIBRATING"}) is Outcome.PENDING
    # Nobody will run it again by itself: whoever awaits it must not hang.
    assert outcome({"state": "SEEN", "ended_state": "FAILED"}) is Outcome.FAILED


def test_retried_run_is_not_finished():
    # CREATED again: what it ended in before says nothing.
    assert outcome({"state": "CREATED", "ended_state": "FINISHED"}) is Outcome.PENDING
    assert outcome({"state": "FAILED", "ended_state": "FINISHED"}) is Outcome.FAILED


def test_output_stem_is_a_file_name():
    assert output_stem("a b") == "a b"
    assert "/" not in output_stem("2024/05/x")


class TestStderrTail:
    def entries(self, directory):
        return {"run_path": str(directory), "run_name": "r/1", "id": 7}

    def test_last_lines(self, tmp_path):
        (tmp_path / "r_1.e7").write_text("".join(f"line {i}\n" for i in range(100)))
        end = tail(stderr_path(self.entries(tmp_path)), lines=3)
        assert end == "line 97\nline 98\nline 99"

    def test_huge_and_undecodable(self, tmp_path):
        (tmp_path / "r_1.e7").write_bytes(b"x" * 1_000_000 + b"\n\xff\xfe last")
        end = tail(stderr_path(self.entries(tmp_path)))
        assert end.endswith(" last") and len(end) <= 20_001

    def test_not_there(self, tmp_path):
        assert tail(stderr_path(self.entries(tmp_path))) == ""
        assert tail(stderr_path({"run_path": None, "id": 7})) == ""

    def test_without_blackdynamite_s_own(self, tmp_path):
        (tmp_path / "r_1.e7").write_text("INFO:parse [bdparser.py:12]: hello\nValueError: x\n")
        assert tail(stderr_path(self.entries(tmp_path))) == "ValueError: x"
