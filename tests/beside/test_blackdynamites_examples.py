"""BlackDynamite's example and massive example, executed by Motoko beside its own commands.

The commands are those of its own tests, in their order, without those that start or stop servers:
Motoko does that. While one of them launches runs itself, Motoko's launcher is stopped, since
BlackDynamite executes what it has selected, whoever has executed that meanwhile.

All of the massive example: ``make test-beside MASSIVE=10``.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest
from digging import finished
from public_motoko import BLACKDYNAMITE, public_source
from public_workflow import Side
from support import Flow

# How many values each of the massive example's four parameters takes: it has 10.
MASSIVE = int(os.environ.get("MOTOKO_MASSIVE", "1"))
LAUNCHES = re.compile(r"\b(runs launch|full-update)\b")
OF_SERVERS = re.compile(r"^rm -rf|\bserver\b|\binit\b")
MOTOKO_YAML = "task_managers:\n  {name}:\norchestrator: orchestrator.main\n"


def wait(count):
    """How long so many runs may take, on a loaded machine (s)."""
    return 120.0 + 5.0 * count


def commands(source, test):
    """The commands of one of its tests."""
    text = (source / "tests" / test).read_text()
    body = re.search(r"^def _*test_zeo\(\):\n((?:    .*\n)+)", text, re.MULTILINE)[1]
    found = re.findall(r'_run\("(.*)"\)', body)
    return [command for command in found if not OF_SERVERS.search(command)]


@pytest.fixture
def example(nothing_left):
    """Make a supervised workflow of one of the examples; its commands wait until it is executed."""
    source = public_source("blackdynamite", BLACKDYNAMITE)
    directory = Path(tempfile.mkdtemp(prefix="mx-", dir="/tmp"))
    side = Side.ours(directory)

    def make(folder, test, edit=lambda text: text):
        study = directory / Path(folder).name
        shutil.copytree(source / folder, study)
        description = study / "bd.yaml"
        description.write_text(edit(description.read_text()))
        (directory / "motoko.yaml").write_text(MOTOKO_YAML.format(name=study.name))
        (directory / "orchestrator.py").write_text(
            "async def main(workflow, **params):\n    pass\n"
        )
        side.run("motoko", "create")
        side.run("motoko", "supervise", "--detach")
        return Flow(directory, (study.name,)), commands(source, test)

    yield side, make
    side.run("motoko", "kill", "--now", code=None)
    side.remove()


def execute(side, flow, sequence, count):
    """Execute the commands, each as its tests do; returns what they print, by command."""
    printed = {}
    (study,) = flow.studies
    for command in sequence:
        launches = LAUNCHES.search(command)
        if launches:
            finished(flow, count, wait(count))
            side.run("motoko", "stop", f"launcher:{study}")
        text = side.run("bash", "-c", _feasible(command), study=study, timeout=wait(count))
        printed[command] = text
        assert "Traceback" not in printed[command], (command, printed[command])
        if launches:
            side.run("motoko", "start", f"launcher:{study}")
    return printed


def _feasible(command):
    """The command, as it can be executed with any number of runs and without a terminal."""
    if "full-update" in command:  # it asks whether it may make a hundred jobs or more
        return f"{{ {command}; }} < <(yes)"
    if "runs plot --quantity" in command:  # it saves the plot after each run, with all lines so far
        return f'{command} --constraints "runs.id < 100"'
    return command


def executed_once(flow, count):
    """Both the runs that Motoko executes, and those that `full-update` makes and launches itself.

    A second execution would add its steps to the first one's.
    """
    finished(flow, count, wait(count))
    tables = list(flow.directory.glob("*/BD-bd_study-runs/*/ekin.csv"))
    assert len(tables) == count
    assert {len(table.read_text().splitlines()) for table in tables} == {11}


def only(printed, words):
    (text,) = (text for command, text in printed.items() if words in command)
    return text


def test_its_example(example):
    side, make = example
    flow, sequence = make("example", "zeo_test.py")
    assert len(sequence) >= 12
    printed = execute(side, flow, sequence, 4)
    # Its post_treatment.py reads the run's fourth file.
    files = only(printed, "runs exec")
    assert "launch.sh" in files and "exit.json" not in files and "attempt" not in files
    assert only(printed, "post_treatment").count("here is the job") >= 4
    assert (flow.directory / "example" / "tmp.pdf").stat().st_size > 1000
    executed_once(flow, 8)


def test_its_massive_example(example):
    side, make = example
    flow, sequence = make(
        "tests/massive_example",
        "speed_test.py",
        lambda text: text.replace("range(10)", f"range({MASSIVE})"),
    )
    execute(side, flow, sequence, MASSIVE**4)
    executed_once(flow, 2 * MASSIVE**4)
