"""A typed script of a user passes mypy --strict against the installed package."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import motoko

PACKAGE = Path(motoko.__file__).parent

SCRIPT = """\
import asyncio
from collections.abc import Iterable
from typing import Any, assert_type

from motoko import (
    ChangeConflict,
    MotokoError,
    RunFailed,
    RunList,
    TaskManager,
    TaskSelection,
    TaskSelectionEval,
    Workflow,
)
from motoko.errors import OrchestratorRunning
from motoko.workflow import event


@event
async def refine(runs: Iterable[tuple[Any, Any]], workflow: Workflow, **params: Any) -> None:
    for run, job in runs:
        await workflow.solve.createTask(mesh="fine", load=job.load)
        run["state"] = "FORWARDED"


def mend(runs: TaskSelection, **params: Any) -> None:
    for run, _ in runs:
        run["state"] = "CREATED"


def is_coarse(run: Any, job: Any) -> bool:
    return bool(job.mesh == "coarse")


async def main(workflow: Workflow, loads: list[float], **params: Any) -> int:
    manager = workflow.solve
    assert_type(manager, TaskManager)
    workflow.add_action("done", task="solve", event="state = FINISHED", f=refine)
    workflow.add_action("coarse", event=is_coarse, f=refine, concurrent=True)
    workflow.add_action("both", event=["state = FINISHED", "load > 1"], get_params=dict, f=refine)
    workflow.add_error_handler(f=mend)
    workflow.add_error_handler("state = ERROR", f=mend, task="solve")
    created = manager.createTask({"nproc": 2}, commit=True, mesh=["coarse"], load=loads)
    assert_type(created, RunList)
    assert_type(len(created), int)
    run, job = created[0]
    print(run.id, job.load, [each.state for each, _ in created], created.runs[1:])
    try:
        pairs = await created
    except RunFailed as error:
        assert_type(error.study, str)
        assert_type(error.run_id, int)
        assert_type(error.reason, str)
        assert_type(error.run_path, str | None)
        assert_type(error.stderr, str)
        assert_type(error.hint, str | None)
        return error.exit_code
    except (ChangeConflict, OrchestratorRunning, MotokoError) as other:
        print(other.hint)
        raise
    print([(each.y, its.load) for each, its in pairs])
    selection = manager.select(["state = FINISHED", "load > 1"])
    assert_type(selection, TaskSelection)
    if selection and len(selection) > 1:
        print(selection[0], selection[:2], selection())
    for each, its in selection:
        print(each.id, its.mesh)
    found = await selection
    condition = selection.all("state = FINISHED", ["state = SEEN", "load > 1"])
    assert_type(condition, TaskSelectionEval)
    await (condition & manager.select())
    await asyncio.wait_for(selection, 3)
    results = await asyncio.gather(created, selection, condition)
    workflow.vars.count = len(found) + len(results)
    print(workflow.vars.count, workflow.get_runs(["solve.1"])["solve"][0].id)
    workflow.on_failure = "wait"
    workflow.finished = True
    return 0


def script() -> None:
    with Workflow("motoko.yaml") as short:
        assert_type(short, Workflow)
        assert_type(short.run_name, str | None)
        short.run_name = "short"
        short.execute()
        short.execute(loads=[1.0])
    short.close()
    workflow = Workflow("motoko.yaml")
    workflow.run_name = "typed"
    if workflow.is_empty():
        workflow.create(validated=True)
        workflow.start_launcher_daemons()
    print(workflow.directory, workflow.config["task_managers"], workflow.aliases)
    print(workflow.actions, workflow.params, workflow.config_path, workflow.task_managers)
    workflow.orchestrator_function = main
    workflow.execute(loads=[1.0, 2.0])
    sys_exit: int = asyncio.run(main(workflow, [1.0]))
    print(sys_exit)
"""

# Each has to be refused: else the script above would pass with everything being Any.
WRONG = {
    'Workflow(3)': "arg-type",
    'workflow.run_name = 3': "assignment",
    'workflow.on_failure = "ignore"': "assignment",
    'workflow.add_action()': "call-arg",
    'workflow.add_action("a", f=print, concurent=True)': "call-arg",
    'workflow.mult.createTask(3)': "arg-type",
    'workflow.mult.select(3)': "arg-type",
    'workflow.mult.select().some("x = 1")': "attr-defined",
    'workflow.mult.createTask(x=1).wait()': "attr-defined",
    'RunFailed("why")': "call-arg",
}  # fmt: skip


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    pytest.importorskip("mypy", reason="mypy is not installed: pip install '.[dev]'")
    place = tmp_path_factory.mktemp("typed")

    def run_mypy(text):
        path = place / "script.py"
        path.write_text(text)
        # Away from the checkout, so that its configuration is not found. What is not the user's
        # own is followed silently, as in site-packages, where an editable install is not.
        environment = dict(os.environ)
        if not PACKAGE.is_relative_to(sysconfig.get_path("purelib")):
            environment["MYPYPATH"] = str(PACKAGE.parent)
        options = ["--strict", "--config-file=", "--follow-imports=silent"]
        return subprocess.run(
            [sys.executable, "-m", "mypy", *options, "script.py"],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )

    return run_mypy


def test_is_marked_as_typed():
    assert (PACKAGE / "py.typed").exists()


def test_typed_script(check):
    done = check(SCRIPT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_wrong_uses_are_seen(check):
    lines = "\n".join(WRONG)
    head = 'from motoko import RunFailed, Workflow\n\nworkflow = Workflow("motoko.yaml")\n'
    done = check(head + lines + "\n")
    found = {}
    for line in done.stdout.splitlines():
        if line.startswith("script.py:") and "error:" in line:
            number = int(line.split(":")[1]) - len(head.splitlines())
            found.setdefault(list(WRONG)[number - 1], []).append(line)
    for use, code in WRONG.items():
        assert any(f"[{code}]" in line for line in found.get(use, [])), (use, done.stdout)
