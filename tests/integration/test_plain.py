"""``finish: on-exit``: programs that know nothing of BlackDynamite."""

import asyncio
import os
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from launching import (
    GATE,
    all_slots_free,
    deadline,
    go,
    nothing_lives,
    place,
    start,
    stop,
    supervising,
    transactions,
)
from support import wait_until

from motoko import RunFailed
from motoko.runs.entries import DocumentedEntries
from motoko.runs.paths import exit_path
from motoko.workers.launcher.ahead import PATIENCE_S

PLAIN = {"mult": "    finish: on-exit\n"}
# Each execution leaves a file.
TOUCH = 'touch "exec-$$"\n'


@pytest.fixture(autouse=True)
def limit():
    with deadline(90):
        yield


@pytest.fixture
def plain(workflow):
    """A supervised workflow of plain runs; without a doIt.py, but with ``do_it=True``."""
    with supervising(workflow) as make:
        yield partial(make, below=PLAIN, do_it=False)


def executions(flow, run):
    return len(list(place(flow, run).glob("exec-*")))


class TestEnds:
    def test_the_exit_code_tells(self, plain):
        """0 is FINISHED; anything else is FAILED, with what it said last."""
        flow, session = plain("--slots", "4")
        good = session.create(TOUCH + "echo result > out.txt\n")
        bad = session.create(TOUCH + "echo no licence >&2\nexit 3\n")
        killed = session.create(TOUCH + "kill -SEGV $$\n")
        empty = session.create("")
        runs = [good, bad, killed, empty]
        first, second, third, fourth = session.ends(*runs)
        assert first is None and fourth is None
        assert second.reason == "launch.sh ended with exit code 3: no licence"
        assert "no licence" in second.stderr and "SIGSEGV" in third.reason
        seen = [(run.state, run.ended_state, run.exit_code, run.attempt) for run in runs]
        failed = "FAILED", "FAILED"
        assert seen == [
            ("FINISHED", "FINISHED", 0, 1),
            (*failed, 3, 1),
            (*failed, 139, 1),
            ("FINISHED", "FINISHED", 0, 1),
        ]
        for run in runs:
            now = datetime.now(UTC)
            assert now - timedelta(seconds=60) < run.start_time < now
            assert not (place(flow, run) / "doIt.py").exists()
            nothing_lives(place(flow, run))
        assert [executions(flow, run) for run in runs] == [1, 1, 1, 0]
        all_slots_free(flow)

    def test_a_state_of_its_own_wins(self, plain):
        """A plain launch.sh may talk to BlackDynamite all the same, and is believed."""
        _, session = plain("--slots", "8", do_it=True)
        both = "python doIt.py\nexit 0\n", "python doIt.py\nexit 5\n"
        said = {"MINE": "become(state='MINE')"}
        said["FAILED"] = "become(state='FAILED', failure_reason='no')"
        said["FINISHED"] = "run.start(); run.finish()"
        said["START"] = "run.start()"
        runs = {
            (state, code): session.create(script, text)
            for state, text in said.items()
            for code, script in zip((0, 5), both, strict=True)
        }
        for (_, code), run in runs.items():
            session.until(run, exit_code=code)
        seen = {
            key: (run.state, DocumentedEntries(run.entries).get("ended_state"))
            for key, run in runs.items()
        }
        assert seen == {
            ("MINE", 0): ("MINE", "FINISHED"),
            ("MINE", 5): ("FAILED", "FAILED"),
            ("FAILED", 0): ("FAILED", "FAILED"),
            ("FAILED", 5): ("FAILED", "FAILED"),
            ("FINISHED", 0): ("FINISHED", "FINISHED"),
            ("FINISHED", 5): ("FINISHED", "FINISHED"),
            ("START", 0): ("FINISHED", "FINISHED"),
            ("START", 5): ("FAILED", "FAILED"),
        }
        assert runs["FAILED", 0].failure_reason == "no"
        everyone = [run for key, run in runs.items() if key != ("MINE", 5)]
        failed = [error.run_id for error in session.ends(*everyone) if error]
        assert failed == [runs[k].id for k in (("FAILED", 0), ("FAILED", 5), ("START", 5))]

    def test_retries(self, plain):
        """Each attempt is executed once; the first success is FINISHED."""
        flow, session = plain(yaml="retries: 1\n")
        works = session.create(TOUCH + "[ -e again ] || { touch again; exit 4; }\n")
        never = session.create(TOUCH + "exit 4\n")
        first, second = session.ends(works, never)
        assert first is None and (works.attempt, works.exit_code) == (2, 0)
        assert "exit code 4" in works.last_failure
        assert "exit code 4" in second.reason and never.attempt == 2
        assert [executions(flow, run) for run in (works, never)] == [2, 2]


class TestWorkflows:
    def test_the_server_itself_tells_of_a_new_run_and_of_its_end(self, plain):
        """Neither start nor end wait for the bus: the watcher is stopped meanwhile."""
        flow, session = plain("--slots", "2")
        workflow, reads = session.workflow, []

        def safety_reads():
            return workflow.motoko_engine.dispatcher.counters.wakeups_by_safety_read

        async def main(workflow, **params):
            step = workflow.mult
            await step.createTask(script="true\n")  # everything is ready
            watcher = flow.pids()["watcher"]
            os.kill(watcher, signal.SIGSTOP)
            try:
                before = safety_reads()
                ((run, _),) = await step.createTask(script="true\n# again\n")
                reads.append(safety_reads() - before)
            finally:
                os.kill(watcher, signal.SIGCONT)
            assert run.state == "FINISHED"
            # Then the bus tells of that one, too, and all goes on as usual.
            ((run, _),) = await step.createTask(script="true\n# at last\n")
            assert run.state == "FINISHED"
            workflow.finished = True

        workflow.orchestrator_function = main
        workflow.execute()
        assert reads == [0]
        assert {run.attempt for run, _ in workflow.mult.select()} == {1}

    def test_awaits_chains_and_actions(self, plain):
        """As for any other run: a chain of awaits, an action, and a failure in the middle."""
        _, session = plain("--slots", "2")
        workflow, seen = session.workflow, []

        async def main(workflow, **params):
            for number in range(3):
                ((run, _),) = await workflow.mult.createTask(script=TOUCH + f"# {number}\n")
                assert run.state == "FINISHED" and run.exit_code == 0
            with pytest.raises(RunFailed, match="exit code 9"):
                await workflow.mult.createTask(script="exit 9\n")
            run["state"] = "FORWARDED"
            while not seen:
                await asyncio.sleep(0.05)
            workflow.finished = True

        workflow.orchestrator_function = main
        workflow.add_action(
            "forwarded",
            "mult",
            event="state = FORWARDED",
            f=lambda runs, **rest: seen.append([run.id for run, _ in runs]),
        )
        workflow.execute()
        assert seen[0] == [3]
        states = Counter(run.state for run, _ in workflow.mult.select())
        assert states == {"FINISHED": 2, "FORWARDED": 1, "FAILED": 1}

    def test_many_at_once(self, plain):
        """All FINISHED, each executed once, and their changes are committed in batches."""
        count = 200
        flow, session = plain("--slots", "16")
        study = flow.directory / "mult"
        before = transactions(study)
        runs = session.workflow.mult.createTask(script=[f"{TOUCH}# {n}\n" for n in range(count)])
        assert session.ends(*(run for run, _ in runs), timeout=60) == [None] * count
        assert Counter(executions(flow, run) for run, _ in runs) == {1: count}
        session.refresh()
        assert {(run.state, run.attempt, run.exit_code) for run, _ in runs} == {("FINISHED", 1, 0)}
        made = transactions(study) - before
        print(f"{made} transactions for {count} runs: created, launched and FINISHED")
        assert made < count
        all_slots_free(flow)

    def test_a_launcher_is_killed_meanwhile(self, plain):
        """Runs that end, and one that goes on, while there is no launcher: all are recorded."""
        flow, session = plain("--slots", "4")
        ending = [session.create(GATE + TOUCH + f"exit {n}\n") for n in (0, 6)]
        going = session.create("until [ -e later ]; do sleep 0.05; done\n" + TOUCH)
        for run in (*ending, going):
            session.until(run, state="launched")
        stop(flow, "launcher:mult")
        for run in ending:
            go(flow, run)
            wait_until(lambda run=run: exit_path(place(flow, run), 1).exists(), "it has ended")
            nothing_lives(place(flow, run))
        session.refresh()
        assert {run.state for run in (*ending, going)} == {"launched"}
        start(flow, "launcher:mult")
        (place(flow, going) / "later").touch()
        good, bad, late = session.ends(*ending, going)
        assert good is None and late is None and "exit code 6" in bad.reason
        assert [executions(flow, run) for run in (*ending, going)] == [1, 1, 1]


def test_short_runs_do_not_wait_launched_behind_a_long_one(plain):
    """Short ones are prepared ahead of their slots, and given back when one takes long."""
    flow, session = plain("--slots", "1")
    several = [f"{TOUCH}# {n}\n" for n in range(20)]
    session.ends(*(run for run, _ in session.workflow.mult.createTask(script=several)))
    long = session.create(TOUCH + GATE)
    behind = [session.create(f"{TOUCH}# behind {n}\n") for n in range(6)]
    session.until(long, state="launched")
    began = time.monotonic()
    wait_until(lambda: time.monotonic() > began + 2 * PATIENCE_S, "it has run for a while")
    session.refresh()
    assert {run.state for run in behind} == {"CREATED"}
    done = flow.motoko("cancel", f"mult.{behind[0].id}")
    assert "it was not started" in done.stdout, done
    go(flow, long)
    first, *others = session.ends(*behind, long)
    assert first.reason.startswith("cancelled by") and others == [None] * 6
    assert [executions(flow, run) for run in behind] == [0, 1, 1, 1, 1, 1]
    all_slots_free(flow)
