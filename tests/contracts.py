"""What user workflows rely on, in real workflows: what the neighbours of this file leave out.

No launcher runs in most of these tests: another thread, with a Workflow of its own, plays the runs.
"""

import asyncio
import threading

import transaction
from support import write_workflow

from motoko import Workflow

DEADLINE_S = 40


def write(directory):
    flow = write_workflow(directory, ("mult", "add"))
    with open(flow.path, "a") as file:
        file.write("aliases:\n  product: mult\n")
    (directory / "mult" / "bd.yaml").write_text(
        "study: mult\njob:\n  x: float\n  y: float\n  z: float\njob_space:\n  y: 0.0\n  z: 0.0\n"
    )
    return flow


def elsewhere(wf, do):
    """Call ``do`` with another Workflow object, in a thread of its own; returns its result."""
    results = []

    def work():
        workflow = Workflow(wf.config_path)
        workflow.run_name = wf.run_name
        try:
            results.append(do(workflow))
            transaction.commit()
        finally:
            workflow.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    (result,) = results
    return result


def change(wf, run, **entries):
    """Somebody else changes a saved run."""
    study, number = run.base.study.name, run.entries["id"]
    elsewhere(
        wf, lambda other: getattr(other, study).base.runs.entries[number].entries.update(entries)
    )


async def finish(wf, runs):
    """Somebody else finishes runs, once these are saved."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for run, _ in runs:
        await asyncio.to_thread(change, wf, run, state="FINISHED")


def script(wf, main):
    """Run a coroutine without ``execute``, as a user's own script does."""

    async def whole():
        try:
            return await main()
        finally:
            wf.motoko_engine.detach()

    return asyncio.run(whole())


def execute(wf, main, **params):
    wf.orchestrator_function = main
    wf.execute(**params)
