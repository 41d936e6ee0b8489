"""From facts to sentences: what ``motoko explain`` says, without any process."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from motoko.config.policy import Policy
from motoko.control.protocol import SupervisorInfo
from motoko.reports.causes import Cause
from motoko.reports.explanation import explain
from motoko.reports.run_facts import DeadAttempt, Execution, Facts, Holder, Slots
from motoko.reports.status import Daemon

NOW = 1_900_000_000.0


def supervisor(state, pid=None, host="head"):
    return SupervisorInfo(pid, host, state, None)


READY = supervisor("ready", 7)
DAEMONS = {
    name: Daemon(name, name.partition(":")[0], 5, "ready", 1.0, 0, None, f"/wf/{name}.log")
    for name in ("zeo:mult", "bus", "watcher", "launcher:mult")
}
FREE = Slots(count=4)


def facts(state="CREATED", *, entries=None, **changes):
    """Those of a run in a workflow where all is well."""
    values = {"machine_name": "localhost", "run_name": "first", "event_name": "main", "job_id": 4}
    defaults = {
        "study": "mult",
        "run_id": 3,
        "entries": {"id": 3, "state": state, **values, **(entries or {})},
        "now": NOW,
        "host": "head",
        "supervisor": READY,
        "daemons": DAEMONS,
        "slots": FREE,
        "changed": NOW - 2,
    }
    return Facts(**{**defaults, **changes})


def with_daemon(name, **changes):
    return {**DAEMONS, name: replace(DAEMONS[name], **changes)}


def without(*names):
    return {name: daemon for name, daemon in DAEMONS.items() if name not in names}


def codes(found):
    return [cause.code for cause in found.causes]


def only(found) -> Cause:
    """The one cause that is found."""
    (cause,) = found.causes
    return cause


class TestWaiting:
    def test_nothing_in_its_way(self):
        found = explain(facts())
        assert found.summary == "mult.3 is CREATED: it waits" and found.status == "waiting"
        assert (only(found).code, only(found).do) == ("soon", None)
        late = only(explain(facts(changed=NOW - 60)))
        assert (late.code, late.do) == ("soon", "motoko logs launcher:mult")
        assert ("run_name", "first, created by main, job 4") in found.details

    @pytest.mark.parametrize(
        ("changes", "code", "do"),
        [
            (
                {"supervisor": supervisor("not running"), "daemons": {}},
                "no-supervisor",
                "motoko supervise --detach",
            ),
            (
                {"supervisor": supervisor("not running"), "daemons": without("zeo:mult")},
                "no-supervisor",
                "motoko supervise --detach",
            ),
            (
                {"supervisor": supervisor("on another host", host="login2"), "daemons": {}},
                "other-supervisor",
                "ssh login2 motoko explain mult.3",
            ),
            ({"supervisor": supervisor("stopping")}, "stopping", "motoko supervise --detach"),
            (
                {"daemons": without("launcher:mult")},
                "no-launcher",
                "motoko launcher --bd_study mult",
            ),
            (
                {"daemons": with_daemon("launcher:mult", state="stopped")},
                "launcher-stopped",
                "motoko start launcher:mult",
            ),
            (
                {"daemons": with_daemon("launcher:mult", state="backoff")},
                "launcher-backoff",
                "motoko logs launcher:mult",
            ),
            (
                {"daemons": with_daemon("zeo:mult", state="failed")},
                "zeo-failed",
                "motoko start zeo:mult",
            ),
            ({"server_answers": False}, "server-silent", "motoko restart zeo:mult"),
            ({"daemons": with_daemon("bus", state="stopped")}, "bus-stopped", "motoko start bus"),
            (
                {"supervisor": supervisor("not answering", 9)},
                "supervisor-silent",
                "motoko kill",
            ),
            ({"supervisor": supervisor("of another account", 9)}, "other-account", None),
            ({"policy": None, "policy_error": "nproc must be"}, "policy", None),
        ],
    )
    def test_missing(self, changes, code, do):
        cause = only(explain(facts(**changes)))
        assert (cause.code, cause.do) == (code, do)

    def test_orphaned_daemons_work(self):
        orphans = {name: replace(each, state="orphaned") for name, each in DAEMONS.items()}
        dead = supervisor("not running")
        assert codes(explain(facts(supervisor=dead, daemons=orphans))) == ["soon"]
        del orphans["bus"]
        assert codes(explain(facts(supervisor=dead, daemons=orphans))) == ["soon"]

    def test_given_up(self):
        lines = [f"line {n}" for n in range(9)]
        daemons = with_daemon(
            "launcher:mult", state="failed", last_exit="exit code 1", log_tail=lines
        )
        cause = only(explain(facts(daemons=daemons)))
        assert cause.do == "motoko start launcher:mult" and "exit code 1" in cause.text
        assert cause.more == tuple(lines[-5:])

    def test_several(self):
        daemons = {**with_daemon("watcher", state="backoff")}
        del daemons["launcher:mult"]
        assert codes(explain(facts(daemons=daemons))) == ["no-launcher", "watcher-backoff"]

    def test_another_host(self):
        cause = only(explain(facts(entries={"machine_name": "login2"}, supervisor=READY)))
        assert cause.code == "other-host" and "'login2'" in cause.text
        assert only(explain(facts(entries={"machine_name": "head"}))).code == "soon"

    def test_of_old(self):
        cause = only(explain(facts("TOBELAUNCHED")))
        assert (cause.code, cause.do) == ("old-state", "motoko restart launcher:mult")
        daemons = without("launcher:mult")
        assert only(explain(facts("TOBELAUNCHED", daemons=daemons))).code == "no-launcher"

    def test_retry(self):
        entries = {"motoko.attempt": 2, "motoko.retry_at": NOW + 30}
        entries["motoko.last_failure"] = "no convergence"
        found = explain(facts(entries=entries, policy=Policy(retries=3)))
        assert only(found).code == "retry" and "in 30.0s" in only(found).text
        assert ("attempt", "2 of 4") in found.details
        assert ("failed before", "no convergence") in found.details
        entries["motoko.retry_at"] = NOW - 1
        assert codes(explain(facts(entries=entries))) == ["soon"]

    def test_prepared_and_not_started(self):
        found = explain(facts("launched", supervisor=supervisor("not running"), daemons={}))
        assert found.status == "waiting" and codes(found) == ["no-supervisor"]
        assert "it was prepared" in found.summary


class TestSlots:
    def test_taken(self):
        slots = Slots(4, (Holder("mult.1", 2, NOW - 63), Holder("add.7", 1)))
        cause = only(explain(facts(slots=slots, entries={"nproc": 2})))
        assert cause.code == "no-slot"
        assert cause.text == "it wants 2 slots, and 1 of 4 is free"
        assert cause.more[0].startswith("mult.1 has 2 slots since ")
        assert cause.more[0].endswith("(1m 3s ago)") and cause.more[1] == "add.7 has 1 slot"
        assert codes(explain(facts(slots=slots))) == ["soon"]

    @pytest.mark.parametrize(
        ("queue", "code"),
        [((), "soon"), (("mult",), "soon"), (("mult", "add"), "soon"), (("add",), "no-slot")],
    )
    def test_queue(self, queue, code):
        cause = only(explain(facts(slots=Slots(4, queue=queue))))
        assert cause.code == code
        if code == "no-slot":
            assert cause.more == ("before it in the queue for slots: launcher:add",)

    def test_before(self):
        slots = Slots(1, before=tuple(f"mult.{n}" for n in range(7)))
        cause = only(explain(facts(slots=slots)))
        assert cause.more == (
            "before it in its study: mult.0, mult.1, mult.2, mult.3, mult.4 and 2 more",
        )

    def test_too_wide(self):
        """A run that wants more slots than there are takes all."""
        said = "it wants 8 slots, and the limit is 4: it takes all"
        cause = only(explain(facts(entries={"nproc": 8})))
        assert cause.code in ("soon", "no-slot") and said in cause.more

    def test_its_launcher_can_start_nothing(self):
        daemons = with_daemon("launcher:mult", trouble="/disk: No space left on device")
        cause = only(explain(facts(daemons=daemons)))
        assert cause.code == "hindered" and "tries again by itself: /disk: No space" in cause.text
        assert cause.do == "motoko logs launcher:mult"

    def test_not_known(self):
        assert only(explain(facts(slots=None))).code == "soon"


class TestRunning:
    LIVES = Execution(claimed=NOW - 100, wrapper=55, processes=3)

    def test_well(self):
        policy = Policy(timeout=160.0)
        found = explain(
            facts("START", execution=self.LIVES, policy=policy, last_line="step 7 of 9")
        )
        assert found.status == "running" and not found.causes
        assert found.summary.startswith("mult.3 is START: it runs, since ")
        assert {*found.details} > {
            ("wrapper", "pid 55 on head, 3 processes"),
            ("time limit", "2m 40s, 1m 0s left"),
            ("last line", "step 7 of 9"),
        }

    def test_wrapper_killed_and_time_over(self):
        execution = Execution(claimed=NOW - 100, processes=1)
        found = explain(facts("START", execution=execution, policy=Policy(timeout=10.0)))
        assert ("processes", "1 on head; the wrapper is gone") in found.details
        assert ("time limit", "10.0s, it is over") in found.details

    @pytest.mark.parametrize(
        ("execution", "said"),
        [
            (Execution(claimed=NOW - 9), "its processes are gone"),
            (Execution(claimed=NOW - 9, code=3, ended=NOW - 1), "ended with exit code 3"),
            (Execution(claimed=NOW - 9, rebooted=True), "the host was rebooted"),
        ],
    )
    def test_gone(self, execution, said):
        found = explain(facts("START", execution=execution))
        assert only(found).code == "gone" and said in only(found).text
        dead = {"supervisor": supervisor("not running"), "daemons": {}}
        found = explain(facts("START", execution=execution, **dead))
        assert codes(found) == ["gone", "no-supervisor"]

    def test_cancelled(self):
        entries = {"cancelled_by": "ada"}
        found = explain(facts("START", execution=self.LIVES, entries=entries))
        assert only(found).text == "ada has cancelled it: its launcher will end it"

    def test_elsewhere(self):
        found = explain(facts("START", entries={"machine_name": "login2"}))
        assert "it runs on login2" in found.summary and not found.causes

    def test_in_a_state_of_its_own(self):
        assert explain(facts("HALFWAY", execution=self.LIVES)).status == "running"


class TestEnded:
    def test_finished(self):
        execution = Execution(claimed=NOW - 90, code=0, ended=NOW - 30)
        output = Path("/wf/first.o3")
        found = explain(
            facts("FINISHED", execution=execution, entries={"exit_code": 0}, outputs=(output,))
        )
        assert found.summary == "mult.3 is FINISHED: it has finished" and not found.causes
        ended = dict(found.details)["ended"]
        assert ended.endswith("(30.0s ago), it took 1m 0s")
        assert {*found.details} > {("exit code", "0"), ("output", "/wf/first.o3")}

    @pytest.mark.parametrize("state", ["FAILED", "TIMEOUT"])
    def test_failed(self, state):
        entries = {"failure_reason": "no convergence", "exit_code": 1, "attempt": 2}
        found = explain(facts(state, entries=entries))
        assert found.summary == f"mult.3 is {state}: no convergence" and found.status == "ended"
        assert only(found).do == "motoko retry mult.3"
        assert ("attempt", "2") in found.details and "last change" in dict(found.details)

    def test_goes_on(self):
        execution = Execution(claimed=NOW - 9, wrapper=55, processes=1)
        found = explain(facts("FINISHED", execution=execution))
        assert only(found).text == "its launch.sh has not ended: 1 process of it lives, pid 55"

    @pytest.mark.parametrize(
        ("entries", "said"),
        [
            ({"ended_state": "FINISHED"}, "a state of your own; it was FINISHED"),
            ({}, "a state of your own"),
        ],
    )
    def test_own_state(self, entries, said):
        found = explain(facts("FORWARDED", entries=entries))
        assert found.summary == f"mult.3 is FORWARDED: {said}" and found.status == "ended"

    def test_awaited(self):
        found = explain(facts(awaited_by=("orchestrator first, pid 9 on head",)))
        assert ("awaited by", "orchestrator first, pid 9 on head") in found.details

    def test_attempts_that_were_declared_dead(self):
        lost = DeadAttempt(1, NOW - 90, "its node failed (NODE_FAIL)")
        back = DeadAttempt(2, NOW - 60, "it is lost", ended=NOW - 30, code=143)
        details = dict(explain(facts("FINISHED", dead=(lost, back))).details)
        assert details["attempt 1"].endswith("(1m 30s ago): its node failed (NODE_FAIL)")
        assert "it came back, was refused, and ended" in details["attempt 2"]
        assert details["attempt 2"].endswith("(30.0s ago), with exit code 143")
