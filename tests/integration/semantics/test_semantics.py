"""CONTRACT.md, "Semantics, settled": firing, failures, names, and who may execute.

In most of these tests no launcher runs: a second process, the puppet, plays the runs.
"""

import asyncio
import json
import logging
import subprocess
import sys

import pytest
from executing import execute, script
from supervised_puppets import ORCHESTRATOR, Puppet, Ticks, awaited, count
from support import kill9, wait_until

from motoko import Workflow
from motoko.errors import ConstraintError, OrchestratorRunning
from motoko.store.session import session


class TestHavingBeenFinished:
    def test_awaits_and_selections_differ(self, wf, puppet):
        async def main():
            created = wf.mult.createTask(x=1.0)
            waiting = asyncio.ensure_future(awaited(created))
            selecting = asyncio.ensure_future(awaited(wf.mult.select("state = FORWARDED")))
            puppet(created[0][0], "START", "FINISHED", "FORWARDED")
            ((run, _),) = await waiting
            await selecting
            assert run.state == "FORWARDED" and not wf.mult.select("state = FINISHED")
            condition = wf.mult.select().all("state = FINISHED")
            assert not condition()

        script(wf, main)

    def test_after_a_restart(self, wf, puppet, flow):
        """After a restart the run's own record shows that it was FINISHED."""
        ((run, _),) = wf.mult.createTask(x=1.0)
        puppet(run, {"state": "FINISHED", "ended_state": "FINISHED"}, "FORWARDED", "ARCHIVED")
        second = Workflow(flow.path)
        second.run_name = wf.run_name

        async def main():
            async with asyncio.timeout(5):
                ((found, _),) = await second.mult.createTask(x=1.0)
            assert (found.id, found.state) == (run.id, "ARCHIVED")

        try:
            script(second, main)
        finally:
            second.close()

    def test_run_again(self, wf, puppet):
        """A run that is CREATED again has not been FINISHED, whatever it was before."""

        async def main():
            created = wf.mult.createTask(x=1.0)
            run = created[0][0]
            puppet(run, {"state": "FINISHED", "ended_state": "FINISHED"}, "CREATED")
            waiting = asyncio.ensure_future(awaited(created))
            marker = asyncio.ensure_future(awaited(wf.mult.select("state = START")))
            puppet(run, "START")
            await marker
            assert not waiting.done()
            puppet(run, "FINISHED")
            await waiting

        script(wf, main)


class TestNames:
    def warnings(self, caplog, name):
        return [r for r in caplog.records if r.levelno >= logging.WARNING and name in r.message]

    def test_in_direct_use(self, wf):
        # A study without runs: nothing to know of.
        for constraint in ("nonsense = 1", "runs.nonsense = 1"):
            assert list(wf.empty.select(constraint)) == []
        wf.mult.createTask(x=1.0)
        for use in (list, len, bool, lambda selection: selection(), lambda s: s[:1]):
            with pytest.raises(ConstraintError, match="nonsense"):
                use(wf.mult.select("nonsense = 1"))

    def test_in_an_await(self, wf, puppet, caplog):
        async def main():
            created = wf.mult.createTask(x=1.0)
            selection = wf.mult.select("later_on = 3")
            waiting = [
                asyncio.ensure_future(awaited(each))
                for each in (selection, wf.mult.select().all("later_on = 3"), selection & selection)
            ]
            other = asyncio.ensure_future(awaited(wf.mult.select("state = START")))
            puppet(created[0][0], "START")
            await other
            assert not any(each.done() for each in waiting)
            puppet(created[0][0], {"later_on": 3, "state": "FINISHED"})
            assert [len(each) for each in await asyncio.gather(*waiting)] == [1, 1, 2]

        script(wf, main)
        assert len(self.warnings(caplog, "later_on")) == 1

    def test_in_an_action(self, wf, puppet, caplog):
        fired = []

        def handler(runs, workflow, **params):
            fired.append(len(list(runs)))
            workflow.finished = True

        async def main(workflow, **params):
            created = workflow.mult.createTask(x=1.0)
            workflow.add_action("act", task="mult", event="by_and_by = 3", f=handler)
            await Ticks(workflow).wait(1)
            assert not fired
            puppet(created[0][0], {"by_and_by": 3, "state": "FINISHED"})

        execute(wf, main)
        assert fired == [1]
        assert len(self.warnings(caplog, "by_and_by")) == 1

    def test_values_extend_to_the_separator(self, wf, puppet):
        (one, _), (two, _) = wf.mult.createTask(x=[1.0, 2.0])
        puppet(one, {"note": "two words or three"})
        puppet(two, {"note": "two"})
        for rest in ("", ", x > 0", " and x > 0"):
            session().refresh(wf.mult.base)
            found = wf.mult.select(f"note = two words or three{rest}")
            assert [run.id for run, _ in found] == [one.id]


class TestExecuting:
    def test_own_loops(self, wf, puppet):
        """A script drives the workflow from several loops, one after the other."""

        async def main(x):
            created = wf.mult.createTask(x=x)
            waiting = asyncio.ensure_future(awaited(created))
            puppet(created[0][0], "START", "FINISHED")
            ((run, _),) = await waiting
            return run.state, len(await wf.mult.select("state = FINISHED"))

        assert asyncio.run(main(1.0)) == ("FINISHED", 1)
        assert asyncio.run(main(2.0)) == ("FINISHED", 2)
        execute(wf, lambda workflow, **params: main(3.0))
        assert asyncio.run(main(4.0)) == ("FINISHED", 4)

    def test_one_for_a_run_name(self, wf, flow):
        """A second execute() is refused; who only creates, selects or awaits is not."""
        code = (
            "import asyncio, sys\n"
            "from motoko import Workflow\n"
            "from motoko.errors import OrchestratorRunning\n"
            "workflow = Workflow(sys.argv[1]); workflow.run_name = sys.argv[2]\n"
            "async def main(*args, **params):\n"
            "    assert len(workflow.mult.select()) == 1\n"
            "    workflow.mult.createTask(x=2.0)\n"
            "    assert len(await workflow.mult.select('x > 0')) == 2\n"
            "asyncio.run(main())\n"
            "workflow.orchestrator_function = main\n"
            "try:\n"
            "    workflow.execute()\n"
            "except OrchestratorRunning as error:\n"
            "    print('refused:', error, error.hint)\n"
        )
        command = [sys.executable, "-P", "-c", code, str(flow.path), wf.run_name]
        before = len(asyncio.run(count(wf)))

        async def main(workflow, **params):
            workflow.mult.createTask(x=1.0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            done = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith("refused:") and workflow.run_name in done.stdout
            # In this process as well.
            second = Workflow(flow.path)
            second.run_name = workflow.run_name
            second.orchestrator_function = lambda workflow, **params: awaited(asyncio.sleep(0))
            with pytest.raises(OrchestratorRunning):
                await asyncio.to_thread(second.execute)

        assert before == 0
        execute(wf, main)
        # Afterwards it is free again.
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert "refused" not in done.stdout
        assert len(wf.mult.select()) == 2


def test_supervisor_killed_then_workflow_stopped(workflow, tmp_path, nothing_left):
    """Orchestrators go on without a supervisor, and say so once; `motoko kill` ends them with 4."""
    flow = workflow("own")
    (flow.directory / "orchestrator.py").write_text(ORCHESTRATOR)
    flow.supervise("--no-launchers")
    start = ("orchestrator", "start", "--run_name")
    first = flow.begin(*start, "first", "--x", "1")
    second = flow.begin(*start, "second", "--x", "2")
    puppet = Puppet(flow.path)
    try:
        for process in (first, second):
            while (line := process.stdout.readline()) != "waiting\n":
                assert line, "it has ended"
        runs = wait_until(
            lambda: found if len(found := numbers(flow)) == 2 else None, "both runs are saved"
        )
        kill9(flow.ps()["supervisor"]["pid"])
        wait_until(lambda: flow.state() != "ready", "the supervisor is gone")
        puppet.tell("mult", runs["first"], "START", "FINISHED")
        said, _ = first.communicate(timeout=20)
        assert first.returncode == 0 and "got 1.0" in said
        assert second.poll() is None
    finally:
        puppet.close()
    done = flow.motoko("kill", "--now")
    assert done.returncode == 0, done.stderr
    said, _ = second.communicate(timeout=20)
    assert second.returncode == 4, said
    assert "got" not in said and "stopped" in said
    warned = [line for line in said.splitlines() if "supervisor" in line]
    assert len(warned) == 1, f"the death of the supervisor is told once: {said}"


def numbers(flow):
    """The runs' numbers by run_name, read by a process of its own."""
    code = (
        "import json, sys\nfrom motoko import Workflow\n"
        "workflow = Workflow(sys.argv[1])\n"
        "print(json.dumps({run.run_name: run.id for run, _ in workflow.mult.select()}))\n"
    )
    command = [sys.executable, "-P", "-c", code, str(flow.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)
