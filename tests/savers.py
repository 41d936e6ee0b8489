"""When pending changes are saved, and what becomes of conflicts: CONTRACT.md, "Saving"."""

import asyncio
import json
import subprocess
import sys

from support import Flow

DEADLINE_S = 40


MANY = 40  # entries of a run: more than 30 are kept in several records


# Another process: evaluates what it is sent, with a fresh view, and commits.
OTHER = """
import json, sys, traceback
import transaction
from motoko.store.session import session
from motoko.workflow import Workflow

workflow = Workflow(sys.argv[1])

def run(number):
    return workflow.mult.base.runs.entries[number]

for line in sys.stdin:
    try:
        session().refresh(workflow.mult.base)
        mode, code = json.loads(line)
        if mode == "exec":
            exec(code)
            transaction.commit()
            found = None
        else:
            found = eval(code)
        answer = json.dumps(["done", found])
    except Exception:
        answer = json.dumps(["failed", traceback.format_exc()])
    print(answer, flush=True)
workflow.close()
"""


def write(directory):
    directory.mkdir(parents=True)
    (directory / "motoko.yaml").write_text(
        "task_managers:\n  mult:\norchestrator: orchestrator.main\n"
    )
    (directory / "orchestrator.py").write_text("async def main(workflow, **params): ...\n")
    (directory / "mult").mkdir()
    (directory / "mult" / "bd.yaml").write_text("study: mult\njob:\n  x: float\n")
    (directory / "mult" / "launch.sh").write_text("python doIt.py\n")
    (directory / "mult" / "doIt.py").write_text("")
    return Flow(directory, ("mult",))


class Other:
    """Another process, which reads and changes runs and commits each change."""

    def __init__(self, path):
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", OTHER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _send(self, mode, code):
        self._process.stdin.write(json.dumps([mode, code]) + "\n")
        self._process.stdin.flush()
        state, found = json.loads(self._process.stdout.readline())
        assert state == "done", found
        return found

    def do(self, code):
        """Execute statements, with ``run(number)``, and commit."""
        self._send("exec", code)

    def see(self, number, key):
        """What it reads, in a fresh view, in a run's entry."""
        return self._send("eval", f"run({number}).entries.get({key!r})")

    def ids(self, run_name):
        return self._send(
            "eval",
            f"[r.id for r in workflow.mult.base.runs.entries.values() "
            f"if r.run_name == {run_name!r}]",
        )

    def close(self):
        self._process.stdin.close()
        assert self._process.wait(20) == 0


async def turns(count=2):
    for _ in range(count):
        await asyncio.sleep(0)
