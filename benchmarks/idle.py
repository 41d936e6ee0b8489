"""What a workflow costs while nothing happens: CPU time of its daemons, and storage calls.

It measures twice: with nothing to do (``quiet``), and with an orchestrator that awaits one run of
each study, whose script sleeps, and has an action that never fires (``awaiting``). The script
makes its own workflow: ``--studies`` studies, each with ``--runs`` finished runs, and a further one
with ``python: warm``, which has executed a warm run: its template waits for the next one, and has
to use no CPU time at all.

- CPU: user and system time of each daemon and of the supervisor (their pids by ``motoko ps``), from
  the operating system's accounts, which are kept in steps of 0.01 s; scaled to a minute.
- Storage calls: the ZEO servers count them, and report the counts at ``ruok``, which is not
  counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import psutil
from scratch import Scratch, end_cleanly_when_terminated, machine, report

from motoko.config import load
from motoko.layout import locate
from motoko.supervisor.probes import ping_zeo

CPU_S_A_MINUTE = 0.3  # promised for all daemons together
TEMPLATE = "warm_template"  # a part of the command line of a template of warm runs
SETTLE_S = 10.0
DEADLINE_S = 60.0
ANSWER_S = 10.0

ORCHESTRATOR = """\
import asyncio
from pathlib import Path


def populate_arg_parser(parser):
    parser.add_argument("--fill", type=int, default=0)
    parser.add_argument("--warm", action="store_true")


async def never(**params):
    raise RuntimeError("no run is ever FORWARDED")


async def main(workflow, fill, warm, **params):
    studies = [study for study in workflow.task_managers.values() if study.study != "warm"]
    if warm:
        for x in range(100):
            ((run, _),) = await workflow.warm.createTask(x=x)
            if run["is_warm"]:
                break
        workflow.finished = True
        return
    if fill:
        for study in studies:
            for run, _ in study.createTask(x=list(range(1, fill + 1))).runs:
                run["state"] = "FINISHED"
        workflow.finished = True
        return
    workflow.add_action("never", event="state = FORWARDED", f=never)
    await asyncio.gather(*(study.createTask(x=0) for study in studies))
"""


# It tells whether it was forked from a template: the first ones are not, while that loads.
WARM_RUN = """\
from pathlib import Path
import BlackDynamite as BD

run, job = BD.getRunFromScript()
run.start()
run["is_warm"] = "warm_template" in Path("/proc/self/cmdline").read_text()
run.finish()
"""


@dataclass(frozen=True)
class Measurement:
    """What was measured in some seconds; ``cpu`` is in CPU seconds a minute."""

    name: str
    seconds: float
    cpu: dict[str, float]
    total: float
    orchestrators: dict[str, float]
    templates: dict[str, float]
    calls: dict[str, dict[str, int]]

    @property
    def passed(self) -> bool:
        """Whether it is as promised."""
        silent = not any(count for counts in self.calls.values() for count in counts.values())
        return silent and self.total < CPU_S_A_MINUTE and not any(self.templates.values())

    def table(self) -> str:
        """For people."""
        kinds = {key for counts in self.calls.values() for key in counts}
        sums = {key: sum(counts[key] for counts in self.calls.values()) for key in kinds}
        calls = sums.pop("calls")
        others = ", ".join(f"{key} {count}" for key, count in sorted(sums.items()))
        lines = [
            f"{self.name}, {self.seconds:.0f} s{'CPU s/min':>28}",
            *(f"  {name:<30}{cpu:8.3f}" for name, cpu in self.cpu.items()),
            f"  {'all daemons':<30}{self.total:8.3f}   (promised: under {CPU_S_A_MINUTE:g})",
            *(
                f"  {name + ' (no daemon)':<30}{cpu:8.3f}"
                for name, cpu in self.orchestrators.items()
            ),
            *(f"  {name:<30}{cpu:8.3f}   (promised: 0)" for name, cpu in self.templates.items()),
            f"  {'storage calls':<30}{calls:8}   (promised: 0; {others})",
        ]
        return "\n".join(lines)


def files(studies: int) -> dict[str, str]:
    """A workflow of this many studies, and a warm one."""
    names = [f"study{number}" for number in range(1, studies + 1)]
    managers = "".join(f"  {name}:\n" for name in names) + "  warm:\n    python: warm\n"
    found = {
        "motoko.yaml": f"task_managers:\n{managers}\norchestrator: orchestrator.main\n",
        "orchestrator.py": ORCHESTRATOR,
    }
    for name in names:
        found[f"{name}/bd.yaml"] = f"study: {name}\n\njob:\n  x: int\n"
        found[f"{name}/launch.sh"] = "sleep 100000\n"
        found[f"{name}/doIt.py"] = ""
    found["warm/bd.yaml"] = "study: warm\n\njob:\n  x: int\n"
    found["warm/launch.sh"] = "python doIt.py\n"
    found["warm/doIt.py"] = WARM_RUN
    return found


def measure(scratch: Scratch, name: str, seconds: float) -> Measurement:
    """Look twice, and do nothing in between."""
    state = json.loads(scratch.motoko("ps", "--json"))
    pids = {each["name"]: each["pid"] for each in state["daemons"]}
    daemons = {"supervisor": psutil.Process(state["supervisor"]["pid"])}
    daemons |= {name: psutil.Process(pid) for name, pid in pids.items()}
    orchestrators = {
        f"orchestrator:{each['run_name']}": psutil.Process(each["pid"])
        for each in state["orchestrators"]
    }
    templates = {
        f"template of {name}": process
        for name, daemon in daemons.items()
        for process in daemon.children()
        if any(TEMPLATE in word for word in process.cmdline())
    }
    if not templates:
        raise RuntimeError("there is no template of warm runs")
    processes = daemons | orchestrators | templates
    time.sleep(1.0)  # answering `ps` is not part of it

    started, cpu, calls = time.monotonic(), _cpu(processes), _calls(scratch)
    time.sleep(seconds)
    later, cpu_later, calls_later = time.monotonic(), _cpu(processes), _calls(scratch)
    minutes = (later - started) / 60
    spent = {name: (cpu_later[name] - cpu[name]) / minutes for name in cpu}
    return Measurement(
        name=name,
        seconds=round(later - started, 1),
        cpu={name: round(spent[name], 3) for name in daemons},
        total=round(sum(spent[name] for name in daemons), 3),
        orchestrators={name: round(spent[name], 3) for name in orchestrators},
        templates={name: round(spent[name], 3) for name in templates},
        calls={
            study: {key: counts[key] - calls[study][key] for key in counts}
            for study, counts in calls_later.items()
        },
    )


def _cpu(processes: dict[str, psutil.Process]) -> dict[str, float]:
    times = {name: process.cpu_times() for name, process in processes.items()}
    return {name: each.user + each.system for name, each in times.items()}


def _calls(scratch: Scratch) -> dict[str, dict[str, int]]:
    """What each ZEO server has counted since it was started."""
    config = load(scratch.directory)
    runtime = locate(config)
    assert runtime is not None, "the workflow is supervised"
    found = {}
    for study in config.studies:
        answer = asyncio.run(ping_zeo(runtime.zeo(study), ANSWER_S))
        (storage,) = (value for key, value in answer.items() if key != "motoko")
        kinds = ("loads", "stores", "commits", "aborts")
        found[study] = {
            "calls": int(answer["motoko"]["calls"]),
            **{kind: int(storage[kind]) for kind in kinds},
        }
    return found


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; raises ``RuntimeError`` if it does not come true in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not in {DEADLINE_S:g} s: {what}")
        time.sleep(0.2)


def run(studies: int, runs: int, seconds: float) -> list[Measurement]:
    """Both measurements, in one workflow."""
    with Scratch(files(studies)) as scratch:
        scratch.motoko("create")
        if runs:
            scratch.motoko("supervise", "--detach", "--no-launchers")
            start = ("orchestrator", "start", "--run_name", "idle")
            scratch.motoko(*start, "--fill", str(runs), timeout=60 + 0.1 * runs * studies)
        # A slot for each run: a launcher that is short of slots has something to do.
        scratch.motoko("supervise", "--detach", "--slots", str(studies + 1))
        scratch.motoko("orchestrator", "start", "--run_name", "warm", "--warm")
        time.sleep(SETTLE_S)
        quiet = measure(scratch, "quiet", seconds)

        scratch.motoko("orchestrator", "start", "--run_name", "idle", "--detach")
        started = scratch.directory.glob
        wait_until(
            lambda: len(list(started("study*/BD-*-runs/run-*/launch.sh"))) == studies,
            "a run of each study has been started",
        )
        time.sleep(SETTLE_S)
        return [quiet, measure(scratch, "awaiting", seconds)]


def main() -> None:
    """Measure, print a table, and exit with 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="each measurement's time")
    parser.add_argument("--studies", type=int, default=3)
    parser.add_argument("--runs", type=int, default=0, help="finished runs in each study")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.seconds <= 0 or options.studies < 1 or options.runs < 0:
        parser.error("seconds and studies have to be positive, runs not negative")
    end_cleanly_when_terminated()

    found = run(options.studies, options.runs, options.seconds)
    passed = all(measurement.passed for measurement in found)
    result = {
        "machine": machine(),
        "studies": options.studies,
        "runs": options.runs,
        "measurements": [asdict(measurement) for measurement in found],
        "passed": passed,
    }
    lines = [
        f"{options.studies} studies with {options.runs} runs each",
        *(measurement.table() for measurement in found),
        f"on {machine()}",
        "PASS" if passed else "FAIL",
    ]
    report(result, "\n".join(lines), as_json=options.json)


if __name__ == "__main__":
    main()
