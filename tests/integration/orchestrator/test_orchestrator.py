"""Orchestrators on a real supervised workflow: the rows of CONTRACT.md.

No launcher runs in most of these tests: a second process, the puppet, plays the runs.
"""

import asyncio
import os
import subprocess
import sys

import pytest
from executing import execute, script
from puppets import write
from support import wait_until

from motoko import (
    MotokoError,
    Workflow,
)
from motoko.errors import WorkflowStopped


class TestTheRest:
    def test_vars_of_two_processes(self, wf, flow):
        code = (
            "import sys; from motoko import Workflow\n"
            "vars = Workflow(sys.argv[1]).vars\n"
            "assert vars.mine == {'a': [1, 2]}, vars.mine\n"
            "for n in range(20): setattr(vars, f'theirs{n}', n)\n"
        )
        wf.vars.mine = {"a": [1, 2]}
        assert wf.vars.mine == {"a": [1, 2]}
        command = [sys.executable, "-P", "-c", code, str(flow.path)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            for number in range(20):
                setattr(wf.vars, f"ours{number}", number)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        for number in range(20):
            assert getattr(wf.vars, f"ours{number}") == number
            assert getattr(wf.vars, f"theirs{number}") == number
        with pytest.raises(AttributeError, match="nothing"):
            wf.vars.nothing  # noqa: B018

    def test_vars_by_reassignment(self, wf, flow):
        wf.vars.numbers = [1]
        wf.vars.numbers = [*wf.vars.numbers, 2]
        assert Workflow(flow.path).vars.numbers == [1, 2]
        del wf.vars.numbers
        assert not hasattr(Workflow(flow.path).vars, "numbers")

    def test_get_runs(self, wf):
        ((one, _), (two, _)) = wf.mult.createTask(x=[140.0, 141.0])
        ((rich, _),) = wf.rich.createTask(x=140.0, name="a")
        names = [f"mult.{two.id}", f"rich.{rich.id}", f"other.{one.id}", f"mult.{one.id}"]
        found = wf.get_runs(names)
        assert {name: [run.id for run in runs] for name, runs in found.items()} == {
            "mult": [two.id, one.id],
            "rich": [rich.id],
            "other": [one.id],
        }
        assert wf.get_runs([]) == {}
        with pytest.raises(AttributeError, match="mult, rich"):
            wf.get_runs(["nothing.1"])
        with pytest.raises(KeyError):
            wf.get_runs(["mult.1000000"])

    def test_aliases(self, wf):
        assert wf.product is wf.mult and wf.other is wf.mult
        assert wf.aliases == {"product": "mult", "other": "product"}
        with pytest.raises(AttributeError, match="mult, rich"):
            wf.nothing  # noqa: B018

    def test_one_orchestrator_for_a_run_name(self, wf, flow):
        async def main(workflow, **params):
            arguments = ("orchestrator", "start", "--run_name", workflow.run_name)
            done = await asyncio.to_thread(flow.motoko, *arguments)
            assert done.returncode == 5 and "is running already" in done.stderr
            done = await asyncio.to_thread(flow.motoko, *arguments[:-1], workflow.run_name + "2")
            assert done.returncode == 0, done.stderr
            assert [o["run_name"] for o in flow.ps()["orchestrators"]] == [workflow.run_name]

        execute(wf, main)
        # The supervisor hears of it a moment later.
        wait_until(lambda: flow.ps()["orchestrators"] == [], "there is none any more")

    def test_pending_conflict_is_not_silent(self, wf, puppet):
        async def main():
            ((run, _),) = wf.mult.createTask(x=142.0)
            await asyncio.sleep(0)
            assert run.state == "CREATED"
            run["note"] = "mine"
            puppet("mult", run.id, {"note": "theirs"})  # before ours is saved
            with pytest.raises(MotokoError, match=r"note.*mine.*theirs"):
                await wf.mult.select("state = CREATED")
            # Another key is merged.
            run["one"] = 1
            puppet("mult", run.id, {"two": 2})
            await wf.mult.select("state = CREATED")
            assert (run.one, run.two) == (1, 2)

        script(wf, main)


SCRIPT = """\
import asyncio, sys
from motoko import Workflow

workflow = Workflow("motoko.yaml")
workflow.run_name = "r"
print(len(workflow.mult.createTask(x=1.0)))
"""


class TestWithoutSupervisor:
    def script(self, flow, **environment):
        return subprocess.run(
            [sys.executable, "-P", "-c", SCRIPT],
            cwd=flow.directory,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @pytest.fixture
    def own(self, tmp_path, nothing_left):
        flow = write(tmp_path / "own")
        flow.create()
        yield flow
        assert flow.motoko("kill", "--now").returncode == 0

    def test_one_is_started_without_launchers(self, own):
        done = self.script(own)
        assert done.returncode == 0 and done.stdout == "1\n", done.stderr
        (line,) = done.stderr.splitlines()
        assert "starting one" in line and "motoko supervise" in line
        assert {name.split(":")[0] for name in own.daemons()} == {"zeo", "bus", "watcher"}
        # And is found by the next.
        done = self.script(own)
        assert done.returncode == 0 and done.stderr == ""

    def test_never_from_inside_a_run(self, own):
        done = self.script(own, BLACKDYNAMITE_RUN_ID="1")
        assert done.returncode == 1 and "NoSupervisor" in done.stderr
        assert own.motoko("ps").returncode == 3

    def test_a_workflow_object_does_nothing(self, own):
        before = {path: path.lstat().st_mtime_ns for path in own.directory.rglob("*")}
        code = "from motoko.workflow import Workflow; w = Workflow('motoko.yaml'); w.mult; w.config"
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            cwd=own.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout == done.stderr == ""
        assert {path: path.lstat().st_mtime_ns for path in own.directory.rglob("*")} == before


class TestStopping:
    def test_awaits_end_when_the_workflow_is_killed(self, tmp_path, monkeypatch, nothing_left):
        flow = write(tmp_path / "own")
        flow.create()
        flow.supervise("--no-launchers")
        wf = Workflow(flow.path)
        wf.run_name = "r"

        async def main(workflow, **params):
            waiting = asyncio.ensure_future(workflow.mult.createTask(x=1.0))
            await asyncio.sleep(0.1)
            await asyncio.to_thread(flow.motoko, "kill", "--now")
            await waiting

        try:
            with pytest.raises(WorkflowStopped) as caught:
                execute(wf, main)
            assert caught.value.exit_code == 4
        finally:
            wf.close()
            flow.motoko("kill", "--now")
