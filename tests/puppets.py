"""Orchestrators on a real supervised workflow: the rows of CONTRACT.md.

No launcher runs in most of these tests: a second process, the puppet, plays the runs.
"""

import asyncio
import json
import subprocess
import sys
import threading

from support import Flow

DEADLINE_S = 25


PUPPET = """
import json, sys, time, traceback
from motoko.store.session import session
from motoko.workflow import Workflow

workflow = Workflow(sys.argv[1])
for line in sys.stdin:
    study, number, changes = json.loads(line)
    base = getattr(workflow, study).base
    session().refresh(base)
    deadline = time.monotonic() + 5
    while number not in base.runs.entries and time.monotonic() < deadline:
        time.sleep(0.005)  # its creator has not saved it yet
        session().refresh(base)
    try:
        for change in changes:
            base.runs.entries[number].entries.update(change)
            session().commit()
    except Exception:
        traceback.print_exc()
        print("failed", flush=True)
    else:
        print("done", flush=True)
workflow.close()
"""


BD_YAML = {
    "mult": "study: mult\njob:\n  x: float\n  y: float\njob_space:\n  y: 0.0\n",
    "rich": """\
study: rich
job:
  x: float
  xs: list
  name: str
  Big: int
  opts: dict
job_space:
  opts: {p: 1, q: 2}
  xs: [1, 2]
  name: [a, b]
  big: 1
run:
  depth: int
run_params:
  depth: 1
""",
}


def write(directory):
    """A workflow of two studies whose runs nobody has to run."""
    directory.mkdir(parents=True)
    (directory / "motoko.yaml").write_text(
        "task_managers:\n  mult:\n  rich:\n"
        "aliases:\n  product: mult\n  other: product\n"
        "orchestrator: orchestrator.main\n"
    )
    (directory / "orchestrator.py").write_text("async def main(workflow, **params): ...\n")
    for study, text in BD_YAML.items():
        (directory / study).mkdir()
        (directory / study / "bd.yaml").write_text(text)
        (directory / study / "launch.sh").write_text("python doIt.py\n")
        (directory / study / "doIt.py").write_text("")
    return Flow(directory, tuple(BD_YAML))


class Puppet:
    """Another process, which changes runs and commits each change."""

    def __init__(self, path):
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", PUPPET, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()

    def __call__(self, study, number, *changes):
        """Commit one change after the other; a string is a state."""
        wanted = [{"state": c} if isinstance(c, str) else c for c in changes]
        with self._lock:
            self._process.stdin.write(json.dumps([study, number, wanted]) + "\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline() == "done\n"

    async def later(self, study, number, *changes):
        """The same, beside the loop."""
        await asyncio.to_thread(self, study, number, *changes)

    def close(self):
        self._process.stdin.close()
        assert self._process.wait(20) == 0
