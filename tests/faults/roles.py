"""The processes of a campaign: writers, and orchestrators that await what the writers finish.

``python roles.py writer|orchestrator <directory> <number> <of how many>``. A writer ends when the
file ``stop-writer`` is there. An orchestrator awaits no more when ``stop-orchestrator`` is there,
writes ``awaited-<number>``, and ends after ``stop-catching-up``, when it has been told of
everything. At its end each writes ``<role>-<number>.json``.
"""

import asyncio
import contextlib
import json
import os
import random
import sys
from dataclasses import asdict
from pathlib import Path

import transaction

from motoko import ChangeConflict, Workflow
from motoko.errors import MotokoError, StudyUnavailable
from motoko.store.session import session

OWN = 5  # runs of each study that a writer writes to at full speed
STATES = ["START", "FINISHED", "FORWARDED"]
CREATED_LOOK = 20  # turns between two looks for runs that somebody waits for
END_S = 60.0


def write(workflow, number, count):
    """Commit as fast as possible, and finish the runs that orchestrators create."""
    rng = random.Random(number)
    workflow.run_name = f"writer-{number}"
    managers = list(workflow.task_managers.values())
    own = [pair[0] for m in managers for pair in m.createTask(x=[float(i) for i in range(OWN)])]
    commits = turn = 0
    while not stopped(workflow, "writer"):
        turn += 1
        run = rng.choice(own)
        state = STATES[(STATES.index(run.state) + 1) % 3] if run.state in STATES else STATES[0]
        with contextlib.suppress(StudyUnavailable):
            run["state"] = state
            transaction.commit()
            commits += 1
        if turn % CREATED_LOOK == 0:
            finish_created(workflow, number, count)
    return {"commits": commits}


def finish_created(workflow, number, count):
    name, workflow.run_name = workflow.run_name, None
    try:
        for manager in workflow.task_managers.values():
            for run, _ in manager.select("state = CREATED and run_name ~ ^orchestrator"):
                if run.id % count == number:
                    for state in STATES:  # awaits for FINISHED are satisfied all the same
                        run["state"] = state
                        transaction.commit()
    except (StudyUnavailable, ChangeConflict):
        transaction.abort()
    finally:
        workflow.run_name = name


async def orchestrate(workflow, number):
    """Create and await runs, one after the other, and note all transitions in their order."""
    rng = random.Random(number)
    workflow.run_name = f"orchestrator-{number}"
    told = []
    workflow.motoko_engine.listeners.append(
        lambda event: told.append((event.study, event.tid, event.run_id, event.old, event.new))
    )
    managers = list(workflow.task_managers.values())
    awaits = 0
    while not stopped(workflow, "orchestrator"):
        created = rng.choice(managers).createTask(x=float(1000 + awaits))
        try:
            async with asyncio.timeout(END_S):
                await created
        except TimeoutError as error:
            raise TimeoutError(last_observation(workflow, created, told)) from error
        awaits += 1
    Path(f"awaited-{number}").touch()
    while not stopped(workflow, "catching-up"):  # nothing is written any more then
        await asyncio.sleep(0.1)
    dispatcher = workflow.motoko_engine.dispatcher
    for manager in managers:
        manager.base.db.storage.ping()
    last = [(dispatcher._streams[m.study], m.base.tid.hex()) for m in managers]
    try:
        async with asyncio.timeout(END_S):  # what was lost is still being replayed
            while any(stream.wanted or stream.tid < tid for stream, tid in last):
                await asyncio.sleep(0.1)
    except TimeoutError as error:
        seen = [(s.study, s.wanted, s.tid, tid) for s, tid in last]
        raise TimeoutError(f"not told of everything: {seen}") from error
    return {"awaits": awaits, "counters": asdict(dispatcher.counters), "told": told}


def last_observation(workflow, created, told):
    """What is known of a run whose await did not end."""
    ((run, _),) = created
    study, seen = run.base.task_manager.study, run.state
    stream = workflow.motoko_engine.dispatcher._streams[study]
    heard = [each for each in told if each[0] == study and each[2] == run.id]
    session().refresh(run.base)
    return (
        f"{created!r} was {seen!r}, is {run.state!r} at {run.base.tid.hex()}; told of {heard};"
        f" the bus is at {stream.tid}, wanted: {stream.wanted}"
    )


def stopped(workflow, role):
    return Path(workflow.directory, f"stop-{role}").exists()


def main():
    role, directory, number, count = sys.argv[1:]
    os.chdir(directory)
    workflow = Workflow("motoko.yaml")
    try:
        if role == "writer":
            result = write(workflow, int(number), int(count))
        else:
            result = asyncio.run(orchestrate(workflow, int(number)))
    except (MotokoError, TimeoutError) as error:
        result = {"error": repr(error)}
    Path(f"{role}-{number}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
