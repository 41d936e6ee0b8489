"""What has become of a job: never assumed, and never waited for for ever."""

from dataclasses import replace

import pytest

from motoko.batch.batch_system import Phase
from motoko.batch.polling import View, answered, due, unanswered
from motoko.batch.slurm.parsing import job
from motoko.runs.job_script import Evidence
from motoko.workers.launcher.reconcile import LOST_MAX, Followed, Step, judge

RUN = Followed(attempt=1, name="a.1.1-x", since=100.0, job="7")
STARTED = Evidence(1, "7", "n1")


def shown(state, reason="None", number="7", name="a.1.1-x"):
    return job(number, name, state, reason, "n1")


def view(*jobs, asked=110.0):
    return View(asked=asked, jobs=jobs, tried=asked)


def after(run, evidence, *views):
    """The verdict after several answers."""
    for answer in views:
        verdict = judge(run, evidence, answer)
        run = verdict.followed
    return verdict


def test_said_of_a_job_because_it_is_not_there():
    """A job that is gone and is called cancelled was cancelled only if it never started."""
    asked = replace(shown("CANCELLED"), if_unstarted=True)
    verdict = judge(RUN, Evidence(), view(), asked)
    assert (verdict.step, verdict.final) == (Step.END, False), "it had a node"
    verdict = judge(RUN, Evidence(), view(), replace(asked, nodes=""))
    assert (verdict.step, verdict.final) == (Step.END, True)
    assert judge(RUN, STARTED, view(), asked).step is Step.ASK
    assert judge(RUN, replace(STARTED, code=1), view(), asked).step is not Step.END


def test_a_good_end_needs_no_scheduler():
    verdict = judge(RUN, replace(STARTED, code=0), View())
    assert (verdict.step, verdict.code, verdict.problem) == (Step.END, 0, "")


def test_a_bad_end_waits_for_the_schedulers_word():
    bad = replace(STARTED, code=1)
    assert judge(RUN, bad, View()).step is Step.WAIT
    assert judge(RUN, bad, view(shown("RUNNING"))).step is Step.WAIT
    verdict = judge(RUN, bad, view(shown("FAILED", "NonZeroExitCode")))
    assert (verdict.step, verdict.code, verdict.problem) == (Step.END, 1, "")
    verdict = judge(RUN, bad, view(shown("OUT_OF_MEMORY")))
    assert verdict.step is Step.END and "OUT_OF_MEMORY" in verdict.problem


def test_a_trap_that_exits_with_0_hides_no_time_limit():
    trapped = replace(STARTED, code=0, signal="TERM")
    assert judge(RUN, trapped, view(shown("RUNNING"))).step is Step.WAIT
    verdict = judge(RUN, trapped, view(shown("TIMEOUT", "TimeLimit")))
    assert verdict.step is Step.END and "TIMEOUT" in verdict.problem


@pytest.mark.parametrize("state", ["CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL"])
@pytest.mark.parametrize("evidence", [Evidence(), STARTED])
def test_ends_without_a_record(state, evidence):
    verdict = judge(RUN, evidence, view(shown(state)))
    assert verdict.step is Step.END and state in verdict.problem and verdict.code is None
    assert verdict.final == (state == "CANCELLED" and evidence is STARTED)


def test_cancelled_in_the_queue():
    """That was somebody's wish; on a node, before it has started, it may be the node's failure."""
    waiting = job("7", "a.1.1-x", "CANCELLED", "None", "")
    assert judge(RUN, Evidence(), view(waiting)).final
    verdict = judge(RUN, Evidence(), view(shown("CANCELLED")))
    assert not verdict.final and "before it had started on n1" in verdict.problem


def test_a_record_that_comes_late_is_waited_for():
    over = shown("COMPLETED")
    first = judge(RUN, STARTED, view(over))
    assert first.step is Step.WAIT
    verdict = judge(first.followed, STARTED, view(over, asked=169.0))
    assert verdict.step is Step.WAIT
    verdict = judge(verdict.followed, STARTED, view(over, asked=170.0))
    assert verdict.step is Step.END and "without an exit record" in verdict.problem
    verdict = judge(first.followed, replace(STARTED, code=0), view(over, asked=120.0))
    assert (verdict.step, verdict.code, verdict.problem) == (Step.END, 0, "")
    again = judge(first.followed, STARTED, view(shown("RUNNING"), asked=120.0))
    assert again.followed.missed == 0.0, "a requeue"
    assert judge(RUN, STARTED, view(over), patience=0.0).step is Step.END


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED"])
def test_vanished_and_accounting_says_that_it_is_over(state):
    """Without an exit record the scheduler is asked for a limited time."""
    run = RUN
    for asked in (110.0, 120.0, 150.0, 169.0, 170.0):
        verdict = judge(run, STARTED, view(asked=asked))
        assert verdict.step is Step.ASK
        verdict = judge(verdict.followed, STARTED, view(asked=asked), shown(state))
        run = verdict.followed
        assert verdict.step is (Step.END if asked == 170.0 else Step.WAIT)
    assert "without an exit record" in verdict.problem and state in verdict.problem


def test_accounting_does_not_know_it_all_the_time():
    run = RUN
    for asked, known in ((110.0, shown("FAILED")), (140.0, None), (150.0, None), (170.0, None)):
        verdict = judge(run, STARTED, view(asked=asked))
        if known is not None:
            verdict = judge(verdict.followed, STARTED, view(asked=asked), known)
        run = verdict.followed
    assert verdict.step is Step.END and "lost" in verdict.problem


def test_old_answers_say_nothing():
    old = view(asked=99.0)
    assert after(RUN, Evidence(), old, old).step is Step.WAIT
    assert after(replace(RUN, job=None), Evidence(), old, old).step is Step.WAIT


def test_lost_after_two_answers_and_a_minute():
    first = judge(RUN, STARTED, view())
    assert first.step is Step.ASK
    assert judge(first.followed, STARTED, view()).step is Step.ASK  # still the first answer
    second = judge(first.followed, STARTED, view(asked=120.0))
    assert second.step is Step.ASK, "its exit record may come late"
    verdict = judge(second.followed, STARTED, view(asked=170.0))
    assert verdict.step is Step.END and verdict.code is None
    assert judge(first.followed, STARTED, view(asked=170.0)).step is Step.END
    assert "lost" in verdict.problem and "7" in verdict.problem and "on n1" in verdict.problem


def test_others_may_know():
    first = judge(RUN, STARTED, view())
    verdict = judge(first.followed, STARTED, view(), shown("NODE_FAIL"))
    assert verdict.step is Step.END and "NODE_FAIL" in verdict.problem


def test_vanished_with_a_record():
    verdict = after(RUN, replace(STARTED, code=9), view(), view(asked=120.0))
    assert (verdict.step, verdict.code, verdict.problem) == (Step.END, 9, "")


def test_seen_again():
    first = judge(RUN, Evidence(), view())
    back = judge(first.followed, Evidence(), view(shown("PENDING"), asked=120.0))
    assert (back.step, back.followed.absent) == (Step.WAIT, 0)
    assert judge(back.followed, Evidence(), view(asked=130.0)).step is Step.ASK


def test_submitted_again_only_if_nobody_has_it():
    unknown = replace(RUN, job=None)
    assert judge(unknown, Evidence(), view()).step is Step.WAIT
    assert after(unknown, Evidence(), view(), view(asked=120.0)).step is Step.SUBMIT
    found = judge(unknown, Evidence(), view(shown("PENDING", number="9")))
    assert (found.step, found.followed.job) == (Step.WAIT, "9")
    # It has started, whatever the queue shows.
    verdict = after(unknown, STARTED, view(), view(asked=170.0))
    assert verdict.step is Step.END and "lost" in verdict.problem


def test_a_job_that_is_lost_before_it_starts_has_a_successor():
    """A controller that is killed has forgotten it. But not for ever: somebody may remove them."""
    run = RUN
    for lost in range(LOST_MAX):
        early = after(run, Evidence(), view(), view(asked=120.0))
        assert early.step is Step.ASK, "it may have started, and its claim may come late"
        verdict = judge(early.followed, Evidence(), view(asked=170.0))
        assert verdict.step is Step.SUBMIT
        assert (verdict.followed.job, verdict.followed.lost) == (None, lost + 1)
        run = replace(verdict.followed, since=100.0, job=f"1{lost}", seen=0.0)
    verdict = after(run, Evidence(), view(), view(asked=170.0))
    assert verdict.step is Step.END and "before it had started" in verdict.problem


def test_queued_twice():
    """The one that has claimed the attempt counts; the other is to be cancelled while it waits."""
    both = view(shown("PENDING"), shown("RUNNING", number="8"))
    verdict = judge(RUN, Evidence(1, "8", "n1"), both)
    assert verdict.job.id == verdict.followed.job == "8" and verdict.surplus == ("7",)
    verdict = judge(RUN, Evidence(), view(shown("PENDING"), shown("PENDING", number="8")))
    assert verdict.job.id == "7" and verdict.surplus == ("8",)
    # One that found the attempt claimed has ended at once: that says nothing about the run.
    left = view(shown("FAILED"), shown("RUNNING", number="8"))
    assert judge(RUN, Evidence(1, "8", "n1"), left).step is Step.WAIT


def test_requeued():
    killed = replace(STARTED, code=143, signal="TERM")
    assert judge(RUN, killed, view(shown("PENDING", "BeginTime"))).step is Step.WAIT
    assert judge(RUN, Evidence(2, "7", "n2"), view(shown("RUNNING"))).step is Step.WAIT


def test_hopeless():
    verdict = judge(RUN, Evidence(), view(shown("PENDING", "DependencyNeverSatisfied")))
    assert verdict.step is Step.END and "DependencyNeverSatisfied" in verdict.problem
    assert verdict.job.phase is Phase.PENDING


class TestPolling:
    def test_the_interval_grows_while_nothing_changes(self):
        seen = answered(View(), (shown("RUNNING"),), 10.0, 30.0)
        assert (seen.interval, seen.queries, seen.asked) == (30.0, 1, 10.0)
        intervals = []
        for now in range(20, 80, 10):
            seen = answered(seen, seen.jobs, float(now), 30.0)
            intervals.append(seen.interval)
        assert intervals == sorted(intervals) and intervals[-1] == 120.0
        assert answered(seen, (), 100.0, 30.0).interval == 30.0

    def test_a_query_that_fails_changes_nothing(self):
        good = answered(View(), (shown("RUNNING"),), 10.0, 30.0)
        bad = unanswered(unanswered(good, "no", 40.0, 1000.0, 30.0), "no", 90.0, 1050.0, 30.0)
        assert (bad.asked, bad.jobs, bad.silent_since) == (10.0, good.jobs, 1000.0)
        assert (bad.tried, bad.queries, bad.error) == (90.0, 3, "no")
        assert answered(bad, (), 99.0, 30.0).error == ""

    def test_due(self):
        idle = View(asked=100.0, tried=100.0, interval=120.0)
        assert due(idle, news=50.0, shortest=5.0) == 220.0
        assert due(idle, news=101.0, shortest=5.0) == 105.0


class TestPacked:
    RUN = replace(RUN, packed=True)

    @staticmethod
    def begun(job):
        return job == "7"

    def test_its_end_does_not_wait_for_the_job(self):
        """The job goes on with other runs, and what becomes of it later is not about this run."""
        for state in ("RUNNING", "NODE_FAIL"):
            verdict = judge(self.RUN, replace(STARTED, code=3), view(shown(state)))
            assert (verdict.step, verdict.code, verdict.problem) == (Step.END, 3, ""), state

    def test_what_has_ended_the_job_has_ended_it(self):
        told = replace(STARTED, code=143, signal="TERM")
        assert judge(self.RUN, told, view(shown("RUNNING"))).step is Step.WAIT
        for evidence in (told, STARTED):
            verdict = judge(self.RUN, evidence, view(shown("TIMEOUT")))
            assert verdict.step is Step.END and "TIMEOUT" in verdict.problem

    @pytest.mark.parametrize("state", ["COMPLETED", "CANCELLED", "NODE_FAIL", "TIMEOUT"])
    def test_the_job_has_not_come_to_it(self, state):
        """Submitted again, as often as the job gets somewhere."""
        run = replace(self.RUN, lost=LOST_MAX)
        verdict = judge(run, Evidence(), view(shown(state)), has_begun=self.begun)
        assert verdict.step is Step.SUBMIT
        assert (verdict.followed.job, verdict.followed.lost) == (None, LOST_MAX)
        again = judge(self.RUN, Evidence(), view(shown(state)))
        assert (again.step, again.followed.lost) == (Step.SUBMIT, 1), "it got nowhere"
        verdict = judge(run, Evidence(), view(shown(state)))
        assert (verdict.step, verdict.final) == (Step.END, False)

    def test_cancelled_while_it_waits(self):
        cancelled = replace(shown("CANCELLED"), nodes="")
        verdict = judge(self.RUN, Evidence(), view(cancelled))
        assert (verdict.step, verdict.final) == (Step.END, True)
        asked = replace(cancelled, if_unstarted=True)
        verdict = judge(self.RUN, Evidence(), view(), asked, has_begun=self.begun)
        assert verdict.step is not Step.END, "it was inferred, and is wrong"

    def test_nobody_knows_the_job(self):
        """Submitted again if it has not started; lost, if it has."""
        views = [view(asked=asked) for asked in (110.0, 140.0, 180.0)]
        assert after(self.RUN, Evidence(), *views).step is Step.SUBMIT
        assert "lost" in after(self.RUN, STARTED, *views).problem
