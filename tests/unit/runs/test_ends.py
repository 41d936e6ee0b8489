"""What is written on a run when its attempt has ended."""

import pytest

from motoko.config.policy import Policy
from motoko.runs.ends import End, describe, settle
from motoko.runs.states import FAILED_STATES

NOW = 1000.0


def settled(run, end, retries=0, finish="self"):
    return settle(run, end, policy=Policy(retries=retries, finish=finish), now=NOW)


class TestFinalStatesOfTheRun:
    @pytest.mark.parametrize("code", [0, 1, 137, None])
    def test_finished_wins_over_exit_code(self, code):
        changes = settled({"state": "FINISHED"}, End(code=code), retries=3)
        assert "state" not in changes and changes["ended_state"] == "FINISHED"
        assert changes.get("exit_code") == code

    @pytest.mark.parametrize("state", sorted(FAILED_STATES))
    def test_failed_stays_as_it_is(self, state):
        changes = settled({"state": state}, End(code=0))
        assert changes["state"] == changes["ended_state"] == state
        assert state in changes["failure_reason"]

    def test_its_own_reason_is_kept(self):
        run = {"state": "FAILED", "failure_reason": "diverged"}
        assert settled(run, End(code=1))["failure_reason"] == "diverged"

    def test_moved_on(self):
        for end in (End(code=0), End(code=1, finished=True), End(reason="late", finished=True)):
            changes = settled({"state": "FORWARDED"}, end)
            assert changes["ended_state"] == "FINISHED" and "state" not in changes

    @pytest.mark.parametrize(
        "end", [End(code=1), End(code=None, reason="late"), End(code=0, reason="late")]
    )
    def test_a_state_of_its_own_that_ends_badly(self, end):
        """Has failed, like any other, and is tried again."""
        changes = settled({"state": "PHASE2"}, end)
        assert changes["state"] == changes["ended_state"] == "FAILED" and changes["failure_reason"]
        again = settled({"state": "PHASE2"}, end, retries=1)
        assert (again["state"], again["attempt"]) == ("CREATED", 2)

    @pytest.mark.parametrize("state", [3, None, True, ["FINISHED"], {}, b"FINISHED", float("nan")])
    def test_no_text_is_no_state(self, state):
        changes = settled({"state": state}, End(code=0))
        assert changes["state"] == changes["ended_state"] == "FAILED"
        assert f"{state}, which is no text" in changes["failure_reason"]
        assert "exit code 7" in settled({"state": state}, End(code=7))["failure_reason"]
        assert settled({"state": state}, End(code=7, finished=True))["state"] == "FINISHED"

    def test_reset_meanwhile(self):
        assert settled({"state": "CREATED", "attempt": 2}, End(code=0), retries=5) == {}


class TestFailures:
    @pytest.mark.parametrize("state", ["launched", "START"])
    @pytest.mark.parametrize("code", [0, 1, 143])
    def test_unfinished(self, state, code):
        changes = settled({"state": state}, End(code=code))
        assert changes["state"] == changes["ended_state"] == "FAILED"
        assert changes["exit_code"] == code and changes["failure_reason"]
        assert "retry_at" not in changes

    def test_never_assumed_to_have_finished(self):
        changes = settled({"state": "START"}, End(code=None, reason="host rebooted"))
        assert changes["state"] == "FAILED" and changes["failure_reason"] == "host rebooted"
        assert "exit_code" not in changes


class TestRetries:
    def test_attempts_are_counted(self):
        run = {"state": "START"}
        states = []
        for _ in range(4):
            changes = settled(run, End(code=1, stderr="boom\n"), retries=2)
            run = {**run, **changes}
            states.append((run["state"], run.get("attempt")))
            if run["state"] == "CREATED":
                run["state"] = "START"
        assert states[:3] == [("CREATED", 2), ("CREATED", 3), ("FAILED", 3)]

    def test_earlier_attempt_leaves_no_end(self):
        changes = settled({"state": "START", "attempt": 1}, End(code=3, stderr="boom"), retries=1)
        assert "ended_state" not in changes and "failure_reason" not in changes
        assert "boom" in changes["last_failure"] and changes["exit_code"] == 3

    def test_pause_doubles_up_to_a_minute(self):
        pauses = [
            settled({"state": "START", "attempt": n}, End(code=1), retries=20)["retry_at"] - NOW
            for n in range(1, 10)
        ]
        assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]

    def test_failure_that_the_run_has_set_is_retried_too(self):
        changes = settled({"state": "FAILED", "attempt": 1}, End(code=0), retries=1)
        assert changes["state"] == "CREATED" and changes["attempt"] == 2

    def test_final_is_final(self):
        end = End(code=143, reason="stopped by `motoko kill`", final=True)
        changes = settled({"state": "START"}, end, retries=9)
        assert changes["state"] == "FAILED"
        assert changes["failure_reason"] == "stopped by `motoko kill`"

    def test_interrupted_is_no_retry(self):
        end = End(code=143, reason="stopped by `motoko kill`", final=True, interrupted=True)
        run = {"state": "START"}
        for attempt in (2, 3):
            changes = settled(run, end)
            assert changes["state"] == "CREATED" and changes["attempt"] == attempt
            assert "retry_at" not in changes and "failure_reason" not in changes
            run = {**run, **changes, "state": "START"}
        assert settled(run, End(code=1))["state"] == "FAILED"  # retries: 0
        assert settled(run, End(code=1), retries=1)["attempt"] == 4
        assert settled({"state": "FINISHED"}, end)["ended_state"] == "FINISHED"
        assert settled({"state": "FAILED"}, end)["state"] == "FAILED"  # by its own word
        policy = Policy(retries=9, interrupted="fail")
        assert settle({"state": "START"}, end, policy=policy, now=NOW)["state"] == "FAILED"

    def test_finished_is_not_retried(self):
        assert "retry_at" not in settled({"state": "FINISHED"}, End(code=1), retries=3)


class TestDescribe:
    @pytest.mark.parametrize(
        ("end", "words"),
        [
            (End(code=1), "exit code 1"),
            (End(code=1, stderr="a\nValueError: no\n\n"), "exit code 1: ValueError: no"),
            (End(code=0), "never called finish()"),
            (End(code=137), "SIGKILL"),
            (End(code=139), "SIGSEGV"),
            (End(code=255), "signal 127"),
            (End(code=120), "run directory is gone"),
            (End(code=1, stderr="x\nZEO.Exceptions.ClientDisconnected: y"), "database connection"),
            (End(code=1, stderr="RuntimeError: cannot spawn a server on host: z"), "database conn"),
            (End(code=1, reason="because"), "because"),
        ],
    )
    def test_words(self, end, words):
        assert words in describe(end, "START")

    def test_one_short_line(self):
        reason = describe(End(code=1, stderr="x\n" + "y" * 10_000), "START")
        assert "\n" not in reason and len(reason) < 300


class TestFinishOnExit:
    """Codes that know nothing of BlackDynamite."""

    def test_code_0_is_finished(self):
        changes = settled({"state": "launched", "attempt": 1}, End(code=0), finish="on-exit")
        assert changes == {"exit_code": 0, "state": "FINISHED", "ended_state": "FINISHED"}

    @pytest.mark.parametrize("end", [End(code=2), End(code=0, reason="too long"), End()])
    def test_anything_else_is_not(self, end):
        changes = settled({"state": "launched", "attempt": 1}, end, finish="on-exit")
        assert changes["state"] == "FAILED" and changes["failure_reason"]

    def test_what_the_run_said_itself_wins(self):
        for state in ("MINE", "FAILED"):
            changes = settled({"state": state, "attempt": 1}, End(code=0), finish="on-exit")
            assert changes.get("state", state) == state
