"""What a step costs whose program knows nothing of BlackDynamite, compared with Parsl.

``launch.sh`` is ``true`` and ``finish`` is ``on-exit``, on two slots. The script measures

- a chain, each step created when the previous one has been awaited: a step's time, and its
  stages, by the orchestrator's clock and by the transaction ids' times, which ``motoko events``
  prints. The unit is the time that this machine needs for a commit of one object to the study's
  server by ZEO's own client, in a process without Motoko, half of them before the chain and half
  after. An orchestrator needs less for a commit: that is shown, too;
- independent runs, created at once and awaited together: runs per second, in several turns. Each
  state of each run is committed to disk;
- the same with Parsl's HighThroughputExecutor, in a virtual environment of its own: a
  ``bash_app`` of ``true``, Parsl's form for programs, on two workers, which are warm. Parsl uses
  the loopback interface only, and neither encrypts nor logs, like Motoko here. It keeps no
  states;
- the launcher's CPU time: for each run, by the operating system's accounts before and after,
  which have steps of 0.01 s; and while nothing happens.

The very first runs are not measured: they pay for what is done once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from parsl_peer import DEFAULT_PARSL_VENV, rates
from scratch import PROGRAMS, Scratch, cpu_s, end_cleanly_when_terminated, machine, report

from motoko.store.zeo_conf import read_address

COMMITS = 8.0  # promised: at most this many a step
SHARE = 0.6  # promised: at least this part of Parsl's rate
# Promised: less CPU time a run. In a chain each run has two commits of the launcher's for itself.
LAUNCHER_MS = {"chain": 6.0, "independent": 2.0}
SLOTS = 2
WARM_UP = 4
LAUNCHER = "launcher:step"
STAGES = ("build", "commit", "created to launched", "launched to finished", "finished to awake")

# One commit after the other, by ZEO's own client; prints the seconds that each has taken.
COMMITTING = """\
import json
import sys
import time

import transaction
import ZEO
from persistent.mapping import PersistentMapping

root = ZEO.DB(sys.argv[1]).open().root()
root["benchmark"] = PersistentMapping()
transaction.commit()
found = []
for i in range(int(sys.argv[2])):
    started = time.time()
    root["benchmark"]["note"] = i
    transaction.commit()
    found.append(time.time() - started)
print(json.dumps(found))
"""
FILES = {
    "committing.py": COMMITTING,
    "motoko.yaml": f"slots: {SLOTS}\nfinish: on-exit\ntask_managers:\n  step:\n"
    "orchestrator: orchestrator.main\n",
    "step/bd.yaml": "study: step\n\njob:\n  x: int\n",
    "step/launch.sh": "true\n",
    "orchestrator.py": """\
import json
import time
from pathlib import Path

import transaction


def populate_arg_parser(parser):
    parser.add_argument("--length", type=int, default=0)
    parser.add_argument("--runs", type=int, default=0)


async def main(workflow, length, runs, **params):
    step = workflow.step
    found = await chain(step, length) if length else await independent(step, runs)
    Path(workflow.directory, "result.json").write_text(json.dumps(found))
    workflow.finished = True


async def chain(step, length):
    ((run, _),) = await step.createTask(x=-1)
    commits, steps = commit(run, length // 2), []
    for i in range(length):
        started = time.time()
        task = step.createTask(x=i)
        built = time.time()
        transaction.commit()
        committed = time.time()
        await task
        steps.append((task[0][0]["id"], started, built, committed, time.time()))
    return {"commits": commits + commit(run, length - length // 2), "steps": steps}


def commit(run, times):
    found = []
    for i in range(times):
        started = time.time()
        run["note"] = i
        transaction.commit()
        found.append(time.time() - started)
    return found


async def independent(step, runs):
    started = time.time()
    await step.createTask(x=list(range(runs)))
    return time.time() - started
""",
}


@dataclass(frozen=True)
class Ours:
    """What was measured of ours: milliseconds, medians; runs per second."""

    commit_ms: float  # by ZEO's own client
    own_commit_ms: float  # by an orchestrator
    step_ms: float
    stages_ms: dict[str, float]
    rates: list[float]
    launcher_ms: dict[str, float]  # CPU a run
    idle_s_a_minute: float  # CPU of the launcher

    @property
    def commits(self) -> float:
        """A step's time in commits."""
        return round(self.step_ms / self.commit_ms, 2)

    @property
    def rate(self) -> float:
        """Independent runs per second."""
        return statistics.median(self.rates)


def orchestrate(scratch: Scratch, run_name: str, **sizes: int) -> Any:
    """What an orchestrator finds."""
    options = [text for name, size in sizes.items() for text in (f"--{name}", str(size))]
    scratch.motoko("orchestrator", "start", "--run_name", run_name, *options, timeout=500)
    return json.loads((scratch.directory / "result.json").read_text())


def measure_ours(options: argparse.Namespace) -> Ours:
    """A chain, independent runs, and nothing."""
    with Scratch(FILES) as scratch:
        scratch.motoko("create", "--validated", "./")
        scratch.motoko("launcher")
        orchestrate(scratch, "first", runs=WARM_UP)
        launcher = scratch.daemons()[LAUNCHER]
        cpu = {}
        commits = committing(scratch, options.length // 2)
        started = cpu_s(launcher)
        chain = orchestrate(scratch, "chain", length=options.length)
        cpu["chain"] = (cpu_s(launcher) - started) / (options.length + 1)
        commits += committing(scratch, options.length - options.length // 2)
        started = cpu_s(launcher)
        seconds = [
            orchestrate(scratch, f"turn-{turn}", runs=options.runs) for turn in range(options.turns)
        ]
        cpu["independent"] = (cpu_s(launcher) - started) / (options.runs * options.turns)
        time.sleep(1)
        started = cpu_s(launcher)
        time.sleep(options.idle_seconds)
        idle = (cpu_s(launcher) - started) * 60 / options.idle_seconds
        stages = stages_of(scratch, chain["steps"])
    return Ours(
        milliseconds(commits),
        milliseconds(chain["commits"]),
        milliseconds([awake - created for _, created, *_, awake in chain["steps"]]),
        {name: milliseconds(each) for name, each in zip(STAGES, stages, strict=True)},
        [round(options.runs / each, 1) for each in seconds],
        {name: round(1000 * each, 2) for name, each in cpu.items()},
        round(idle, 3),
    )


def committing(scratch: Scratch, times: int) -> list[float]:
    """How long commits of one object take by ZEO's own client."""
    address = read_address(scratch.directory / "step" / ".bd" / "zeo.conf")
    program = PROGRAMS / "python"
    found: list[float] = json.loads(scratch.run(program, "committing.py", str(address), str(times)))
    return found


def stages_of(scratch: Scratch, steps: list[Any]) -> list[list[float]]:
    """How long each stage lasted in each step."""
    count = 3 * (len(steps) + 1)
    lines = scratch.first_lines(
        count, "events", "--json", "--since", "0", "--run_name", "chain", timeout=60
    )
    times: dict[tuple[int, str], float] = {}
    for event in map(json.loads, lines):
        times[event["run_id"], event["new"]] = datetime.fromisoformat(event["time"]).timestamp()
    # `committed`, the commit's return, comes a bit after the transaction's own time.
    moments = [
        (started, built, committed, times[run, "launched"], times[run, "FINISHED"], awake)
        for run, started, built, committed, awake in steps
    ]
    stages = zip(*([later - one for one, later in pairwise(each)] for each in moments), strict=True)
    return [list(each) for each in stages]


def milliseconds(seconds: list[float]) -> float:
    """The median."""
    return round(1000 * statistics.median(seconds), 2)


def main() -> None:
    """Measure both, print a table, and exit with 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--length", type=int, default=60, help="steps of the chain (default: 60)")
    parser.add_argument("--runs", type=int, default=400, help="independent ones (default: 400)")
    parser.add_argument("--turns", type=int, default=3, help="of independent runs (default: 3)")
    parser.add_argument("--idle-seconds", type=float, default=20.0, help="(default: 20)")
    parser.add_argument("--skip-parsl", action="store_true", help="measure ours only")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--parsl-venv", type=Path, default=DEFAULT_PARSL_VENV, metavar="DIR")
    options = parser.parse_args()
    if options.length < 2 or min(options.runs, options.turns) < 1 or options.idle_seconds <= 0:
        parser.error("a chain has two steps at least, and the other numbers have to be positive")
    end_cleanly_when_terminated()

    sizes = (SLOTS, options.runs, options.turns)
    parsl = None if options.skip_parsl else rates(options.parsl_venv.absolute(), *sizes)
    ours = measure_ours(options)
    share = round(ours.rate / statistics.median(parsl["rates"]), 3) if parsl else None
    passed = (
        ours.commits <= COMMITS
        and all(ms < LAUNCHER_MS[name] for name, ms in ours.launcher_ms.items())
        and (share is None or share >= SHARE)
    )
    result = {
        "machine": machine(),
        **{name: getattr(options, name) for name in ("length", "runs", "turns")},
        "slots": SLOTS,
        "ours": {**asdict(ours), "step_commits": ours.commits, "rate": ours.rate},
        "parsl": parsl,
        "share_of_parsl": share,
        "passed": passed,
    }
    turns = {"ours": ours.rates}
    if parsl:
        turns[f"Parsl {parsl['version']}"] = parsl["rates"]
    lines = [
        f"a chain of {options.length} steps, milliseconds, medians",
        f"  {'a commit of one object':<24}{ours.commit_ms:8.2f}",
        f"  {'the same, orchestrator':<24}{ours.own_commit_ms:8.2f}",
        f"  {'a step':<24}{ours.step_ms:8.2f}",
        *(f"    {name:<22}{ms:8.2f}" for name, ms in ours.stages_ms.items()),
        f"  {'a step, in commits':<24}{ours.commits:8.2f}   (promised: at most {COMMITS:g})",
        f"{options.runs} independent runs on {SLOTS} slots, runs per second, median of turns",
        *(
            f"  {name:<24}{statistics.median(each):8.1f}   ({', '.join(map(str, each))})"
            for name, each in turns.items()
        ),
    ]
    if parsl:
        lines.append(f"  {'ours, of Parsl':<24}{share:8.2f}   (promised: at least {SHARE:.2f})")
    elif not options.skip_parsl:
        lines.append("  Parsl could not be installed: not compared")
    lines += [
        "the launcher's CPU",
        *(
            f"  {f'ms a run, {name}':<24}{ms:8.2f}   (promised: under {LAUNCHER_MS[name]:g})"
            for name, ms in ours.launcher_ms.items()
        ),
        f"  {'s/min, idle':<24}{ours.idle_s_a_minute:8.2f}",
        f"on {machine()}",
        "PASS" if passed else "FAIL",
    ]
    report(result, "\n".join(lines), as_json=options.json)


if __name__ == "__main__":
    main()
