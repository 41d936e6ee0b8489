"""A bd.yaml that was changed: what is said, and how jobs and runs follow it."""

import pytest
from support import Flow

ORCHESTRATOR = """\
async def main(workflow, **params):
    runs = {call}
    print([(run.id, dict(job.entries.items()), run.entries.get("tol")) for run, job in runs])
    workflow.finished = True
"""


@pytest.fixture
def flow(workflow) -> Flow:
    return workflow()


def declare(flow, text) -> None:
    (flow.directory / "mult" / "bd.yaml").write_text(f"study: mult\n{text}\n")


def ask(flow, call) -> tuple[list, str]:
    (flow.directory / "orchestrator.py").write_text(ORCHESTRATOR.format(call=call))
    done = flow.motoko("orchestrator", "start", "--run_name", "a")
    assert done.returncode == 0, done.stderr
    return eval(done.stdout), done.stderr


def upgraded(flow, *options) -> list[str]:
    done = flow.motoko("upgrade-study", "mult", *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def refused(flow, *options) -> str:
    done = flow.motoko("upgrade-study", "mult", *options)
    assert done.returncode == 2 and "hint: " in done.stderr, done.stderr
    return done.stderr


def test_jobs_and_runs_follow(flow):
    create = "workflow.mult.createTask(x=[1.0, 2.0])"
    ask(flow, create)
    declare(flow, "job: {temperature: int, z: str}\nrun: {tol: float}\nrun_params: {tol: 1e-3}")
    create = "workflow.mult.createTask(temperature=[1, 2], z='3')"
    # Only said, and nothing of it is done.
    assert "job parameter temperature has no default" in refused(flow)
    declare(
        flow,
        "job: {temperature: int, z: str}\nrun: {tol: float}\nrun_params: {tol: 1e-3}\n"
        "job_space: {z: 3}",
    )
    assert "'y' is no parameter" in refused(flow, "--rename", "y=z")
    assert "'x' cannot become 'w'" in refused(flow, "--rename", "x=w")
    expected = [
        "job parameter x becomes temperature: 2 jobs",
        "job parameter temperature was float and is int: 2 jobs have their values converted",
        "job parameter z = '3': 2 jobs get it",
        "run parameter tol = 0.001: 2 runs get it",
    ]
    rename = ("--rename", "X=temperature")
    assert upgraded(flow, *rename) == [*expected, "nothing was changed: --apply does it"]
    assert ask(flow, "workflow.mult.select('z = 3')")[0] == []
    assert upgraded(flow, *rename, "--apply") == expected
    assert upgraded(flow) == ["nothing to change"]
    found, told = ask(flow, create)
    assert found == [(n, {"id": n, "temperature": n, "z": "3"}, 0.001) for n in (1, 2)]
    assert "upgrade-study" not in told
    assert ask(flow, "workflow.mult.select('z = 3, temperature > 1, tol < 1')")[0] == found[1:]

    # A parameter that is no longer declared stays, until that is wanted; two jobs never become one.
    declare(flow, "job: {z: str}")
    _, told = ask(flow, "workflow.mult.createTask(z='4')")
    assert "parameter temperature is no longer declared" in told and "upgrade-study mult" in told
    assert "jobs 1 and 2 would be the same" in refused(flow, "--drop", "temperature")
    assert "2 jobs keep it" in upgraded(flow)[0]
    assert flow.motoko("kill").returncode == 0
    declare(flow, "job: {temperature: bool}")
    assert "temperature = 2 is no bool" in refused(flow, "--drop", "z")
    done = flow.motoko("supervise", "--detach")
    assert done.returncode == 0 and "temperature was int and is bool" in done.stderr
    assert flow.motoko("kill").returncode == 0
