"""Orchestrators on a real supervised workflow: the rows of CONTRACT.md.

No launcher runs in most of these tests: a second process, the puppet, plays the runs.
"""

import asyncio

import pytest
from executing import execute

from motoko import (
    RunFailed,
)


class TestErrorHandlers:
    @pytest.mark.parametrize("kind", ["async", "plain"])
    def test_called_once_before_the_await_raises(self, wf, puppet, kind):
        log = []

        def note(runs):
            log.append([run.state for run, _ in runs])

        async def slow(runs, **params):
            await asyncio.sleep(0.05)
            note(runs)

        def plain(runs, **params):
            note(runs)

        async def main(workflow, **params):
            workflow.add_error_handler(f=slow if kind == "async" else plain)
            ((run, _),) = created = workflow.mult.createTask(x=120.0)
            waiting = asyncio.ensure_future(created)
            await asyncio.sleep(0)
            await puppet.later("mult", run.id, {"state": "FAILED", "failure_reason": "why"})
            try:
                await waiting
            except RunFailed as error:
                log.append(str(error))
                raise

        with pytest.raises(RunFailed, match="why"):
            execute(wf, main)
        assert log[0] == ["FAILED"]
        assert [entry for entry in log if isinstance(entry, list)] == [["FAILED"]]

    def test_a_handler_that_mends(self, wf, puppet):
        calls = []

        def mend(runs, workflow, **params):
            for run, _ in runs:
                calls.append(run.id)
                run["state"] = "CREATED"

        async def main(workflow, **params):
            workflow.add_error_handler(f=mend)
            ((run, _),) = created = workflow.mult.createTask(x=121.0)
            waiting = asyncio.ensure_future(created)
            await asyncio.sleep(0)
            await puppet.later("mult", run.id, "FAILED")
            await workflow.mult.select("state = CREATED")
            while not calls:
                await asyncio.sleep(0.01)
            await puppet.later("mult", run.id, "FINISHED")
            await waiting

        execute(wf, main)
        assert len(calls) == 1

    def test_failure_that_nobody_awaits_ends_the_workflow(self, wf, puppet):
        calls = []

        async def main(workflow, **params):
            workflow.add_error_handler(f=lambda **kwargs: calls.append(1))
            ((run, _),) = workflow.mult.createTask(x=122.0)
            await asyncio.sleep(0)
            await puppet.later("mult", run.id, "FAILED")
            await asyncio.Event().wait()

        with pytest.raises(RunFailed):
            execute(wf, main)
        assert calls == [1]

    def test_called_while_another_handler_is_suspended(self, wf, puppet):
        log = []

        async def stuck(**params):
            log.append("stuck")
            await asyncio.Event().wait()

        async def main(workflow, **params):
            workflow.add_error_handler(f=lambda **kwargs: log.append("error handler"))
            workflow.add_action("stuck", task="mult", event=lambda: True, f=stuck)
            ((run, _),) = workflow.mult.createTask(x=123.0)
            while "stuck" not in log:
                await asyncio.sleep(0.01)
            await puppet.later("mult", run.id, "FAILED")
            await asyncio.Event().wait()

        with pytest.raises(RunFailed):
            execute(wf, main)
        assert log == ["stuck", "error handler"]

    def test_an_action_may_mend_what_main_awaits(self, wf, puppet):
        calls = []

        def mend(runs, **params):
            for run, _ in list(runs):
                calls.append(run.id)
                run["state"] = "CREATED"

        async def main(workflow, **params):
            workflow.add_action("mend", task="mult", event="state = FAILED", f=mend)
            ((run, _),) = created = workflow.mult.createTask(x=124.0)
            waiting = asyncio.ensure_future(created)
            await asyncio.sleep(0)
            await puppet.later("mult", run.id, "FAILED")
            while not calls:
                await asyncio.sleep(0.01)
            await workflow.mult.select("state = CREATED")
            await puppet.later("mult", run.id, "FINISHED")
            await waiting
            workflow.finished = True

        execute(wf, main)
        assert len(calls) == 1

    def test_an_await_inside_a_handler_raises_at_once(self, wf, puppet):
        log = []

        async def handler(workflow, **params):
            ((run, _),) = created = workflow.mult.createTask(x=125.0)
            waiting = asyncio.ensure_future(created)
            await asyncio.sleep(0)
            await puppet.later("mult", run.id, "FAILED")
            try:
                async with asyncio.timeout(1):
                    await waiting
            except RunFailed:
                log.append("raised")
            workflow.finished = True

        async def main(workflow, **params):
            workflow.add_action("act", task="mult", event=lambda: True, f=handler)

        execute(wf, main)
        assert log == ["raised"]
