"""CONTRACT.md, "Semantics, settled": firing, failures, names, and who may execute.

In most of these tests no launcher runs: a second process, the puppet, plays the runs.
"""

import asyncio
from pathlib import Path

import pytest
from executing import execute, script
from supervised_puppets import awaited, opened, until, write
from support import supervised

from motoko import LauncherGivenUp, RunFailed, RunList
from motoko.api import lacking_daemons
from motoko.bus.messages import Lacking
from motoko.runs.entries import DocumentedEntries

# Fails at its first attempt of a job with x < 0, and at every one with x < -100.
DO_IT = """\
import sys
import BlackDynamite as BD

run, job = BD.getRunFromScript()
run.start()
if job.x < 0 and (job.x < -100 or run.attempt == 1):
    print("ValueError: no convergence", file=sys.stderr)
    sys.exit(7)
run["y"] = job.x * 2
run.finish()
"""


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """A workflow whose runs are really run."""
    place = tmp_path_factory.mktemp("launched")
    yield from supervised(place, write(place / "wf", ("mult",), DO_IT))


@pytest.fixture
def real(launched, request):
    yield from opened(launched, request)


def waiters(wf):
    return wf.motoko_engine.dispatcher.waiters


FAILED = {"state": "FAILED", "ended_state": "FAILED", "failure_reason": "why"}


class TestFailures:
    def test_in_a_task_group(self, wf, puppet):
        cancelled, caught = [], []

        async def waits_on(created):
            try:
                await created
            except asyncio.CancelledError:
                cancelled.append(created)
                raise

        async def main():
            good, bad = wf.mult.createTask(x=1.0), wf.mult.createTask(x=2.0)
            puppet(bad[0][0], FAILED)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(waits_on(good))
                    group.create_task(waits_on(bad))
            except* RunFailed as group:
                caught.extend(group.exceptions)
            assert not waiters(wf)
            return good, bad

        good, bad = script(wf, main)
        (error,) = caught
        assert error.run_id == bad[0][0].id and cancelled == [good]

    def test_two_failures_in_a_task_group(self, wf, puppet):
        async def main():
            first, second = wf.mult.createTask(x=1.0), wf.other.createTask(x=1.0)
            puppet(first[0][0], FAILED)
            puppet(second[0][0], FAILED)
            with pytest.raises(ExceptionGroup) as caught:
                async with asyncio.TaskGroup() as group:
                    for created in (first, second):
                        group.create_task(awaited(created))
            assert {error.study for error in caught.value.exceptions} <= {"mult", "other"}
            assert all(isinstance(error, RunFailed) for error in caught.value.exceptions)

        script(wf, main)

    def test_under_gather(self, wf, puppet):
        async def main():
            good, bad = wf.mult.createTask(x=1.0), wf.mult.createTask(x=2.0)
            waiting = asyncio.ensure_future(awaited(good))
            puppet(bad[0][0], FAILED)
            with pytest.raises(RunFailed, match="why"):
                await asyncio.gather(waiting, bad)
            # As ever with gather, the others go on.
            assert not waiting.done()
            puppet(good[0][0], "FINISHED")
            assert (await waiting)[0][0].state == "FINISHED"

        script(wf, main)

    def test_inside_a_handler_at_once(self, wf, puppet):
        """No round of the actions is waited for: it could not run before the handler ends."""
        log = []

        async def handler(workflow, **params):
            created = workflow.mult.createTask(x=2.0)
            puppet(created[0][0], FAILED)
            try:
                async with asyncio.timeout(5):
                    await created
            except RunFailed as error:
                log.append(error.reason)
            workflow.finished = True

        async def main(workflow, **params):
            workflow.add_action("act", task="mult", event=lambda: True, f=handler)

        execute(wf, main)
        assert log == ["why"]

    def test_error_handlers_come_first_even_in_a_handler(self, wf, puppet):
        """Error handlers come first, even while another handler is suspended."""
        log = []

        def mend(runs, **params):
            for run, _ in runs:
                log.append("error handler")
                run["state"] = "FINISHED"

        async def suspended(workflow, **params):
            log.append("suspended")
            await mended.wait()
            workflow.finished = True

        async def main(workflow, **params):
            nonlocal mended
            mended = asyncio.Event()
            workflow.add_error_handler(f=mend)
            workflow.add_action("s", task="other", event=lambda: True, f=suspended)
            await until(lambda: log)
            created = workflow.mult.createTask(x=1.0)
            puppet(created[0][0], FAILED)
            ((run, _),) = await created
            log.append(run.state)
            mended.set()

        mended = None
        execute(wf, main)
        assert log == ["suspended", "error handler", "FINISHED"]

    def test_one_round_of_the_actions_may_mend(self, wf, puppet):
        log = []

        def mend(runs, **params):
            for run, _ in list(runs):
                log.append(run.id)
                run["state"] = "FINISHED"

        async def main(workflow, **params):
            workflow.add_action("mend", task="mult", event="state = FAILED", f=mend)
            created = workflow.mult.createTask(x=1.0)
            puppet(created[0][0], FAILED)
            await created
            workflow.finished = True

        execute(wf, main)
        assert len(log) == 1

    def test_without_execute_at_once(self, wf, puppet):
        called = []
        wf.add_error_handler(f=lambda **params: called.append(1))

        async def main():
            created = wf.mult.createTask(x=1.0)
            puppet(created[0][0], FAILED)
            with pytest.raises(RunFailed, match="why"):
                await created

        script(wf, main)
        assert not called, "handlers belong to execute()"

    def test_mended_by_another_state(self, wf, puppet):
        """The workflow goes on; whoever awaits the run learns of it, since nobody will run it."""
        skipped = []

        def skip(runs, **params):
            for run, _ in runs:
                run["state"] = "SKIPPED"
                skipped.append(run.id)

        async def main(workflow, **params):
            workflow.add_error_handler(f=skip)
            created = workflow.mult.createTask(x=1.0)
            waiting = asyncio.ensure_future(awaited(created))
            puppet(created[0][0], FAILED)
            await workflow.mult.select("state = SKIPPED")
            await until(lambda: skipped)
            with pytest.raises(RunFailed):
                await waiting

        execute(wf, main)
        assert len(skipped) == 1

    def test_handled_once_for_each_attempt(self, wf, puppet):
        calls = []

        def again(runs, **params):
            for run, _ in runs:
                calls.append(DocumentedEntries(run.entries).get("attempt"))
                run["state"] = "CREATED"

        async def main(workflow, **params):
            workflow.add_error_handler(f=again)
            created = workflow.mult.createTask(x=1.0)
            run = created[0][0]
            waiting = asyncio.ensure_future(awaited(created))
            for attempt in (1, 2, 3):
                puppet(run, {"attempt": attempt, "state": "START"}, FAILED)
                await until(lambda attempt=attempt: len(calls) == attempt)
                await workflow.mult.select("state = CREATED")
            puppet(run, {"attempt": 4}, "START", "FINISHED")
            await waiting

        execute(wf, main)
        assert calls == [1, 2, 3]

    def test_on_failure_wait(self, wf, puppet):
        wf.on_failure = "wait"

        async def main():
            created = wf.mult.createTask(x=1.0)
            run = created[0][0]
            waiting = asyncio.ensure_future(awaited(created))
            puppet(run, "START", FAILED)
            await wf.mult.select("state = FAILED")
            assert not waiting.done()
            puppet(run, "CREATED", "START", "FINISHED")
            ((found, _),) = await waiting
            assert found.state == "FINISHED"

        script(wf, main)

    @pytest.mark.parametrize("policy", ["raise", "wait"])
    def test_a_launcher_that_was_given_up(self, wf, puppet, monkeypatch, policy):
        """Runs that wait are waited for a while, then with "wait" alone; those that run always."""
        monkeypatch.setattr(lacking_daemons, "GIVEN_UP_S", 0.5)
        wf.on_failure = policy
        word = Lacking({"launcher:mult": "launcher:mult was given up"}, {}, ["launcher:mult"])

        async def tell(*awaits):
            """Repeat the word for a while, or until some awaits are over."""
            for _ in range(10):
                wf.motoko_engine.dispatcher.publish(word)
                await asyncio.wait(awaits, timeout=0.1)

        async def main():
            created = wf.mult.createTask(x=[1.0, 2.0])
            runs, waits = (run for run, _ in created)
            puppet(runs, "START")
            running = asyncio.ensure_future(awaited(RunList([(runs, None)])))
            waiting = asyncio.ensure_future(awaited(RunList([(waits, None)])))
            await until(lambda: len(wf.motoko_engine.awaits) == 2)
            await tell(running, waiting)
            assert not running.done() and waiting.done() == (policy == "raise")
            puppet(runs, "FINISHED")
            puppet(waits, "START", "FINISHED")
            await running
            if policy == "wait":
                await waiting
                return
            with pytest.raises(LauncherGivenUp, match=r"study mult wait.*was given up"):
                await waiting

        script(wf, main)

    def test_all_in_a_handler(self, wf, puppet):
        """.all() raises, unless an alternative accepts the failure."""
        log = []

        async def handler(workflow, **params):
            selection = workflow.mult.select()
            log.append(len(await selection.all("state = FINISHED", ["state = FAILED", "x > 0"])))
            with pytest.raises(RunFailed, match="why"):
                await selection.all("state = FINISHED", ["state = FAILED", "x > 1"])
            workflow.finished = True

        async def main(workflow, **params):
            created = workflow.mult.createTask(x=1.0)
            puppet(created[0][0], FAILED)
            workflow.add_action("act", task="other", event=lambda: True, f=handler)

        execute(wf, main)
        assert log == [1]


class TestRealFailures:
    """With launchers."""

    def test_what_is_told(self, real, launched):
        async def main():
            with pytest.raises(RunFailed) as caught:
                await real.mult.createTask(x=-200.0)
            return caught.value

        error = script(real, main)
        ((run, _),) = real.mult.select()
        assert (error.study, error.run_id, error.state) == ("mult", run.id, "FAILED")
        assert "7" in error.reason and "\n" not in error.reason
        assert error.run_path == run.run_path and Path(error.run_path).is_dir()
        assert error.stderr.rstrip().endswith("ValueError: no convergence")
        text = str(error)
        for each in (error.reason, error.run_path, "ValueError: no convergence", "FAILED"):
            assert each in text
        assert f"mult.{run.id}" in text and isinstance(error, RuntimeError)
        assert f"motoko retry mult.{run.id}" in error.hint

    def test_mended_by_another_attempt(self, real):
        calls = []

        def again(runs, **params):
            for run, _ in runs:
                calls.append(run.attempt)
                run["state"] = "CREATED"

        async def main(workflow, **params):
            workflow.add_error_handler(f=again)
            ((run, _),) = await workflow.mult.createTask(x=-3.0)
            assert (run.state, run.y, run.attempt) == ("FINISHED", -6.0, 2)

        execute(real, main)
        assert calls == [1]

    def test_resumed(self, real, launched):
        """A FAILED run raises at once, until `motoko retry` has had it executed again."""

        async def main():
            with pytest.raises(RunFailed):
                await real.mult.createTask(x=-4.0)
            created = real.mult.createTask(x=-4.0)
            with pytest.raises(RunFailed, match="no convergence") as caught:
                async with asyncio.timeout(2):
                    await created
            name = f"mult.{created[0][0].id}"
            assert f"motoko retry {name}" in caught.value.hint
            done = await asyncio.to_thread(launched.motoko, "retry", name)
            assert done.returncode == 0, done.stderr
            ((run, _),) = await real.mult.createTask(x=-4.0)
            assert (run.state, run.y, run.attempt) == ("FINISHED", -8.0, 2)
            assert f"mult.{run.id}" == name

        script(real, main)
