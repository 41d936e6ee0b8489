"""What 1,000 concurrent awaits of one orchestrator cost while nothing happens: memory and CPU.

A script creates 1,000 runs that nobody starts, and awaits each in a task of its own. Memory is what
the process has grown by from before the awaits; CPU what it takes while they wait. Then half of
them time out, the others are cancelled: no waiter is left.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from scratch import PROGRAMS, Scratch, end_cleanly_when_terminated, machine, report

COUNT = 1000
MOST_MB, MOST_CPU_S_A_MINUTE = 50.0, 0.3

FILES = {
    "motoko.yaml": "task_managers:\n  step:\n\norchestrator: orchestrator.main\n",
    "step/bd.yaml": "study: step\n\njob:\n  x: int\n",
    "step/launch.sh": "true\n",
    "step/doIt.py": "",
    "orchestrator.py": "async def main(workflow, **params): ...\n",
    "awaits.py": """\
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
    left = len(dispatcher._waiters) + len(dispatcher._by_run) + len(dispatcher._by_study)
    print(json.dumps({"bytes": grown, "cpu_s": cpu, "left": left,
                      "reads": dispatcher.counters.wakeups_by_safety_read - reads}))
    workflow.close()


asyncio.run(main())
""",
}


def main() -> None:
    """Exit code 1 if they cost more than promised, or leave waiters behind."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    end_cleanly_when_terminated()
    with Scratch(FILES, PROGRAMS) as scratch:
        scratch.motoko("create", "--validated", "./")
        scratch.motoko("supervise", "--detach", "--no-launchers")
        arguments = ["-P", "awaits.py", str(COUNT), str(options.seconds)]
        said = scratch.run(Path(sys.executable), *arguments, timeout=120 + 2 * options.seconds)
    found = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    size, cpu = found["bytes"] / 1e6, found["cpu_s"] * 60 / options.seconds
    passed = (
        size <= MOST_MB and cpu <= MOST_CPU_S_A_MINUTE and not found["left"] and not found["reads"]
    )
    result = {"passed": passed, "megabytes": size, "cpu_s_a_minute": cpu, "left": found["left"]}
    text = (
        f"{machine()}\n{COUNT} awaits: {size:.1f} MB (at most {MOST_MB:.0f}), {cpu:.2f} CPU s a "
        f"minute (at most {MOST_CPU_S_A_MINUTE}), {found['left']} waiters left: "
        f"{'PASS' if passed else 'FAIL'}"
    )
    report(result, text, as_json=options.json)


if __name__ == "__main__":
    main()
