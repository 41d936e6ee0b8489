"""The house: how files are called, how long they are, and that the documents name its parts."""

import ast
import re
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from motoko.bus.messages import Message
from motoko.config import daemon_kinds
from motoko.config.reserved_names import OF_BLACKDYNAMITE
from motoko.control.protocol import COMMANDS
from motoko.runs.entry_table import OWN

ROOT = Path(__file__).parents[2]
PRODUCT = ("motoko", "supervisor", "workers")
LINES = 400
# The module paths of motoko 0.1.4, whose names say nothing of what is in them.
OF_0_1_4 = {"motoko/workflow.py", "motoko/task_manager.py", "motoko/bd_study.py"}
FOR_EVER = 60  # longer than any test waits for something
PAUSE = re.compile(r"^(?!while True)[^\"'#]*\b(?:time|asyncio)\.sleep\((?P<seconds>[0-9.]+)\)")


def sources(*folders):
    """Python files by their path from the top level."""
    files = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): path for path in files}


def documents():
    return "\n".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))


def named(name):
    """Whether the documents have a name, in code."""
    return re.search(rf"`[^`\n]*(?<![\w-]){re.escape(name)}(?![\w-])[^`\n]*`", documents())


def test_no_name_stands_twice():
    names = Counter(
        Path(name).name
        for name in sources(*PRODUCT).keys() - OF_0_1_4
        if Path(name).stem not in ("__init__", "__main__")
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_names_say_what_a_thing_is():
    """Variables and arguments are named for what they hold, and not for how it was come by."""
    empty = {"found", "each", "told", "said"}
    names = [
        f"{file}:{node.lineno}"
        for file, path in sources(*PRODUCT).items()
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Name) and node.id in empty)
        or (isinstance(node, ast.arg) and node.arg in empty)
    ]
    assert names == []


def test_files_are_short():
    lengths = {
        name: len(path.read_text().splitlines())
        for name, path in sources(*PRODUCT, "tests").items()
    }
    assert {n: length for n, length in lengths.items() if length > LINES} == {}


def test_no_pauses():
    """Tests wait for conditions. What sleeps for ever is to be ended, or goes on in a text."""
    pauses = [
        f"{name}:{number}"
        for name, path in sources("tests").items()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (match := PAUSE.match(line)) and 0.5 <= float(match["seconds"]) < FOR_EVER
    ]
    assert pauses == []


@pytest.mark.parametrize("message", get_args(Message), ids=lambda message: message.__name__)
def test_messages_are_documented(message):
    assert named(message.__struct_config__.tag)


@pytest.mark.parametrize("entry", OWN)
def test_own_entries_are_documented(entry):
    assert named(entry)


def test_entries_have_one_meaning():
    assert not OWN.keys() & OF_BLACKDYNAMITE


@pytest.mark.parametrize("command", COMMANDS)
def test_control_requests_are_documented(command):
    assert named(command)


@pytest.mark.parametrize("kind", daemon_kinds.KINDS, ids=lambda kind: kind.name)
def test_daemon_kinds_are_documented(kind):
    worker = re.escape(kind.worker)
    assert re.search(rf"\+- {kind.name}\b.*python -m {worker}(?![\w.])", documents())


PATH = re.compile(r"`((?:motoko|supervisor|workers|tests|docs)/[\w/.-]+)`")
MAP = documents() + (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.parametrize("path", sorted(set(PATH.findall(MAP))))
def test_the_map_is_true(path):
    assert (ROOT / path).exists()
