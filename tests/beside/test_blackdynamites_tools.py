"""BlackDynamite's own commands, in a study that Motoko looks after."""

import subprocess
import sys

import pytest
import transaction
from digging import dig, execute, finished, write
from support import supervised, wait_until

from motoko.config import load
from motoko.store.base import open_file

POST = """\
import BlackDynamite as BD

base = BD.Base(**BD.BDParser().parseBDParameters([]))
for run, job in BD.RunSelector(base).selectRuns([]):
    print(run.id, job.x, run.kind, run.state)
"""


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    place = tmp_path_factory.mktemp("tools")
    yield from supervised(place, write(place / "wf"))


def test_jobs_and_runs_that_its_own_commands_create(flow):
    """They are executed, selected, found again by createTask, and seen by its tools."""
    assert "Inserted 3 new jobs" in dig(flow, "jobs", "create")
    dig(flow, "runs", "create", "--run_name", "dug")
    finished(flow, 3)
    run = flow.directory / "example" / "BD-bd_study-runs" / "run-3"
    wait_until((run / ".motoko" / "exit-1.json").exists, "ours has executed it")
    code = (
        "import motoko\n"
        "workflow = motoko.Workflow('motoko.yaml')\n"
        "workflow.run_name = 'dug'\n"
        "study = workflow.example\n"
        "assert len(study.select('x < 3')) == 2\n"
        "runs = study.createTask(\n"
        "    x=[1.0, 5.0], label='a', run_params={'kind': 'fine', 'machine_name': MACHINE})\n"
        "assert [(run.id, job.id) for run, job in runs] == [(1, 1), (4, 4)], runs\n"
    )
    machine = "import socket\nMACHINE = socket.gethostname()\n"
    done = subprocess.run(
        [sys.executable, "-c", machine + code],
        cwd=flow.directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    finished(flow, 4)
    shown = dig(flow, "runs", "info")
    assert shown.count("FINISHED") == 4 and shown.count("dug") == 4
    done = execute(flow, sys.executable, "-c", POST)
    assert done.returncode == 0 and "1 1.0 fine FINISHED" in done.stdout, done.stdout + done.stderr
    assert "Inserted 0 new jobs" in dig(flow, "jobs", "create")
    for command in (
        ["clean", "-bd", "example", "--constraints", "x = 2"],
        ["explain", "example.1"],
    ):
        done = flow.motoko(*command)
        assert done.returncode == 0, done.stderr
    finished(flow, 4)


def test_a_database_that_has_motoko_s_earlier_name_goes_on(tmp_path):
    """BlackDynamite takes ``bd_study`` for the name of a schema; Motoko put its user before it."""
    flow = write(tmp_path / "wf")
    study = load(flow.path).studies["example"]
    flow.create()
    base = open_file(study)
    schemas = base.root.schemas.entries
    schemas["root_bd_study"] = schemas.pop("bd_study")

    transaction.commit()
    base.close()
    earlier = study.directory / "BD-example-runs"
    earlier.mkdir()
    flow.supervise()
    try:
        assert "bd_study" in flow.log("zeo:example")
        dig(flow, "jobs", "create")
        dig(flow, "runs", "create", "--run_name", "dug")
        finished(flow, 3)
        assert (earlier / "run-1").is_dir()
    finally:
        assert flow.motoko("kill", "--now").returncode == 0
