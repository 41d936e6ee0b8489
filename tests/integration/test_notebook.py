"""The example of a notebook, executed by a real kernel."""

import shutil
import sys
import tempfile
from pathlib import Path

import nbclient
import nbformat
from jupyter_client.manager import AsyncKernelManager

EXAMPLE = Path(__file__).parents[2] / "examples" / "notebook" / "throw.ipynb"


class Kernels(AsyncKernelManager):
    """Kernels that are spoken to by Unix sockets."""

    def __init__(self, **options):
        super().__init__(transport="ipc", ip=f"{tempfile.gettempdir()}/kernel", **options)


def outputs(notebook, beginning):
    """What the cell that begins so has shown, by its kind."""
    (cell,) = (c for c in notebook.cells if c.source.startswith(beginning))
    shown = {}
    for output in cell.outputs:
        for kind, content in output.get("data", {"text": output.get("text", "")}).items():
            shown[kind] = shown.get(kind, "") + content
    return shown


def test_each_cell_of_the_example(tmp_path, monkeypatch):
    shutil.copy(EXAMPLE, tmp_path)
    programs = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(EXAMPLE, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    client = nbclient.NotebookClient(
        notebook, timeout=120, resources=resources, kernel_manager_class=Kernels
    )
    client.execute()
    table = outputs(notebook, "runs = ")["text/html"]
    assert table.count("<tr") == 2 + 9 and "distance" in table and "FINISHED" in table
    progress = "<td>throw</td><td>0</td><td>0</td><td>8</td><td>0</td>"
    assert progress in table
    selected = outputs(notebook, "far = ")["text/html"]
    assert "throw: distance &gt; 0.7, " in selected and ": 5 runs<" in selected
    assert "image/png" in outputs(notebook, "%matplotlib")
    assert float(outputs(notebook, "best = ")["text"]) > 0.9
    assert "stopped supervisor" in outputs(notebook, "workflow.close()")["text"]
