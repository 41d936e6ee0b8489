"""How a daemon ends: with its exit code, and without taking apart what it has imported."""

import subprocess
import sys

import pytest

TAKEN_APART = """
import os
import sys

class Kept:
    def __del__(self, write=os.write):
        write(2, b"taken apart")

sys.kept = Kept()
"""


@pytest.mark.parametrize("name", ["bus", "watcher", "gate"])
def test_it_ends_at_once(tmp_path, name):
    (tmp_path / "sitecustomize.py").write_text(TAKEN_APART)

    def ended(*arguments):
        return subprocess.run(
            [sys.executable, "-P", *arguments],
            env={"PYTHONPATH": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    assert "taken apart" in ended("-c", "").stderr
    done = ended("-m", f"motoko.workers.{name}", str(tmp_path / "motoko.yaml"))
    assert done.returncode == 2 and "motoko.yaml" in done.stderr
    assert "taken apart" not in done.stderr and "Traceback" not in done.stderr
