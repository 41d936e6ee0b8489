"""The user's orchestrator file is executed once, whoever wants it."""

import dataclasses
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import write_workflow

from motoko.api.orchestrator_file import MODULE_NAME, load_function, load_module
from motoko.config import load
from motoko.errors import ConfigError

SLOW = """\
import time
from pathlib import Path

with open("times", "a") as file:
    file.write("x")
time.sleep(0.05)


async def main(workflow, **params): ...
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    flow = write_workflow(tmp_path / "wf")
    (flow.directory / "orchestrator.py").write_text(SLOW)
    monkeypatch.chdir(flow.directory)
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.delitem(sys.modules, MODULE_NAME, raising=False)
    return load(flow.path)


def test_threads_load_it_once(config):
    with ThreadPoolExecutor(8) as pool:
        functions = set(pool.map(load_function, [config] * 8))
    assert functions == {load_module(config).main}
    assert Path("times").read_text() == "x"


@pytest.mark.parametrize(
    ("function", "hint"),
    [("start", "define `async def start(workflow, **params)`"), ("py", "write orchestrator.main")],
)
def test_it_has_no_such_function(config, function, hint):
    meant = dataclasses.replace(config, orchestrator=("orchestrator", function))
    with pytest.raises(ConfigError, match=f"has no function '{function}'") as raised:
        load_function(meant)
    assert hint in raised.value.hint
