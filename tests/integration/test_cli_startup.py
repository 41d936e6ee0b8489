"""Commands that only ask start fast: what they must not import, and how errors look."""

import os
import subprocess
import sys

import pytest
from support import motoko_command, start_motoko, write_workflow

from motoko.cli import kill
from motoko.config import load
from motoko.control import client
from motoko.control.protocol import DaemonInfo, Status, SupervisorInfo

HEAVY = ("BlackDynamite", "ZODB", "ZEO", "numpy", "pandas", "BTrees", "zmq")
OTHER_COMMANDS = (
    *("create", "supervise", "kill", "info", "launcher", "orchestrator", "run", "clean"),
    *("retry", "completion", "cancel", "explain"),
)


@pytest.fixture
def wf(tmp_path):
    return write_workflow(tmp_path / "wf")


def imported_by(*arguments, cwd):
    """The names of all modules that a command has imported at its end."""
    code = (
        "import sys\n"
        "from motoko.cli.main import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "finally:\n"
        "    print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["ps"], ["ps", "--json"], ["--version"]])
def test_imports_nothing_heavy(wf, arguments):
    modules = imported_by(*arguments, cwd=wf.directory)
    assert "motoko.cli.main" in modules
    assert not modules.intersection(HEAVY)
    assert not modules.intersection(f"motoko.cli.{name}" for name in OTHER_COMMANDS)


def test_import_motoko_is_light(tmp_path):
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import motoko, sys; print(*sys.modules)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not set(done.stdout.split()).intersection(HEAVY)


TREES = """
import pickle, sys
import BTrees.OOBTree, ZODB
from zope.interface import providedBy
if "motoko.store" in sys.modules:
    assert "BTrees._OOBTree" in sys.modules and "BTrees._IOBTree" not in sys.modules
for prefix in reversed(BTrees._FAMILIES):
    module = sys.modules[f"BTrees.{prefix}BTree"]
    assert not hasattr(module, "__path__") and module is getattr(BTrees, f"{prefix}BTree")
    print(getattr(module, "family", None), [one.__name__ for one in providedBy(module)])
    print(sorted(name for name in dir(module) if not name.startswith("__")), module.__all__)
    exec(f"from BTrees.{prefix}BTree import *")
    tree = BTree()
    assert pickle.loads(pickle.dumps(tree)).__class__ is BTree is getattr(module, f"{prefix}BTree")
    print(pickle.dumps(tree), BTree.max_leaf_size, BTree.__mro__, module.TreeSetPy.__module__)
print(list(BTrees.family64.IO.BTree({1: 2}).items()), BTrees.family32.II.BTree.__module__)
assert not hasattr(BTrees.IFBTree, "absent")
"""


def test_trees_that_are_made_when_they_are_used(tmp_path):
    """They are what BTrees makes of them by itself."""
    alone, here = (
        subprocess.run(
            [sys.executable, "-P", "-c", first + TREES],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        for first in ("", "import motoko.store")
    )
    assert (here.returncode, here.stderr) == (0, "")
    assert here.stdout == alone.stdout != ""


def test_help_lists_all_commands(tmp_path):
    for option in ("--help", "-h"):
        done = start_motoko(option, cwd=tmp_path)
        assert done.returncode == 0
        assert all(f"\n  {name} " in done.stdout for name in (*OTHER_COMMANDS, "ps"))


def test_version(tmp_path):
    done = start_motoko("--version", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("motoko ")


def test_unknown_command(tmp_path):
    done = start_motoko("launch", cwd=tmp_path)
    assert done.returncode == 2 and "launch" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["ps", "supervise", "kill"])
def test_no_workflow(tmp_path, command):
    done = start_motoko(command, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("motoko: error: ") and "\nhint: " in done.stderr
    assert "Traceback" not in done.stderr


def test_verbose_shows_the_traceback(tmp_path):
    done = start_motoko("--verbose", "ps", cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" in done.stderr and "motoko: error: " in done.stderr


def test_closed_output_is_no_error(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    command = motoko_command("--help")
    done = subprocess.run(
        command, cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_ps_without_supervisor(wf):
    done = start_motoko("ps", "--json", cwd=wf.directory)
    assert done.returncode == 3 and '"pid": null' in done.stdout
    assert not (wf.directory / ".wf").exists()  # it changes nothing


@pytest.mark.parametrize(
    ("counts", "question"),
    [([0, 0], None), ([1, 0], "1 run is running"), ([2, 3], "5 runs are running")],
)
def test_kill_asks_when_runs_are_running(wf, monkeypatch, counts, question):
    asked = []
    daemons = [
        DaemonInfo(f"launcher:s{i}", "launcher", 1, "ready", 1.0, 0, None, "", "", counts)
        for i, counts in enumerate([*({"running": number} for number in counts), {}])
    ]
    status = Status("w", SupervisorInfo(1, "h", "ready", 1.0), daemons)
    monkeypatch.setattr(client, "supervisor_status", lambda *_: status)
    monkeypatch.setattr(kill, "ask", asked.append)
    kill._confirm(load(wf.path))
    assert [question] == [text.partition(" and ")[0] for text in asked] or (
        question is None and not asked
    )
