"""What a newcomer meets on the first day: the first failure, the first logs, the first slips."""

import json
import os

import pytest
from support import Flow, run_motoko, supervised, wait_until, write_workflow

DO_IT = """\
import BlackDynamite as BD

run, job = BD.getRunFromScript()
run.start()
print("mesh", job.mesh, flush=True)
run["y"] = 1 / (job.mesh - 2)
run.finish()
"""
MAIN = """\
async def main(workflow, **params):
    runs = {create}
    {then}
"""
CREATE = "await workflow.solve.createTask(mesh=[1], taper=0.5)"


def orchestrator(create=CREATE, then="print(len(runs))"):
    return MAIN.format(create=create, then=then)


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    place = tmp_path_factory.mktemp("day")
    flow: Flow = write_workflow(place / "wf", studies=("solve",))
    bd_yaml = flow.directory / "solve" / "bd.yaml"
    bd_yaml.write_text("study: solve\n\njob:\n  taper: float\n  mesh: int\n")
    (flow.directory / "solve" / "doIt.py").write_text(DO_IT)
    (flow.directory / "orchestrator.py").write_text(orchestrator())
    yield from supervised(place, flow)


@pytest.fixture
def orchestrate(flow):
    def run(text, name, *options, command=("run",)):
        (flow.directory / "orchestrator.py").write_text(text)
        return flow.motoko(*command, "--run_name", name, *options)

    return run


def test_a_failed_run_is_named_with_its_parameters(flow, orchestrate):
    create = "await workflow.solve.createTask(mesh=[2], taper=0.5)"
    done = orchestrate(orchestrator(create), "failing")
    assert done.returncode == 1
    # In the order of bd.yaml.
    assert "run solve.1 (taper=0.5, mesh=2) is FAILED: " in done.stderr, done.stderr
    assert f"raised by orchestrator.py, line 2, in main: runs = {create}" in done.stderr
    name = "solve.1"
    assert flow.motoko("explain", name).stdout.startswith(f"{name} (taper=0.5, mesh=2) is FAILED")
    facts = json.loads(flow.motoko("explain", name, "--json").stdout)
    assert facts["parameters"] == {"taper": 0.5, "mesh": 2}
    logged = flow.motoko("logs", "-n", "1000").stdout
    assert "run 1 (taper=0.5, mesh=2) starts, attempt 1" in logged
    assert "run 1 (taper=0.5, mesh=2) failed: " in logged
    output = flow.motoko("logs", name).stdout
    assert "mesh 2\n" in output and "ZeroDivisionError" in output and "run-1/failing.e1" in output
    unknown = flow.motoko("logs", "solve.99")
    assert unknown.returncode == 2 and "no run 99" in unknown.stderr


def test_logs_of_a_healthy_workflow_have_no_errors_and_tell_of_runs(flow, orchestrate):
    assert orchestrate(orchestrator(), "healthy").returncode == 0

    def logged():
        return flow.motoko("logs", "-n", "1000").stdout

    wait_until(lambda: "(taper=0.5, mesh=1) has ended: FINISHED" in logged(), "its end is logged")
    assert " ERROR " not in logged()


def test_any_directory_can_be_named(flow, tmp_path):
    for words in (("-C", flow.directory, "info"), ("info", "-C", flow.directory)):
        done = run_motoko(*map(str, words), cwd=tmp_path)
        assert done.returncode == 0 and "solve" in done.stdout, done.stderr
    done = run_motoko("info", "-C", str(tmp_path / "nowhere"), cwd=tmp_path)
    assert done.returncode == 2 and "nowhere" in done.stderr


SLIPS = {
    "no list": (
        orchestrator(
            "await workflow.solve.createTask(mesh=__import__('numpy').arange(3), taper=1.0)"
        ),
        ("mesh=[*values]", "orchestrator.py, line 2, in main"),
    ),
    "await forgotten": (
        orchestrator("workflow.solve.createTask(mesh=[7], taper=1.0)", "runs[0][0].y"),
        ("has no 'y': it is CREATED", 'orchestrator.py", line 3, in main'),
    ),
    "a misspelt result": (
        orchestrator(then="runs[0][0].start_tme"),
        ("has no 'start_tme'; is 'start_time' meant?",),
    ),
    "a pair": (orchestrator(then="runs[0].y"), ("hint: runs come with their jobs",)),
    "no params": ("async def main(workflow): ...\n", ("unexpected keyword argument", "**params")),
    "no async": ("def main(workflow, **params): ...\n", ("not an async function",)),
    "an exception": (
        orchestrator(then="{}['a']"),
        ("KeyError: 'a'", 'orchestrator.py", line 3, in main'),
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_shows_the_line_and_the_remedy(orchestrate, slip):
    text, expected = SLIPS[slip]
    done = orchestrate(text, "slip", command=("orchestrator", "start"))
    assert done.returncode != 0
    for part in expected:
        assert part in done.stderr, done.stderr
    assert f"{os.sep}motoko{os.sep}api" not in done.stderr and "asyncio" not in done.stderr


def test_verbose_shows_all_lines(flow, orchestrate):
    done = orchestrate(
        orchestrator(then="{}['a']"), "slip", command=("-v", "orchestrator", "start")
    )
    assert done.returncode == 1 and "motoko/api/workflow.py" in done.stderr


def test_run_takes_what_orchestrator_start_takes(flow, orchestrate):
    done = orchestrate(orchestrator(), "again", "--fresh")
    assert done.returncode == 0, done.stderr
    done = orchestrate(orchestrator(), "again", "--fresh")
    assert done.returncode == 1 and "has runs already" in done.stderr
    failing = orchestrator("await workflow.solve.createTask(mesh=[2], taper=0.25)")
    assert orchestrate(failing, "retried").returncode == 1
    do_it = flow.directory / "solve" / "doIt.py"
    do_it.write_text(DO_IT.replace("job.mesh - 2", "job.mesh"))
    try:
        done = orchestrate(failing, "retried", "--retry-failed")
        assert done.returncode == 0 and "CREATED again, attempt 2" in done.stderr, done.stderr
        assert done.stdout == "1\n"
    finally:
        do_it.write_text(DO_IT)
    for wrong in ("0", "-1", "many"):
        done = orchestrate(orchestrator(), "again", "--slots", wrong)
        assert done.returncode == 2 and "--slots" in done.stderr


def test_run_in_the_background(flow, orchestrate):
    own = "def populate_arg_parser(parser):\n    parser.add_argument('--mesh', type=int)\n\n\n"
    create = "await workflow.solve.createTask(mesh=[params['mesh']], taper=0.125)"
    done = orchestrate(
        own + orchestrator(create), "hidden", "--detach", "--slots", "1", "--mesh", "5"
    )
    assert done.returncode == 0 and "orchestrator hidden started" in done.stderr, done.stderr

    def is_done():
        selection = ("--constraints", "run_name = hidden, state = FINISHED", "--format", "json")
        table = json.loads(flow.motoko("table", "solve", *selection).stdout)
        return [row["mesh"] for row in table] == [5]

    wait_until(is_done, "its run has finished")
    assert flow.daemons()["launcher:solve"]["counts"]["slots"] == 1
