"""What user workflows rely on, in real workflows: what the neighbours of this file leave out.

No launcher runs in most of these tests: another thread, with a Workflow of its own, plays the runs.
"""

import asyncio
import logging
import subprocess
import sys

import pytest
from contracts import change, execute, script
from runs import states
from support import kill9, wait_until

from motoko import TaskSelectionEval, Workflow
from motoko.bus.waiters import Interest
from motoko.errors import ConstraintError
from motoko.store.session import session


async def quiet(wf):
    """Until the bus has told all there is to tell: from then on nothing happens in the studies."""
    await asyncio.sleep(0)  # what is pending is saved
    bus = await wf.motoko_engine.attached()
    async with asyncio.timeout(10):
        for study, manager in wf.task_managers.items():
            while bus.tid(study) < manager.base.tid:
                await asyncio.sleep(0.01)
        for _ in range(10):
            await asyncio.sleep(0.01)


class TestConditions:
    def test_code_is_awaited(self, wf):
        """A condition of one's own; what is pending is saved first."""
        flag = []
        ((run, _),) = wf.mult.createTask(x=1.0)
        condition = TaskSelectionEval(lambda: flag and ["told", *flag])

        async def main():
            run["note"] = 1
            waiting = asyncio.ensure_future(condition)
            await asyncio.sleep(0)
            assert not session().pending and not waiting.done()
            flag.append(3)
            assert await asyncio.wait_for(waiting, 5) == ["told", 3]

        script(wf, main)

    @pytest.mark.parametrize("kind", ["selection & code", "code & selection", "selection & f"])
    def test_code_beside_a_selection(self, wf, kind):
        """A selection combined with other code is evaluated again without an event in the study."""
        wf.mult.createTask(x=1.0)
        flag = []
        selection, code = wf.mult.select(), TaskSelectionEval(lambda: list(flag))
        condition = {
            "selection & code": selection & code,
            "code & selection": code & selection,
            "selection & f": selection.all("state = CREATED") & (lambda: list(flag)),
        }[kind]

        async def main():
            waiting = asyncio.ensure_future(condition)
            await quiet(wf)
            assert not waiting.done()
            flag.append(7)
            found = await asyncio.wait_for(waiting, 5)
            assert len(found) == 2 and 7 in found

        script(wf, main)

    def test_code_beside_a_selection_in_an_action(self, wf):
        flag, fired = [], []

        def handler(runs, workflow, **params):
            fired.append(len(runs))
            workflow.finished = True

        async def main(workflow, **params):
            workflow.mult.createTask(x=1.0)
            condition = workflow.mult.select() & (lambda: list(flag))
            workflow.add_action("act", task="mult", event=condition, f=handler)
            await quiet(workflow)
            assert not fired
            flag.append(7)

        execute(wf, main)
        assert fired == [2]

    @pytest.mark.parametrize("kind", ["all", "and"])
    def test_called_they_are_live(self, wf, kind):
        ((run, _),) = wf.mult.createTask(x=1.0)
        selection = wf.mult.select("state = FINISHED")
        condition = selection & selection
        if kind == "all":
            condition = wf.mult.select().all("state = FINISHED")
        assert not condition()
        change(wf, run, state="FINISHED")
        wait_until(condition, "each call evaluates it again", timeout=5)

    def test_all_of_nothing(self, wf):
        with pytest.raises(ConstraintError) as caught:
            wf.mult.select().all()
        assert caught.value.hint

    def test_unknown_names_behind_and(self, wf, caplog):
        """Unknown names match nothing yet, as in any await, with a warning."""
        ((run, _),) = wf.mult.createTask(x=1.0)

        async def main():
            waiting = asyncio.ensure_future(
                wf.mult.select("state ~ .") & wf.mult.select("after_and = 3")
            )
            while not [each for each in caplog.records if "after_and" in each.message]:
                assert not waiting.done(), await waiting
                await asyncio.sleep(0.01)
            await asyncio.to_thread(change, wf, run, after_and=3, state="START")
            assert len(await asyncio.wait_for(waiting, 10)) == 2

        with caplog.at_level(logging.WARNING):
            script(wf, main)

    def test_unknown_names_in_an_action_s_selection(self, wf):
        fired = []

        def handler(runs, workflow, **params):
            fired.append([run.seen_later for run, _ in runs])
            workflow.finished = True

        async def main(workflow, **params):
            ((run, _),) = workflow.mult.createTask(x=1.0)
            selection = workflow.mult.select("seen_later = 3")
            workflow.add_action("act", task="mult", event=selection, f=handler)
            await workflow.mult.select("x = 1")
            await asyncio.to_thread(change, wf, run, seen_later=3, state="START")

        execute(wf, main)
        assert fired == [[3]]


class TestActions:
    def test_what_still_holds_fires_again_after_a_restart(self, wf, flow):
        """Though it selects the same run in the same state."""
        fired = []

        def handler(runs, workflow, **params):
            fired.append([run.id for run, _ in runs])
            workflow.finished = True

        async def main(workflow, **params):
            workflow.mult.createTask(x=1.0)
            workflow.add_action("act", task="mult", event="state = CREATED", f=handler)

        execute(wf, main)
        second = Workflow(flow.path)
        second.run_name = wf.run_name
        try:
            execute(second, main)
        finally:
            second.close()
        assert len(fired) == 2 and fired[0] == fired[1] != []

    def test_a_tick_in_a_quiet_workflow_reads_nothing(self, wf):
        """A tick reads nothing even while a condition is true."""
        loads = []

        def handler(workflow, **params):
            loads.append(workflow.mult.base.connection.getTransferCounts(clear=True)[0])
            workflow.finished = len(loads) == 3

        async def main(workflow, **params):
            workflow.mult.createTask(x=[float(n) for n in range(50)])
            workflow.add_action("act", task="mult", event="state = CREATED", f=handler)

        execute(wf, main)
        assert loads[1:] == [0, 0]

    def test_error_handler_of_one_task_with_params(self, wf):
        got = []

        def mend(runs, params, workflow, **rest):
            for run, _ in list(runs):
                got.append((run.base.study.name, params, rest))
                run["state"] = "FINISHED"

        async def main(workflow, **params):
            workflow.add_error_handler(
                event="state = ERROR", f=mend, task="product", get_params=lambda: 7
            )
            ((first, _),) = mult = workflow.mult.createTask(x=1.0)
            ((second, _),) = workflow.add.createTask(x=1.0)
            first["state"] = second["state"] = "ERROR"
            await mult

        execute(wf, main, depth=3)
        assert got == [("mult", 7, {"depth": 3})]
        ((run, _),) = wf.add.select()
        assert run.state == "ERROR"


# A run of one study that looks into the other: its own study stays its own.
LOOKS_INTO_ANOTHER = """\
import BlackDynamite as BD
from motoko import Workflow

run, job = BD.getRunFromScript()
run.start()
workflow = Workflow(run.workflow)
workflow.run_name = run.run_name
run["others"] = [other.y for other, _ in workflow.add.select("state = FINISHED")]
new = run.base.Run()
assert new.base is run.base and run.base is not workflow.add.base
assert workflow.add.base.Run().base is workflow.add.base
run["y"] = job.x + sum(run.others)
run.finish()
"""


def test_a_run_that_looks_into_another_study(workflow):
    """The other study's base is beside the one that BlackDynamite opened for the run."""
    flow = workflow(studies=("add", "mult"))
    (flow.directory / "mult" / "doIt.py").write_text(LOOKS_INTO_ANOTHER)
    (flow.directory / "orchestrator.py").write_text(
        "async def main(workflow, **params):\n"
        "    ((other, _),) = await workflow.add.createTask(x=4.0)\n"
        "    ((run, _),) = await workflow.mult.createTask(x=1.0)\n"
        "    print(run.id, run.y, run.state, other.id, other.y, 'others' in other.entries)\n"
    )
    flow.supervise()
    done = flow.motoko("orchestrator", "start", "--run_name", "r")
    assert (done.returncode, done.stdout) == (0, "1 9.0 FINISHED 1 8.0 False\n"), done.stderr


IN_A_GROUP = """\
import asyncio


async def wait(runs):
    await runs


async def main(workflow, **params):
    async with asyncio.TaskGroup() as group:
        for x in (1.0, 2.0):
            group.create_task(wait(workflow.mult.createTask(x=x)))
        print("waiting", flush=True)
"""


class TestTaskGroupsOfACommand:
    def test_stopped(self, workflow):
        """In a task group, too, a stop means exit code 4 and one message."""
        flow = workflow()
        (flow.directory / "orchestrator.py").write_text(IN_A_GROUP)
        flow.supervise("--no-launchers")
        process = flow.begin("orchestrator", "start", "--run_name", "r")
        while (line := process.stdout.readline()) != "waiting\n":
            assert line, "it has ended"
        wait_until(lambda: states(flow) == {1: "CREATED", 2: "CREATED"}, "both are saved")
        assert flow.motoko("kill", "--now").returncode == 0
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 4, said
        assert said.count("motoko: error: ") == 1 and "Traceback" not in said

    def test_failed(self, workflow):
        flow = workflow()
        (flow.directory / "orchestrator.py").write_text(IN_A_GROUP)
        (flow.directory / "mult" / "launch.sh").write_text("exit 3\n")
        done = flow.motoko("run")
        assert done.returncode == 1, done.stderr
        assert "motoko: error: run mult." in done.stderr and "exit code 3" in done.stderr
        assert "hint: " in done.stderr and "Traceback" not in done.stderr


def test_a_supervisor_killed_with_nobody_waiting(workflow):
    """A script that only selects goes on, and starts the next supervisor when it is run again."""
    flow = workflow()
    flow.supervise("--no-launchers")
    wf = Workflow(flow.path)
    wf.run_name = "r"
    try:
        wf.mult.createTask(x=1.0)
        kill9(flow.ps()["supervisor"]["pid"])
        wait_until(lambda: flow.state() == "not running", "the supervisor is gone")
        assert len(wf.mult.select()) == 1
        assert len(wf.mult.createTask(x=[1.0, 2.0])) == 2
    finally:
        wf.close()


# Listens to the bus, as orchestrators do, and assigns when it is told to.
ASSIGNS = """
import asyncio, sys
from motoko import Workflow

async def main():
    workflow = Workflow(sys.argv[1])
    await workflow.motoko_engine.attached()
    print("listens", flush=True)
    for line in sys.stdin:
        workflow.vars.theirs = line.strip()
        await asyncio.sleep(0)
    workflow.close()

asyncio.run(main())
"""


def test_vars_wake_those_who_may_read_them(wf, flow):
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", ASSIGNS, str(flow.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "listens\n"

    async def main():
        dispatcher = await wf.motoko_engine.attached()
        code, states = Interest(studies=["mult"]), Interest(studies=["mult"], states_only=True)
        with dispatcher.waiting(code) as first, dispatcher.waiting(states) as second:
            process.stdin.write("a value\n")
            process.stdin.flush()
            while getattr(wf.vars, "theirs", None) != "a value":
                await first.wait()
            assert not second.event.is_set()

    script(wf, main)
    process.communicate("", timeout=20)
    assert process.returncode == 0
