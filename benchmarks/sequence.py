"""Whether 20,000 short runs go on as they began: their pace, and the memory of each process.

``launch.sh`` is ``true`` and ``finish`` is ``on-exit``, on two slots. All runs are created by one
transaction; then the orchestrator awaits one tenth of them after the other. After each tenth the
script notes the time, and each process's memory (PSS, so that pages that processes share count
once) and CPU time. With ``--warm`` the runs are ``python: warm`` with a ``doIt.py`` of
``run.start(); run.finish()``: then it takes much longer.

The pace is that of the tenths. On a machine with other work their CPU time tells more: that of all
processes that live, and that of the runs, as far as the launcher's spawner accounts for it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from chain import FILES as CHAIN_FILES
from plain import FILES as PLAIN_FILES
from plain import LAUNCHER, SLOTS
from scratch import PROGRAMS, Scratch, cpu_s, end_cleanly_when_terminated, machine, report

PACE = 0.85  # promised: the last tenth's pace, of the median tenth's
GROWTH_MB = 10.0  # promised: a process's memory at the end, more than after the second tenth
GROWS = ("orchestrator",)  # with the runs that it keeps in its lists
TENTHS = 10
FORKERS = ("spawner", "warm_template")
DEADLINE_S = 3600.0
POLL_S = 0.1

FILES = {
    **PLAIN_FILES,
    "orchestrator.py": """\
import asyncio
import time
from pathlib import Path

import transaction


def populate_arg_parser(parser):
    parser.add_argument("--runs", type=int)


async def main(workflow, runs, **params):
    tenths = [
        workflow.step.createTask(x=list(range(runs * i // 10, runs * (i + 1) // 10)))
        for i in range(10)
    ]
    transaction.commit()
    with Path(workflow.directory, "times").open("w", buffering=1) as times:
        for tenth in [None, *tenths]:
            if tenth is not None:
                await tenth
            print(time.time(), file=times)
    while not Path(workflow.directory, "sampled").exists():
        await asyncio.sleep(0.1)
    workflow.finished = True
""",
}
WARM = {
    **FILES,
    "motoko.yaml": f"slots: {SLOTS}\ntask_managers:\n  step:\n    python: warm\n"
    "orchestrator: orchestrator.main\n",
    "step/launch.sh": CHAIN_FILES["step/launch.sh"],
    "step/doIt.py": CHAIN_FILES["step/doIt.py"],
}


def memory_mb(process: psutil.Process) -> float:
    """The memory of a process; what it shares with others counts in parts."""
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    (kilobytes,) = (int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return round(kilobytes / 1000, 1)


def processes(scratch: Scratch) -> dict[str, psutil.Process]:
    """The processes that live as long as the workflow, by name."""
    state = json.loads(scratch.motoko("ps", "--json"))
    found = {"supervisor": psutil.Process(state["supervisor"]["pid"]), **scratch.daemons()}
    for child in found[LAUNCHER].children():
        for part in FORKERS:
            if any(part in word for word in child.cmdline()):
                found[part] = child
    return found


def measure(files: dict[str, str], runs: int) -> list[dict[str, Any]]:
    """What is known when all runs are created, and after each tenth of them."""
    with Scratch(files) as scratch:
        scratch.motoko("create", "--validated", "./")
        scratch.motoko("launcher")
        options = ("--run_name", "sequence", "--runs", str(runs))
        child = scratch.begin(PROGRAMS / "motoko", "orchestrator", "start", *options)
        try:
            return list(samples(scratch, child))
        finally:
            child.terminate()
            child.wait()


def samples(scratch: Scratch, child: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """Sample the processes after each line that the orchestrator writes."""
    path, orchestrator = scratch.directory / "times", psutil.Process(child.pid)
    end = time.monotonic() + DEADLINE_S
    for number in range(TENTHS + 1):
        while not path.exists() or path.read_text().count("\n") <= number:
            if time.monotonic() > end or child.poll() is not None:
                raise RuntimeError(f"the orchestrator has not awaited tenth {number}")
            time.sleep(POLL_S)
        living = {"orchestrator": orchestrator, **processes(scratch)}
        yield {
            "time": float(path.read_text().splitlines()[number]),
            "mb": {name: memory_mb(process) for name, process in living.items()},
            "cpu_s": {name: cpu_s(process) for name, process in living.items()},
        }
    (scratch.directory / "sampled").touch()


def main() -> None:
    """Measure, print a table, and exit with 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20_000, help="in all (default: 20000)")
    parser.add_argument("--warm", action="store_true", help="runs of `python: warm`")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.runs < 10 * TENTHS:
        parser.error(f"a tenth is at least {TENTHS} runs")
    end_cleanly_when_terminated()

    found = measure(WARM if options.warm else FILES, options.runs)
    spans = list(pairwise(found))
    tenth = options.runs / TENTHS
    rates = [round(tenth / (after["time"] - before["time"]), 1) for before, after in spans]
    cpu_ms = [
        round(1000 * (sum(after["cpu_s"].values()) - sum(before["cpu_s"].values())) / tenth, 2)
        for before, after in spans
    ]
    pace = round(rates[-1] / statistics.median(rates), 2)
    sizes = {name: [sample["mb"].get(name) for sample in found] for name in found[-1]["mb"]}
    names = [name for name in found[-1]["mb"] if name in found[2]["mb"]]
    growth = {name: round(found[-1]["mb"][name] - found[2]["mb"][name], 1) for name in names}
    too_much = [name for name, mb in growth.items() if name not in GROWS and mb > GROWTH_MB]
    passed = pace >= PACE and not too_much
    result = {
        "machine": machine(),
        "runs": options.runs,
        "warm": options.warm,
        "rates": rates,
        "cpu_ms": cpu_ms,
        "pace": pace,
        "mb": sizes,
        "growth_mb": growth,
        "passed": passed,
    }
    lines = [
        f"{options.runs:,} runs on {SLOTS} slots, created at once; tenth by tenth",
        f"  {'runs a second':<16}{''.join(f'{rate:8.0f}' for rate in rates)}",
        f"  {'CPU, ms a run':<16}{''.join(f'{ms:8.2f}' for ms in cpu_ms)}   (without the runs)",
        f"  {'the last pace, of the median':<40}{pace:8.2f}   (promised: at least {PACE:g})",
        "memory in MB, when all are created and after each tenth; from the second to the last",
        *(
            f"  {name:<16}{''.join(f'{mb or 0:7.1f}' for mb in sizes[name])}{growth[name]:+8.1f}"
            for name in names
        ),
        f"promised: at most {GROWTH_MB:+g}, but for the {GROWS[0]}, which keeps its runs",
        f"on {machine()}",
        "PASS" if passed else "FAIL",
    ]
    report(result, "\n".join(lines), as_json=options.json)


if __name__ == "__main__":
    main()
