"""CONTRACT.md, "Semantics, settled": firing, failures, names, and who may execute.

In most of these tests no launcher runs: a second process, the puppet, plays the runs.
"""

import asyncio
import json
import subprocess
import sys
import threading

import transaction
from support import Flow

from motoko import Workflow

DEADLINE_S = 40


STUDIES = ("mult", "other", "empty")


PUPPET = """
import json, sys, traceback
import transaction
from motoko.store.session import session
from motoko.workflow import Workflow

workflow = Workflow(sys.argv[1])
for line in sys.stdin:
    try:
        study, number, changes = json.loads(line)
        base = getattr(workflow, study).base
        session().refresh(base)
        for change in changes:
            base.runs.entries[number].entries.update(change)
            transaction.commit()
        answer = "done"
    except Exception:
        answer = json.dumps(traceback.format_exc())
    print(answer, flush=True)
workflow.close()
"""


ORCHESTRATOR = """\
import asyncio


def populate_arg_parser(parser):
    parser.add_argument("--x", type=float)


async def main(workflow, x, **params):
    print("waiting", flush=True)
    ((run, job),) = await workflow.mult.createTask(x=x)
    print("got", job.x, flush=True)
"""


def write(directory, studies=STUDIES, do_it=""):
    directory.mkdir(parents=True)
    managers = "".join(f"  {study}:\n" for study in studies)
    (directory / "motoko.yaml").write_text(
        f"task_managers:\n{managers}orchestrator: orchestrator.main\n"
    )
    (directory / "orchestrator.py").write_text(ORCHESTRATOR)
    for study in studies:
        (directory / study).mkdir()
        (directory / study / "bd.yaml").write_text(f"study: {study}\njob:\n  x: float\n")
        (directory / study / "launch.sh").write_text("python doIt.py\n")
        (directory / study / "doIt.py").write_text(do_it)
    return Flow(directory, studies)


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

    def __call__(self, run, *changes):
        """Commit one change of a run after the other; a string is a state."""
        wanted = [{"state": c} if isinstance(c, str) else c for c in changes]
        transaction.commit()  # it is to be there
        self._tell([run.base.study.name, run.entries["id"], wanted])

    def _tell(self, message):
        with self._lock:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        assert answer == "done\n", answer

    def tell(self, study, number, *changes):
        self._tell([study, number, [{"state": c} for c in changes]])

    def close(self):
        self._process.stdin.close()
        assert self._process.wait(20) == 0


def opened(flow, request):
    workflow = Workflow(flow.path)
    workflow.run_name = request.node.name
    yield workflow
    transaction.abort()
    workflow.close()


class Ticks:
    """An action that fires at every tick, and a condition for tests to wait for."""

    def __init__(self, workflow):
        self.times = []
        self._changed = asyncio.Event()
        workflow.add_action("tick", task="empty", event=lambda: True, f=self._tick)

    def _tick(self, **params):
        self.times.append(asyncio.get_running_loop().time())
        self._changed.set()

    async def wait(self, count):
        """Until it has fired so many times more."""
        wanted = len(self.times) + count
        while len(self.times) < wanted:
            self._changed.clear()
            await self._changed.wait()


async def until(condition):
    """A named condition inside a loop."""
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.005)


async def awaited(awaitable):
    return await awaitable


async def count(wf):
    return list(wf.mult.select())
