"""How much longer 16 orchestrators at once take than one with the same work.

Each of the 16 has a run_name of its own, on one workflow of three studies, and creates 50 tasks in
a chain with fans: at each of five links one run in the first study, then six and three
concurrently in the other two. The single orchestrator creates as many tasks in as many chains, as
coroutines. Launching is left out: one process, the same for both, makes runs FINISHED as soon as
it is told of them.

The time is from the moment when all orchestrators have started and are told to go, until the last
has ended.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from scratch import PROGRAMS, Scratch, end_cleanly_when_terminated, machine, report

RATIO = 1.5
ORCHESTRATORS, LINKS, FANS = 16, 5, (6, 3)
TASKS = LINKS * (1 + sum(FANS))
STUDIES = ("one", "two", "three")
PATIENCE_S = 300.0

FILES = {
    "motoko.yaml": "task_managers:\n  one:\n  two:\n  three:\n\norchestrator: orchestrator.main\n"
    "finish: on-exit\n",
    **{f"{study}/bd.yaml": f"study: {study}\n\njob:\n  x: int\n  link: int\n" for study in STUDIES},
    **{f"{study}/launch.sh": "true\n" for study in STUDIES},
    "orchestrator.py": """\
import asyncio
import os
import time
from pathlib import Path


def populate_arg_parser(parser):
    parser.add_argument("--chains", type=int, nargs=2, required=True)
    parser.add_argument("--links", type=int, required=True)
    parser.add_argument("--fans", type=int, nargs=2, required=True)


async def main(workflow, chains, links, fans, run_name, **params):
    async def chain(number):
        for link in range(links):
            x, wide = number * 1000, [[number * 1000 + n for n in range(fan)] for fan in fans]
            await workflow.one.createTask(x=x, link=link)
            await asyncio.gather(
                workflow.two.createTask(x=wide[0], link=link),
                workflow.three.createTask(x=wide[1], link=link),
            )

    for manager in workflow.task_managers.values():
        manager.base  # connected before the clock starts
    await workflow.motoko_engine.attached()
    top = Path(workflow.directory)
    (top / f"ready-{run_name}").touch()
    while not (top / "go").exists():
        await asyncio.sleep(0.01)
    await asyncio.gather(*map(chain, range(*chains)))
    (top / f"done-{run_name}").write_text(repr(time.time()))
    workflow.finished = True
""",
    # Stands in for the launchers: makes runs FINISHED, many in a commit, as soon as they are told.
    "finisher.py": """\
import asyncio
from pathlib import Path
from motoko import Workflow
from motoko.store.session import session
from motoko.bus.waiters import Interest


async def main():
    workflow = Workflow(".")
    managers = workflow.task_managers
    dispatcher = await workflow.motoko_engine.attached()
    with dispatcher.waiting(Interest(studies=managers)) as waiter:
        for manager in managers.values():
            session().refresh(manager.base)
        Path("finisher").touch()
        while True:
            news = [each for each in await waiter.wait() if each.new == "CREATED"]
            if waiter.stopped:
                return
            for study in sorted({each.study for each in news}):
                mine = [each for each in news if each.study == study]
                base = managers[study].base
                session().refresh(base, max(bytes.fromhex(each.tid) for each in mine))
                for each in mine:
                    base.runs.entries[each.run_id].entries["state"] = "FINISHED"
                session().commit()


asyncio.run(main())
""",
}


def seconds(orchestrators: int, chains: int) -> float:
    """Seconds until the last of some orchestrators, with some chains each, has ended."""
    with Scratch(FILES, PROGRAMS) as scratch:
        scratch.motoko("create", "--validated", "./")
        scratch.motoko("supervise", "--detach", "--no-launchers")
        finisher = scratch.begin(Path(sys.executable), "-P", "finisher.py")
        _await(scratch.directory, "finisher", 1, [finisher])
        options = ["--links", str(LINKS), "--fans", *map(str, FANS)]
        started = [
            scratch.begin(
                PROGRAMS / "motoko",
                *("orchestrator", "start", "--run_name", f"n{number}", *options),
                *("--chains", str(number * chains), str((number + 1) * chains)),
            )
            for number in range(orchestrators)
        ]
        _await(scratch.directory, "ready-*", orchestrators, started)
        begin = time.time()
        (scratch.directory / "go").touch()
        _await(scratch.directory, "done-*", orchestrators, started)
        for process in started:
            if process.wait(PATIENCE_S):
                sys.exit(f"an orchestrator has failed: exit code {process.returncode}")
        ends = [float(path.read_text()) for path in scratch.directory.glob("done-*")]
        info = json.loads(scratch.motoko("info", "--json"))
        runs = sum(study["states"].get("FINISHED", 0) for study in info["studies"])
        expected = orchestrators * chains * TASKS
        if runs != expected:
            sys.exit(f"{runs} runs are FINISHED instead of {expected}")
        scratch.motoko("kill", "--now")
        finisher.wait(10)
        return max(ends) - begin


def _await(
    directory: Path, pattern: str, count: int, processes: list[subprocess.Popen[bytes]]
) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while len(list(directory.glob(pattern))) < count:
        failed = [each.returncode for each in processes if each.poll()]
        if failed or time.monotonic() > deadline:
            sys.exit(f"waited in vain for {count} of {pattern}; exit codes: {failed}")
        time.sleep(0.01)


def main() -> None:
    """Exit with 1 if 16 orchestrators take more than 1.5 times as long as one."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    end_cleanly_when_terminated()
    print(machine(), file=sys.stderr)
    tasks = ORCHESTRATORS * TASKS
    pairs = []
    for _ in range(options.repeat):
        one = seconds(1, ORCHESTRATORS)
        many = seconds(ORCHESTRATORS, 1)
        pairs.append((one, many))
        text = f"{tasks} tasks: one {one:.2f} s, {ORCHESTRATORS} {many:.2f} s: {many / one:.2f}"
        print(text, file=sys.stderr)
    ratio = sorted(many / one for one, many in pairs)[len(pairs) // 2]
    result = {"passed": ratio <= RATIO, "ratio": ratio, "most": RATIO, "seconds": pairs}
    verdict = "PASS" if result["passed"] else "FAIL"
    text = f"{verdict}: {ORCHESTRATORS} take {ratio:.2f} times as long (at most {RATIO})"
    report(result, text, as_json=options.json)


if __name__ == "__main__":
    main()
