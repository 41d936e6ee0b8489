"""What user workflows rely on, in real workflows: what the neighbours of this file leave out.

No launcher runs in most of these tests: another thread, with a Workflow of its own, plays the runs.
"""

import asyncio
import json
import os
import subprocess
import sys
from argparse import Namespace

import pytest
from contracts import elsewhere, execute, finish, script
from support import processes_in, wait_until

from motoko import MotokoError, NoSupervisor, RunFailed, RunList, Workflow
from motoko.errors import ConfigError

FAILED = {"state": "FAILED", "ended_state": "FAILED", "failure_reason": "why"}


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
        """A RunList can be made of any pairs, also of several studies."""
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
        wf.close()
        flow.motoko("kill", "--now")
        # What exists is never lost unasked, and here nobody can be asked.
        for create in (wf.create, lambda: create_bd_studies(wf)):
            with pytest.raises(MotokoError, match="mult: 1 job, 1 run"):
                create()
        create_bd_study(wf.mult)
        assert self.counted(flow) == [("add", 1, {"CREATED": 1}), ("mult", 0, {})]
        made = create_studies.main(Namespace(directory=str(flow.directory), validated=True))
        assert isinstance(made, Workflow) and made.config_path == str(flow.path)
        assert self.counted(flow) == [("add", 0, {}), ("mult", 0, {})]
