"""What user workflows rely on, in real workflows: what the neighbours of this file leave out.

No launcher runs in most of these tests: another thread, with a Workflow of its own, plays the runs.
"""

import asyncio
import time

import pytest
from contracts import execute, finish, script

from motoko import MotokoError
from motoko.store.session import session


class TestExecute:
    def test_error_handlers_are_no_actions(self, wf):
        """execute() returns with main although there is an error handler."""

        async def main(workflow, **params):
            workflow.add_error_handler(f=lambda **params: None)
            workflow.mult.createTask(x=1.0)

        execute(wf, main)
        assert not wf.finished and len(wf.mult.select()) == 1

    @pytest.mark.parametrize("where", ["main", "handler"])
    def test_finished_returns_at_once(self, wf, where):
        """execute() returns before the next tick, whatever else is awaited."""
        told = []

        def stop(workflow, **params):
            told.append(time.monotonic())
            workflow.finished = True

        async def main(workflow, **params):
            workflow.add_action(
                "act", task="mult", event=lambda: where == "handler", f=stop, concurrent=True
            )
            if where == "main":
                stop(workflow)
            await workflow.mult.createTask(x=1.0)

        execute(wf, main)
        assert time.monotonic() - told[0] < 1.0

    def test_after_it_was_finished(self, wf):
        """The same object, once more: it begins anew."""
        log = []

        async def main(workflow, **params):
            assert not workflow.finished
            for _ in range(3):
                await asyncio.sleep(0)
            log.append(params["n"])
            workflow.finished = True

        execute(wf, main, n=1)
        assert wf.finished
        execute(wf, main, n=2)
        assert log == [1, 2] and wf.params == {"n": 2}


class TestOwnLoop:
    def test_a_notebook(self, wf):
        """Cells run one after another in one loop; each can use what an earlier one has begun."""
        loop = asyncio.new_event_loop()

        async def first():
            created = wf.mult.createTask(x=[1.0, 2.0])
            return created, asyncio.ensure_future(created)

        async def second(created):
            selected = wf.mult.select("state = FINISHED")
            await finish(wf, created[:1])
            return await selected

        async def third(created, waiting):
            created[1][0]["note"] = "third"
            await finish(wf, created[1:])
            return await waiting

        async def last():
            with pytest.raises(MotokoError, match="event loop"):
                wf.execute()
            wf.motoko_engine.detach()

        try:
            created, waiting = loop.run_until_complete(first())
            assert len(loop.run_until_complete(second(created))) == 1 and not waiting.done()
            found = loop.run_until_complete(third(created, waiting))
            assert [run.state for run, _ in found] == ["FINISHED"] * 2
            assert len(wf.mult.select("note = third")) == 1
            loop.run_until_complete(last())
            assert not asyncio.all_tasks(loop)
        finally:
            loop.close()


class TestVars:
    def test_leave_pending_changes_alone(self, wf):
        async def main():
            ((run, _),) = wf.mult.createTask(x=1.0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            run["note"] = "pending"
            wf.vars.count = 1
            assert wf.vars.count == 1 and session().pending
            del wf.vars.count
            assert session().pending and run.note == "pending"

        script(wf, main)

    def test_names(self, wf):
        wf.vars.one, wf.vars.two = 1, [2]
        assert {"one", "two"} <= set(dir(wf.vars))
        with pytest.raises(AttributeError, match=r"'three'.*one"):
            wf.vars.three  # noqa: B018
        with pytest.raises(AttributeError, match="'three'"):
            del wf.vars.three
