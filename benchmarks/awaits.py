"""What many concurrent awaits of one orchestrator cost while nothing happens, and per transition.

A script creates 1,000 runs that nobody starts, and awaits each in a task of its own. Memory is
how much the process has grown since before the awaits; CPU is what it takes while they wait. Then
half of the awaits time out, the others are cancelled: no waiter may be left.

Another script awaits 10, 1,000 and 10,000 different selections in a study of very many runs (see
big_study.py). Another process changes states of runs that nobody awaits, and then of some that are
awaited. The benchmark measures the CPU time of the script's process for each of these, for
beginning and ending an await, and while nothing happens; and the process's memory.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from big_study import cached
from million import BigStudy
from scratch import PROGRAMS, Scratch, end_cleanly_when_terminated, machine, report

COUNT = 1000
MOST_MB, MOST_CPU_S_A_MINUTE = 50.0, 0.3
GROWTH = 2.0  # growth of a transition's CPU time, from the fewest awaits to the most

RUN_LISTS = """\
import asyncio
import json
import sys
import time

import psutil

from motoko import RunList, Workflow

count, seconds = int(sys.argv[1]), float(sys.argv[2])


async def main():
    workflow = Workflow(".")
    workflow.run_name = "awaits"
    pairs = list(workflow.step.createTask(x=list(range(count))))
    dispatcher = await workflow.motoko_engine.attached()
    await asyncio.sleep(2)
    process = psutil.Process()
    before = process.memory_info().rss

    async def one(number, pair):
        runs = RunList([pair])
        await (asyncio.wait_for(runs, 4 + seconds) if number % 2 else runs)

    tasks = [asyncio.create_task(one(*each)) for each in enumerate(pairs)]
    while len(dispatcher.awaits) < count:
        await asyncio.sleep(0.1)
    await asyncio.sleep(2)
    grown = process.memory_info().rss - before
    cpu, reads = time.process_time(), dispatcher.counters.wakeups_by_safety_read
    await asyncio.sleep(seconds)
    cpu = time.process_time() - cpu
    for task in tasks[::2]:
        task.cancel()
    await asyncio.wait(tasks)
    print(json.dumps({"bytes": grown, "cpu_s": cpu, "left": len(dispatcher.waiters),
                      "reads": dispatcher.counters.wakeups_by_safety_read - reads}))
    workflow.close()


asyncio.run(main())
"""

SELECTIONS = """\
import asyncio
import json
import sys
import time

import psutil

from motoko import Workflow

counts, samples, seconds = json.loads(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
form = sys.argv[4]


def constraints(number, job):
    '''One of several kinds, for the run of that number and no other.'''
    kinds = [
        [f"x = {job['x']}", "state = FORWARDED"],
        f"state = FORWARDED and y = {job['y']}, load = {job['load']}, mesh = {job['mesh']}",
        [f"runs.id = {number}", "state = FORWARDED", "run_name ~ ^sw"],
        f"state = FORWARDED, energy = {job['energy']}, jobs.id = {job['id']}",
        f"x > {job['x'] - 0.5} and x < {job['x'] + 0.5} and state = FORWARDED",
    ]
    return kinds[number % len(kinds)]


def waited_for(study, number, job):
    '''A selection; in --form all and and, a condition made of it.'''
    selection = study.select(constraints(number, job))
    if form == "all":
        chosen = [f"x = {job['x']}", f"y = {job['y']}", "state != FAILED"]
        return study.select(chosen).all("state = FORWARDED")
    return selection & study.select(f"jobs.id = {job['id']}") if form == "and" else selection


async def written(heard, numbers, state):
    '''Another process changes the states of these runs, one in a commit.'''
    before, wanted = len(heard), len(numbers)
    arguments = ["-P", "writer.py", state, json.dumps(numbers)]
    writer = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    assert await writer.wait() == 0
    while len(heard) < before + wanted:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)  # beats, too


async def measured(workflow, count):
    study = workflow.solve
    dispatcher = await workflow.motoko_engine.attached()
    heard = []
    dispatcher.listeners.append(heard.append)
    base = study.base
    found = []
    for number in range(1, 1 + count):
        run = base.runs.entries[number]
        job = base.jobs.entries[run.entries["job_id"]]
        found.append({**job.entries, "energy": run.entries.get("energy")})
    wanted = [waited_for(study, *each) for each in enumerate(found, 1)]
    process = psutil.Process()
    memory, cpu = process.memory_info().rss, time.process_time()

    async def one(what):
        return await what

    tasks = [asyncio.create_task(one(what)) for what in wanted]
    before = time.perf_counter()
    while sum(bool(each.what) for each in dispatcher.waiters) < count:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    begun = (time.process_time() - cpu) / count
    memory = process.memory_info().rss - memory
    await asyncio.sleep(2)
    cpu = time.process_time()
    await asyncio.sleep(seconds)
    idle = time.process_time() - cpu
    others = list(range(20_001 - 2 * samples, 20_001 - samples))
    await written(heard, others[:10], "SEEN")
    cpu = time.process_time()
    await written(heard, others, "FORWARDED")
    transition = (time.process_time() - cpu) / samples
    assert not any(task.done() for task in tasks)
    awaited = list(range(1, 1 + min(count, samples)))
    cpu = time.process_time()
    await written(heard, awaited, "FORWARDED")
    ended = (time.process_time() - cpu) / len(awaited)
    for number, task in enumerate(tasks, 1):
        assert task.done() == (number in awaited), wanted[number - 1]
        if task.done():
            assert {run["id"] for run, _ in task.result()} == {number}
    await written(heard, [*awaited, *others], "FINISHED")
    cpu = time.process_time()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    cancelled = (time.process_time() - cpu) / count
    dispatcher.listeners.remove(heard.append)
    return {"awaits": count, "begun": begun, "bytes": memory, "idle": idle, "ended": ended,
            "transition": transition, "cancelled": cancelled, "left": len(dispatcher.waiters)}


async def main():
    workflow = Workflow(".")
    workflow.run_name = "sweep"
    print(json.dumps([await measured(workflow, count) for count in counts]))
    workflow.close()


asyncio.run(main())
"""

WRITER = """\
import json
import sys
import time

import transaction

from motoko import Workflow

runs = Workflow(".").solve.connect().runs
for number in json.loads(sys.argv[2]):
    runs[number]["state"] = sys.argv[1]
    transaction.commit()
    time.sleep(0.01)
"""

FILES = {
    "motoko.yaml": "task_managers:\n  step:\n\norchestrator: orchestrator.main\n",
    "step/bd.yaml": "study: step\n\njob:\n  x: int\n",
    "step/launch.sh": "true\n",
    "step/doIt.py": "",
    "orchestrator.py": "async def main(workflow, **params): ...\n",
    "awaits.py": RUN_LISTS,
}


@dataclass(frozen=True)
class Row:
    """A number of pending awaits of selections; CPU time in ms."""

    awaits: int
    begun: float
    kilobytes: float  # an await
    idle: float  # a minute
    transition: float
    ended: float
    cancelled: float
    left: int

    def line(self) -> str:
        """For people."""
        figures = (self.begun, self.transition, self.ended, self.cancelled)
        return (
            f"  {self.awaits:8,}"
            + "".join(f"{figure:12.3f}" for figure in figures)
            + f"{self.kilobytes:10.1f}{self.idle:10.0f}"
        )


def of_run_lists(seconds: float) -> dict[str, Any]:
    """The first script."""
    with Scratch(FILES, PROGRAMS) as scratch:
        scratch.motoko("create", "--validated", "./")
        scratch.motoko("supervise", "--detach", "--no-launchers")
        arguments = ["-P", "awaits.py", str(COUNT), str(seconds)]
        said = scratch.run(Path(sys.executable), *arguments, timeout=120 + 2 * seconds)
    found = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    size, cpu = found["bytes"] / 1e6, found["cpu_s"] * 60 / seconds
    passed = (
        size <= MOST_MB and cpu <= MOST_CPU_S_A_MINUTE and not found["left"] and not found["reads"]
    )
    return {"passed": passed, "megabytes": size, "cpu_s_a_minute": cpu, "left": found["left"]}


def of_selections(options: argparse.Namespace) -> list[Row]:
    """The second script."""
    with BigStudy(cached(options.cache, options.runs)) as study:
        for name, text in (("selections.py", SELECTIONS), ("writer.py", WRITER)):
            (study.directory / name).write_text(text)
        study.serve()
        arguments = [json.dumps(options.awaits), str(options.samples), str(options.seconds)]
        arguments.append(options.form)
        said = study.run(
            Path(sys.executable), "-P", "selections.py", *arguments, timeout=options.patience
        )
    found = json.loads(next(line for line in said.splitlines() if line.startswith("[{")))
    return [
        Row(
            each["awaits"],
            each["begun"] * 1000,
            each["bytes"] / each["awaits"] / 1000,
            each["idle"] * 1000 * 60 / options.seconds,
            each["transition"] * 1000,
            each["ended"] * 1000,
            each["cancelled"] * 1000,
            each["left"],
        )
        for each in found
    ]


def main() -> None:
    """Exit with 1 if the awaits cost more than promised, or leave waiters behind."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="of doing nothing")
    parser.add_argument("--runs", type=int, default=100_000, help="(default: 100,000)")
    parser.add_argument("--awaits", type=int, nargs="+", default=[10, 1000, 10_000], metavar="N")
    parser.add_argument("--samples", type=int, default=200, help="transitions (default: 200)")
    parser.add_argument("--patience", type=float, default=1800.0, help="seconds for all of it")
    default = Path("~/.cache/motoko-benchmarks").expanduser()
    parser.add_argument("--cache", type=Path, default=default, metavar="DIR")
    parser.add_argument("--only-selections", action="store_true")
    parser.add_argument("--form", choices=["selection", "all", "and"], default="selection")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.runs < 20_000 or max(options.awaits) > 19_000 or not 10 <= options.samples <= 400:
        parser.error("at least 20,000 runs, at most 19,000 awaits, 10 to 400 samples")
    end_cleanly_when_terminated()
    lists = None if options.only_selections else of_run_lists(options.seconds)
    rows = of_selections(options)
    growth = rows[-1].transition / rows[0].transition
    passed = growth <= GROWTH and not any(row.left for row in rows)
    passed = passed and (lists is None or lists["passed"])
    result = {
        "machine": machine(),
        "passed": passed,
        "run_lists": lists,
        "selections": [vars(row) for row in rows],
        "growth": round(growth, 2),
    }
    lines = [machine()]
    if lists is not None:
        lines.append(
            f"{COUNT} awaits of runs: {lists['megabytes']:.1f} MB (at most {MOST_MB:.0f}), "
            f"{lists['cpu_s_a_minute']:.2f} CPU s a minute (at most {MOST_CPU_S_A_MINUTE}), "
            f"{lists['left']} waiters left"
        )
    lines += [
        f"awaits of different selections among {options.runs:,} runs; CPU ms",
        f"  {'awaits':>8}{'to begin':>12}{'transition':>12}{'to end one':>12}{'to cancel':>12}"
        f"{'kB each':>10}{'a minute':>10}",
        *(row.line() for row in rows),
        f"  growth of a transition's: {growth:.2f}   (promised: at most {GROWTH:g})",
        "PASS" if passed else "FAIL",
    ]
    report(result, "\n".join(lines), as_json=options.json)


if __name__ == "__main__":
    main()
