"""kill -9 of each daemon while examples/minimal runs: it comes back, and the result is right."""

import json
import shutil
from pathlib import Path

import pytest
from support import Flow, kill9, wait_until

EXAMPLE = Path(__file__).parents[2] / "examples" / "minimal"
STUDIES = ("square", "total", "root")
DAEMONS = [
    "bus",
    "watcher",
    *(f"{kind}:{study}" for kind in ("zeo", "launcher") for study in STUDIES),
]
# Each square run says when it runs, and goes on when it is told to: so the moment of the kill is
# one at which runs are running, whatever the machine's speed.
GATE = """\
import time
from pathlib import Path

Path("started").touch()
while not Path("../../../go").exists():
    time.sleep(0.02)

"""


@pytest.fixture
def flow(workflow):
    """A supervised copy of the example whose square runs wait, once started, for a file ``go``."""
    made = workflow(created=False, studies=())  # for its teardown
    shutil.rmtree(made.directory)
    shutil.copytree(
        EXAMPLE,
        made.directory,
        ignore=shutil.ignore_patterns(".wf", ".bd", "BD-*", "result.json", "__pycache__"),
    )
    with open(made.path, "a") as file:
        file.write("\nretries: 2\n")
    script = made.directory / "square" / "doIt.py"
    text = script.read_text()
    assert text.count('run["y"] = ') == 1
    script.write_text(text.replace('run["y"] = ', GATE + 'run["y"] = '))
    done = made.motoko("create")
    assert done.returncode == 0, done.stderr
    made.supervise()
    return made


def restarted(flow: Flow, name, pid):
    """The daemon, if it is ready with another pid."""
    daemon = flow.daemons()[name]
    return daemon if daemon["state"] == "ready" and daemon["pid"] != pid else None


@pytest.mark.parametrize("name", DAEMONS)
def test_killed_while_runs_run(flow, name):
    orchestrator = flow.begin("orchestrator", "start", "--run_name", "a")
    runs = flow.directory / "square" / "BD-square-runs"
    wait_until(
        lambda: list(runs.glob("*/started")) or orchestrator.poll() is not None,
        "the first square is in START",
    )
    assert orchestrator.poll() is None, orchestrator.communicate()[0]
    before = flow.daemons()
    kill9(before[name]["pid"])
    after = wait_until(lambda: restarted(flow, name, before[name]["pid"]), f"{name} is restarted")
    assert after["restarts"] == before[name]["restarts"] + 1
    (flow.directory / "go").touch()

    output, _ = orchestrator.communicate(timeout=60)
    assert orchestrator.returncode == 0, output
    check_result(flow)
    # Nobody else was harmed, and nothing was run more often than recorded.
    for other, daemon in flow.daemons().items():
        assert daemon["state"] == "ready"
        if other != name:
            assert daemon["pid"] == before[other]["pid"], other
    if not name.startswith("zeo"):
        claims = {path.name for path in runs.glob("*/.motoko/attempt-*")}
        assert claims == {"attempt-1"} and len(list(runs.iterdir())) == 3


@pytest.mark.parametrize("name", DAEMONS)
def test_killed_just_before_the_runs_end(flow, name):
    """Killed at the moment when the runs go on: its successor comes while they end."""
    orchestrator = flow.begin("orchestrator", "start", "--run_name", "a")
    runs = flow.directory / "square" / "BD-square-runs"
    wait_until(lambda: list(runs.glob("*/started")), "the first square is in START")
    pid = flow.pids()[name]
    (flow.directory / "go").touch()
    kill9(pid)
    output, _ = orchestrator.communicate(timeout=60)
    assert orchestrator.returncode == 0, output
    check_result(flow)
    daemon = wait_until(lambda: restarted(flow, name, pid), f"{name} is restarted")
    assert daemon["restarts"] == 1


def check_result(flow):
    result = json.loads((flow.directory / "result.json").read_text())
    assert result == {"inputs": [3.0, 4.0, 12.0], "total": 169.0, "length": 13.0}
    info = json.loads(flow.motoko("info", "--json").stdout)
    found = {study["study"]: study["states"] for study in info["studies"]}
    assert found == {"square": {"FINISHED": 3}, "total": {"FORWARDED": 1}, "root": {"FINISHED": 1}}
