"""Below many runs, `motoko upgrade` replaces the version that has begun them by this one.

That version is the last commit before the change that is tested, and the last release. Where the
history has not got them (a shallow clone, an archive), it is an earlier commit, if that is there,
or all of this is skipped.
"""

import os
from pathlib import Path

import pytest
from former_versions import PINNED, Both, NoVersion, before_the_change, last_release, sources
from runs import WAITING, runs_of, started, states
from support import kill9, processes_in, wait_until

from motoko.config import load
from motoko.control.daemon_records import supervisor_identity

RUNS = int(os.environ.get("MOTOKO_UPGRADED_RUNS", "8"))
STUDIES = ("cold", "warm")
# It talks to the server, and leaves a line outside of its directory for each execution.
DO_IT = """\
import os
from pathlib import Path
import BlackDynamite as BD

run, job = BD.getRunFromScript()
with open("../../started", "a") as file:
    file.write(f"{run.id}\\n")
run["parent"] = Path(f"/proc/{os.getppid()}/cmdline").read_text()
run.start()
run["y"] = job.x * 2
run.finish()
"""
# Of a hundred, twenty are cold: a Python that starts anew costs ten times as much.
ORCHESTRATOR = f"""\
async def main(workflow, **params):
    numbers = [*range({RUNS})]
    workflow.cold.createTask(x=numbers[::5])
    workflow.warm.createTask(x=[number for number in numbers if number % 5])
    workflow.finished = True
"""


def before(place):
    """The version before the change, as a directory for PYTHONPATH."""
    for version in (before_the_change, lambda: PINNED):
        try:
            return sources(version(), place)
        except NoVersion as error:
            why = error
    raise why


def released(place):
    """The last release."""
    return sources(last_release(), place)


@pytest.fixture(params=[before, released])
def both(request, workflow, tmp_path_factory):
    """Two studies, made by the earlier version; one has warm runs."""
    try:
        place = request.param(tmp_path_factory.mktemp("earlier"))
    except NoVersion as error:
        pytest.skip(str(error))
    flow = workflow(studies=STUDIES, created=False)
    flow.path.write_text(
        "task_managers: {cold: , warm: {python: warm}}\norchestrator: orchestrator.main\n"
    )
    for study in STUDIES:
        (flow.directory / study / "doIt.py").write_text(DO_IT)
    both = Both(flow, place)
    both.old("create", ".")
    return both


def all_started(flow):
    return {study: started(flow, study) for study in STUDIES}


def test_each_is_executed_once(both):
    """Supervisor and daemons are replaced one by one; each run is executed once, and succeeds."""
    flow = both.flow
    both.old("supervise", "--detach", "--slots", "2")
    supervisor, pids = flow.ps()["supervisor"]["pid"], flow.pids()
    both.write_orchestrator(ORCHESTRATOR)
    both.old("orchestrator", "start", "--run_name", "many")
    numbers = {study: sorted(states(flow, study)) for study in STUDIES}
    assert sum(map(len, numbers.values())) == RUNS
    # So the one has executed many of them before, and the other has many left.
    wait_until(
        lambda: sum(map(len, all_started(flow).values())) >= RUNS // 4, "they are executed", 120
    )
    # Killed as soon as there is another supervisor, and called again.
    dying = flow.begin("upgrade", "--all", "--wait", "5m")
    config = load(flow.path)
    wait_until(
        lambda: (who := supervisor_identity(config)) is not None and who.pid != supervisor,
        "the supervisor is replaced",
    )
    kill9(dying.pid)
    dying.wait()
    output = both.new("upgrade", "--all", "--wait", "5m", timeout=400)
    assert flow.ps()["supervisor"]["pid"] != supervisor, output
    assert not set(flow.pids().values()) & set(pids.values()), output
    assert " is as it was" not in output
    for study in STUDIES:
        wait_until(
            lambda study=study: set(states(flow, study).values()) == {"FINISHED"},
            "all have finished",
            300,
        )
        assert sorted(started(flow, study)) == numbers[study]
        runs = runs_of(flow, study).values()
        assert {entries["attempt"] for entries in runs} == {1}
        is_warm = any("warm_template" in entries["parent"] for entries in runs)
        # The first ones start cold, as long as the template loads.
        assert is_warm == (study == "warm") or RUNS < 100
        command = Path(f"/proc/{flow.pids()[f'launcher:{study}']}/cmdline").read_bytes()
        assert b"--slots\x002" in command, "its options are lost"
    assert both.new("upgrade") == "everything is of the installed version\n"


def test_a_long_run_keeps_its_server_and_a_later_layout_is_refused(both):
    flow = both.flow
    both.old("supervise", "--detach", "--slots", "1")
    (flow.directory / "cold" / "launch.sh").write_text(WAITING + "python doIt.py\n")
    both.write_orchestrator(
        "async def main(workflow, **params):\n"
        "    workflow.cold.createTask(x=1.0)\n"
        "    workflow.finished = True\n"
    )
    both.old("orchestrator", "start", "--run_name", "long")
    wait_until(lambda: started(flow, "cold"), "it waits")
    pids = flow.pids()
    output = both.new("upgrade", "--all", "--wait", "1s")
    assert "zeo:cold is as it was: runs of cold are being executed\n" in output
    same = {name for name, pid in flow.pids().items() if pids[name] == pid}
    assert same == {"zeo:cold"}, output
    both.new("kill", "--now")
    assert not list(processes_in(flow.directory))

    for place in (".wf", "cold/.bd"):
        (flow.directory / place / "format").write_text("2\n")
        for command in ("ps", "supervise", "kill", "info"):
            refused = flow.motoko(command)
            assert refused.returncode == 2 and "[newer-workflow]" in refused.stderr, command
        (flow.directory / place / "format").write_text("1\n")
