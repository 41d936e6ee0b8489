"""What a run's state means for whoever waits for it."""

import pytest

from motoko import states
from motoko.states import Outcome, outcome, output_stem, stderr_tail


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


def test_moved_on_after_finished():
    assert outcome({"state": "FORWARDED", "ended_state": "FINISHED"}) is Outcome.FINISHED


def test_own_state_while_running():
    assert outcome({"state": "EQUILIBRATING"}) is Outcome.PENDING
    assert outcome({"state": "SEEN", "ended_state": "FAILED"}) is Outcome.PENDING


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
        tail = stderr_tail(self.entries(tmp_path), lines=3)
        assert tail == "line 97\nline 98\nline 99"

    def test_huge_and_undecodable(self, tmp_path):
        (tmp_path / "r_1.e7").write_bytes(b"x" * 1_000_000 + b"\n\xff\xfe last")
        tail = stderr_tail(self.entries(tmp_path))
        assert tail.endswith(" last") and len(tail) <= 20_001

    def test_not_there(self, tmp_path):
        assert stderr_tail(self.entries(tmp_path)) == ""
        assert stderr_tail({"run_path": None, "id": 7}) == ""
