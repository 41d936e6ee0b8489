"""What user workflows rely on, in real workflows: what the neighbours of this file leave out.

No launcher runs in most of these tests: another thread, with a Workflow of its own, plays the runs.
"""

import asyncio
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from argparse import Namespace
from pathlib import Path

import pytest
import transaction
from runs import states
from support import kill9, processes_in, sockets_in, wait_until, write_workflow

from motoko import MotokoError, NoSupervisor, RunFailed, RunList, TaskSelectionEval, Workflow
from motoko.bd.session import session
from motoko.dispatch import Interest
from motoko.errors import ConfigError, ConstraintError

DEADLINE_S = 40
FAILED = {"state": "FAILED", "ended_state": "FAILED", "failure_reason": "why"}


def write(directory):
    flow = write_workflow(directory, ("mult", "add"))
    with open(flow.path, "a") as file:
        file.write("aliases:\n  product: mult\n")
    (directory / "mult" / "bd.yaml").write_text(
        "study: mult\njob:\n  x: float\n  y: float\n  z: float\njob_space:\n  y: 0.0\n  z: 0.0\n"
    )
    return flow


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """The workflow of most tests, supervised without launchers."""
    place = tmp_path_factory.mktemp("contract")
    private = Path(tempfile.mkdtemp(prefix="mt-", dir="/tmp"))
    flow = write(place / "wf")
    flow.create()
    done = flow.motoko("supervise", "--detach", "--no-launchers", TMPDIR=str(private))
    assert done.returncode == 0, done.stderr
    yield flow
    assert flow.motoko("kill", "--now").returncode == 0
    wait_until(lambda: not list(processes_in(place)), "nothing is left")
    assert not sockets_in(private, place)
    shutil.rmtree(private)


@pytest.fixture(autouse=True)
def deadline():
    """What hangs is interrupted."""

    def late(number, frame):
        raise AssertionError(f"it hangs: not done within {DEADLINE_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(DEADLINE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def wf(flow, request):
    """The workflow in this process, with a run_name of the test's own."""
    workflow = Workflow(flow.path)
    workflow.run_name = request.node.name
    yield workflow
    transaction.abort()
    workflow._close()


def elsewhere(wf, do):
    """Call ``do`` with another Workflow object, in a thread of its own; returns its result."""
    results = []

    def work():
        workflow = Workflow(wf.config_path)
        workflow.run_name = wf.run_name
        try:
            results.append(do(workflow))
            transaction.commit()
        finally:
            workflow._close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    (result,) = results
    return result


def change(wf, run, **entries):
    """Somebody else changes a saved run."""
    study, number = run.base.study.name, run.entries["id"]
    elsewhere(
        wf, lambda other: getattr(other, study).base.runs.entries[number].entries.update(entries)
    )


async def finish(wf, runs):
    """Somebody else finishes runs, once these are saved."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for run, _ in runs:
        await asyncio.to_thread(change, wf, run, state="FINISHED")


def script(wf, main):
    """Run a coroutine without ``execute``, as a user's own script does."""

    async def whole():
        try:
            return await main()
        finally:
            wf._execution.close()

    return asyncio.run(whole())


def execute(wf, main, **params):
    wf.orchestrator_function = main
    wf.execute(**params)


async def quiet(wf):
    """Until the bus has told all there is to tell: from then on nothing happens in the studies."""
    await asyncio.sleep(0)  # what is pending is saved
    bus = await wf._execution.attached()
    async with asyncio.timeout(10):
        for study, manager in wf.task_managers.items():
            while bus.tid(study) < manager.base.tid:
                await asyncio.sleep(0.01)
        for _ in range(10):
            await asyncio.sleep(0.01)


async def awaited(awaitable):
    return await awaitable


class TestCreateTask:
    def test_jobs_are_told_apart_by_the_names_of_their_values(self, wf):
        """The same values under other names are another job."""
        given = [{"x": 5.0, "y": 1.0, "z": 2.0}, {"x": 1.0, "y": 5.0, "z": 2.0}]
        given += [{"x": 2.0, "y": 1.0, "z": 5.0}, {"z": 5.0, "y": 2.0, "x": 1.0}]
        found = [wf.mult.createTask(**each)[0] for each in given]
        assert len({job.id for _, job in found}) == len({run.id for run, _ in found}) == len(given)
        for each, (_, job) in zip(given, found, strict=True):
            assert {name: job.entries[name] for name in "xyz"} == each
        again = [wf.mult.createTask(**each)[0] for each in reversed(given)]
        assert [run.id for run, _ in again] == [run.id for run, _ in reversed(found)]

    def test_environment_of_another_study(self, wf, flow):
        """Variables that BlackDynamite's own clients obey lead nobody elsewhere."""
        code = (
            "import sys; from motoko import Workflow\n"
            "workflow = Workflow(sys.argv[1]); workflow.run_name = sys.argv[2]\n"
            "for study in ('add', 'mult'):\n"
            "    ((run, job),) = getattr(workflow, study).createTask(x=7.0)\n"
            "    ((same, _),) = getattr(workflow, study).select('x = 7')\n"
            "    assert run.base.study.name == study and same.id == run.id\n"
            "    print(study, run.id)\n"
        )
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, str(flow.path), wf.run_name],
            env={
                **os.environ,
                "BLACKDYNAMITE_HOST": f"zeo://{flow.directory}/nowhere",
                "BLACKDYNAMITE_STUDY": "somebody_add",
                "BLACKDYNAMITE_SCHEMA": "somebody_add",
                "BLACKDYNAMITE_USER": "somebody",
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        for study in ("add", "mult"):
            ((run, _),) = getattr(wf, study).select()
            assert f"{study} {run.id}\n" in done.stdout


class TestRunList:
    def test_of_ones_own(self, wf):
        """Of any pairs, as selections give them, and of several studies."""
        wf.mult.createTask(x=1.0)
        wf.add.createTask(x=[1.0, 2.0])
        pairs = [*wf.mult.select(), *wf.add.select()]
        runs = RunList(pairs)
        assert runs.runs is pairs and list(runs) == pairs and len(runs) == 3 and runs[1] == pairs[1]

        async def main():
            waiting = asyncio.ensure_future(runs)
            await finish(wf, pairs[:2])
            await wf.add.select("state = FINISHED")
            assert not waiting.done()
            await finish(wf, pairs[2:])
            assert await waiting == pairs
            assert {run.state for run, _ in pairs} == {"FINISHED"}

        script(wf, main)

    def test_failures_of_a_task_group_reach_the_caller_of_execute(self, wf):
        async def main(workflow, **params):
            created = [workflow.mult.createTask(x=2.0), workflow.add.createTask(x=2.0)]
            for ((run, _),) in created:
                run.entries.update(FAILED)
            async with asyncio.TaskGroup() as group:
                for each in created:
                    group.create_task(awaited(each))

        with pytest.raises(ExceptionGroup) as caught:
            execute(wf, main)
        assert caught.value.subgroup(RunFailed) is not None
        assert caught.value.split(RunFailed)[1] is None, "nothing else is among them"


class TestSelection:
    def test_attributes(self, wf):
        selection = wf.mult.select(["x > 1", "state = CREATED"])
        assert selection.constraints[:2] == ["x > 1", "state = CREATED"]
        assert selection.study == "mult" and selection.base is wf.mult.base is wf.mult.connect()
        assert selection.selector is wf.mult.selector is not None
        assert selection.matching_condition is None
        ((_, _), (run, job)) = wf.mult.createTask(x=[1.0, 2.0])
        for found in (selection.exec(), selection(), list(selection), selection[:]):
            assert [(r.id, j.id) for r, j in found] == [(run.id, job.id)]

    def test_get_runs_is_live_in_a_script(self, wf):
        assert wf.get_runs([]) == {} and not wf.add.select()
        number = elsewhere(wf, lambda other: other.add.createTask(x=9.0)[0][0].entries["id"])

        def found():
            return wf.get_runs([f"add.{number}"])["add"][0].entries["id"] == number

        wait_until(found, "the run that another has created", timeout=5)


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
        """It is asked again though nothing happens in the study."""
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
        """As in any await they match nothing yet, and are warned about."""
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
            second._close()
        assert len(fired) == 2 and fired[0] == fired[1] != []

    def test_a_tick_in_a_quiet_workflow_reads_nothing(self, wf):
        """Not even while a condition holds."""
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


class TestExecute:
    def test_error_handlers_are_no_actions(self, wf):
        """They do not keep it from returning when main does."""

        async def main(workflow, **params):
            workflow.add_error_handler(f=lambda **params: None)
            workflow.mult.createTask(x=1.0)

        execute(wf, main)
        assert not wf.finished and len(wf.mult.select()) == 1

    @pytest.mark.parametrize("where", ["main", "handler"])
    def test_finished_returns_at_once(self, wf, where):
        """Not at the next tick, whoever waits for something else meanwhile."""
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
        """One loop, in which cell after cell is run; what one has begun the next goes on with."""
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
            wf._execution.close()

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
    """Beside the base that BlackDynamite has opened for the run itself."""
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


class TestStartLauncherDaemons:
    def launchers(self, flow):
        return sorted(name for name in flow.pids() if name.startswith("launcher"))

    @pytest.mark.parametrize("supervised", [False, True], ids=["alone", "supervised"])
    def test_of_one_study(self, workflow, supervised):
        flow = workflow(studies=("add", "mult"))
        if supervised:
            flow.supervise("--no-launchers")
        Workflow(flow.path).start_launcher_daemons(Namespace(bd_study="mult", generator="bash"))
        assert self.launchers(flow) == ["launcher:mult"]
        Workflow(flow.path).start_launcher_daemons(Namespace(bd_study="all"))
        assert self.launchers(flow) == ["launcher:add", "launcher:mult"]

    def test_that_is_none(self, workflow, tmp_path, monkeypatch):
        flow = workflow()
        wf = Workflow(flow.path)
        with pytest.raises(AttributeError, match="mult"):
            wf.start_launcher_daemons(Namespace(bd_study="nothing"))
        with pytest.raises(ConfigError, match="pbs"):
            wf.start_launcher_daemons(Namespace(bd_study="mult", generator="pbs"))
        monkeypatch.setenv("BLACKDYNAMITE_RUN_ID", "1")
        with pytest.raises(NoSupervisor):
            wf.start_launcher_daemons(Namespace(bd_study="mult"))
        assert not list(processes_in(tmp_path))


class TestCreate:
    def counted(self, flow):
        studies = json.loads(flow.motoko("info", "--json").stdout)["studies"]
        return [(each["study"], each["jobs"], each["states"]) for each in studies]

    def test_by_name(self, workflow):
        from motoko.bd_study import create_bd_studies, create_bd_study
        from motoko.scripts import create_studies

        flow = workflow(studies=("add", "mult"))
        wf = Workflow(flow.path)
        wf.run_name = "r"
        for study in flow.studies:
            getattr(wf, study).createTask(x=1.0)
        wf._close()
        flow.motoko("kill", "--now")
        # What exists is never lost unasked, and here nobody can be asked.
        for create in (wf.create, lambda: create_bd_studies(wf)):
            with pytest.raises(MotokoError, match="mult: 1 jobs, 1 runs"):
                create()
        create_bd_study(wf.mult)
        assert self.counted(flow) == [("add", 1, {"CREATED": 1}), ("mult", 0, {})]
        made = create_studies.main(Namespace(directory=str(flow.directory), validated=True))
        assert isinstance(made, Workflow) and made.config_path == str(flow.path)
        assert self.counted(flow) == [("add", 0, {}), ("mult", 0, {})]


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
        """As without a group: exit code 4, and one message."""
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
        wf._close()


# Listens to the bus, as orchestrators do, and assigns when it is told to.
ASSIGNS = """
import asyncio, sys
from motoko import Workflow

async def main():
    workflow = Workflow(sys.argv[1])
    await workflow._execution.attached()
    print("listens", flush=True)
    for line in sys.stdin:
        workflow.vars.theirs = line.strip()
        await asyncio.sleep(0)
    workflow._close()

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
        dispatcher = await wf._execution.attached()
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
