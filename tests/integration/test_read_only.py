"""``Workflow(path, read_only=True)``: only what needs no daemon works; all else is refused."""

import asyncio

import pytest
import transaction

from motoko import MotokoError, RunList, Workflow
from motoko.control import client
from motoko.errors import ReadOnly
from motoko.store.session import session

ORCHESTRATOR = """\
async def main(workflow, **params):
    await workflow.mult.createTask(x=[1.0, 2.0])
    workflow.finished = True
"""


@pytest.fixture
def flow(workflow):
    flow = workflow()
    (flow.directory / "orchestrator.py").write_text(ORCHESTRATOR)
    flow.supervise()
    done = flow.motoko("orchestrator", "start", "--run_name", "first", "--quiet")
    assert done.returncode == 0, done.stderr
    return flow


def test_reading(flow, capsys):
    with Workflow(flow.path, read_only=True) as served:
        served.run_name = "first"
        look(served)
        assert flow.motoko("kill").returncode == 0
        with Workflow(flow.path, read_only=True) as workflow:
            workflow.run_name = "first"
            look(workflow)
            with workflow.progress():
                pass
            refuse(workflow)
            # Somebody changes the study: each selection sees it, and earlier runs can be read.
            (old, _), _ = workflow.mult.select()
            writer = Workflow(flow.path)
            writer.run_name = "first"
            writer.mult.createTask(x=3.0)
            writer.close()
            capsys.readouterr()
            assert len(workflow.mult.select()) == 3 and old.id == 1
            with pytest.raises(ReadOnly, match=r"cannot wait for RunList\(mult"):
                asyncio.run(waited(RunList([*workflow.mult.select()])))
    assert flow.motoko("kill").returncode == 0
    told = flow.motoko("table", "mult", "--format", "csv").stdout
    assert len(told.splitlines()) == 1 + 3


def look(workflow):
    """Read in all ways."""
    selection = workflow.mult.select("state = FINISHED")
    assert [job.x for _, job in selection] == [1.0, 2.0]
    assert list(selection.to_pandas(["x", "y"])["y"]) == [run.y for run, _ in selection]
    assert len(asyncio.run(waited(selection))) == 2
    assert len(asyncio.run(waited(RunList([*selection])))) == 2
    assert workflow.get_runs(["mult.1"])["mult"][0].id == 1 and not workflow.is_empty()


async def waited(what):
    return await what


def refuse(workflow):
    """Nothing is changed, created, started or waited for."""
    definition = workflow.motoko_engine.definition
    (run, _), _ = workflow.mult.select()
    for doing in (
        lambda: workflow.mult.createTask(x=1.0),
        workflow.execute,
        lambda: workflow.create(validated=True),
        workflow.start_launcher_daemons,
        lambda: setattr(workflow.vars, "x", 1),
        lambda: asyncio.run(waited(workflow.mult.select("state = NEVER"))),
    ):
        with pytest.raises(ReadOnly, match="read_only=True"):
            doing()
    run["state"] = "MINE"
    with pytest.raises(MotokoError, match="cannot be saved"):
        transaction.commit()
    session().look()
    assert run.state == "FINISHED" and not client.is_supervised(definition)
