"""Notebooks, executed by a real kernel: the example, and the one that is made of the tutorial."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbclient
import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from page_blocks import ROOT
from page_session import Session
from shown_output import differs

EXAMPLE = ROOT / "examples" / "notebook" / "throw.ipynb"


class Kernels(AsyncKernelManager):
    """Kernels that are spoken to by Unix sockets."""

    def __init__(self, **options):
        super().__init__(transport="ipc", ip=f"{tempfile.gettempdir()}/kernel", **options)


def outputs(cell):
    """What a cell has shown, by its kind."""
    shown = {}
    for output in cell.outputs:
        for kind, content in output.get("data", {"text": output.get("text", "")}).items():
            shown[kind] = shown.get(kind, "") + content
    return shown


def beginning(notebook, text):
    """What the cell that begins so has shown."""
    (cell,) = (c for c in notebook.cells if c.source.startswith(text))
    return outputs(cell)


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """Execute a notebook in a directory."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))

    def done(path, directory):
        notebook = nbformat.read(path, as_version=4)
        resources = {"metadata": {"path": str(directory)}}
        nbclient.NotebookClient(
            notebook, timeout=120, resources=resources, kernel_manager_class=Kernels
        ).execute()
        return notebook

    return done


def test_each_cell_of_the_example(execute, tmp_path, monkeypatch):
    shutil.copy(EXAMPLE, tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    notebook = execute(EXAMPLE, tmp_path)
    table = beginning(notebook, "runs = ")["text/html"]
    assert table.count("<tr") == 2 + 9 and "distance" in table and "FINISHED" in table
    progress = "<td>throw</td><td>0</td><td>0</td><td>8</td><td>0</td>"
    assert progress in table
    selected = beginning(notebook, "far = ")["text/html"]
    assert "throw: distance &gt; 0.7, " in selected and ": 5 runs<" in selected
    assert "image/png" in beginning(notebook, "%matplotlib")
    assert float(beginning(notebook, "best = ")["text"]) > 0.9
    assert "stopped supervisor" in beginning(notebook, "workflow.close()")["text"]


def test_the_tutorial(execute, tmp_path, monkeypatch):
    """Its cells show what the page shows, and tables."""
    made = tmp_path / "tutorial.ipynb"
    script = [sys.executable, ROOT / "docs" / "page_notebooks.py", ROOT / "docs" / "tutorial.md"]
    subprocess.run([*script, made], check=True)
    session = Session(tmp_path / "home" / "me", ROOT / "examples")
    for name in ("HOME", "PATH", "PYTHONUNBUFFERED", "COLUMNS"):
        monkeypatch.setenv(name, session.environment[name])
    try:
        notebook = execute(made, session.directory)
    finally:
        session.close()
    compared = 0
    for cell in notebook.cells:
        # Of a command's two outputs, either may come first.
        for line in cell.metadata.get("shown", ()):
            printed = outputs(cell).get("text", "")
            difference = differs(["...", line, "..."], printed, str(session.home))
            assert not difference, f"{cell.source}\n{difference}"
            compared += 1
    assert compared > 40
    table = beginning(notebook, "from motoko import Workflow")["text/html"]
    assert "<td>energy</td><td>0</td><td>0</td><td>20</td><td>0</td>" in table
    assert table.count("<tr") == 3 + 6 and "-7." not in table and "FINISHED" in table
