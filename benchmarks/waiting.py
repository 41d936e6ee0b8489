"""How soon a study in which very many runs wait starts the first one, and how fast it continues.

``launch.sh`` is ``true`` and ``finish`` is ``on-exit``, on two slots. The script measures

- *found*: all runs wait already when the study's launcher is started; from the start of its
  process to the claim of the first run;
- *told*: the launcher waits, and all runs are created in one transaction; from its commit's return
  to the claim of the first run (0 if the claim came first: the launcher may know before the
  writer);
- the pace, in both: how many claims a second, after the first ones; and the same in a study where
  no other runs wait (*few*).

Claims are files that are made at the start of each attempt: the script reads their times.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from scratch import Scratch, cpu_s, end_cleanly_when_terminated, machine, report

FIRST_S = 2.0  # promised
SLOWER = 1.5  # promised: among many, at most this many times slower than among few
SKIPPED, MEASURED = 400, 300  # runs
DEADLINE_S = 300.0

FILES = {
    "motoko.yaml": "slots: 2\nfinish: on-exit\ntask_managers:\n  step:\n"
    "orchestrator: orchestrator.main\n",
    "step/bd.yaml": "study: step\n\njob:\n  x: int\n",
    "step/launch.sh": "true\n",
    "orchestrator.py": """\
import time
from pathlib import Path

import transaction


def populate_arg_parser(parser):
    parser.add_argument("--runs", type=int)


async def main(workflow, runs, **params):
    workflow.step.createTask(x=list(range(runs)))
    transaction.commit()
    Path(workflow.directory, "committed").write_text(str(time.time()))
    workflow.finished = True
""",
}


def create(scratch: Scratch, runs: int) -> float:
    """Create runs in one transaction; returns when its commit has returned."""
    options = ("--run_name", "queue", "--runs", str(runs))
    scratch.motoko("orchestrator", "start", *options, timeout=DEADLINE_S)
    return float((scratch.directory / "committed").read_text())


def claimed(scratch: Scratch, number: int) -> float:
    """Wait for the claim of a run's first attempt; returns its time."""
    claim = scratch.directory / "step" / "BD-step-runs" / f"run-{number}" / ".motoko" / "attempt-1"
    end = time.monotonic() + DEADLINE_S
    while not claim.exists():
        if time.monotonic() > end:
            raise RuntimeError(f"run {number} has not started in {DEADLINE_S:g} s")
        time.sleep(0.02)
    return claim.stat().st_mtime


def measure(runs: int, *, told: bool) -> dict[str, Any]:
    """How soon the first of this many starts, and how fast they continue."""
    with Scratch(FILES) as scratch:
        scratch.motoko("create", "--validated", "./")
        scratch.motoko("supervise", "--detach", *([] if told else ["--no-launchers"]))
        committed = create(scratch, runs)
        if not told:
            scratch.motoko("launcher")
        launcher = scratch.daemons()["launcher:step"]
        first = claimed(scratch, 1) - (committed if told else launcher.create_time())
        pace = claimed(scratch, SKIPPED + MEASURED) - claimed(scratch, SKIPPED)
        return {
            "runs": runs,
            "first_s": round(max(first, 0.0), 2),
            "runs_a_second": round(MEASURED / pace, 1),
            "launcher_cpu_s": round(cpu_s(launcher), 2),
            "same_launcher": scratch.daemons()["launcher:step"].pid == launcher.pid,
        }


def main() -> None:
    """Measure, print a table, and exit with 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20_000, help="that wait (default: 20000)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    few = SKIPPED + MEASURED
    if options.runs < 2 * few:
        parser.error(f"many are at least {2 * few}")
    end_cleanly_when_terminated()

    found = {
        "few": measure(few, told=False),
        "found": measure(options.runs, told=False),
        "told": measure(options.runs, told=True),
    }
    many = (found["found"], found["told"])
    slower = round(found["few"]["runs_a_second"] / min(e["runs_a_second"] for e in many), 2)
    passed = all(each["first_s"] < FIRST_S and each["same_launcher"] for each in many)
    result = {
        "machine": machine(),
        **found,
        "slower": slower,
        "passed": passed and slower <= SLOWER,
    }
    lines = [
        f"{'':<10}{'runs':>8}{'first after, s':>18}{'runs a second':>18}",
        *(
            f"{name:<10}{each['runs']:>8,}{each['first_s']:>18.2f}{each['runs_a_second']:>18.1f}"
            for name, each in found.items()
        ),
        f"the first: promised under {FIRST_S:g} s",
        f"slower among many: {slower:.2f} times (promised: at most {SLOWER:g})",
        f"on {machine()}",
        "PASS" if result["passed"] else "FAIL",
    ]
    report(result, "\n".join(lines), as_json=options.json)


if __name__ == "__main__":
    main()
