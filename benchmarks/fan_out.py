"""How long many independent runs take that are created at once, compared with motoko 0.1.4.

All are created by one ``createTask`` and awaited together, and do nothing: ``python doIt.py``
with ``run.start(); run.finish()``. There are two slots; motoko 0.1.4 has no slots, and starts one
run at a time. Both get the same files and the same commands, each in a virtual environment of its
own, and while one version is measured no process of the other runs. The orchestrator measures the
time, from before ``createTask`` until all are awaited. One run before, in an orchestrator of its
own, is not measured: it pays for what is done once.

With ``--warm`` it also measures ``python: warm``. Some runs come before, which are executed cold
while the template loads.

For ours it also shows which process spends how much CPU time on a run, by the operating system's
accounts before and after: the launcher (promised), the other daemons, and what forks the runs
(the spawner or the template, without the wrappers). What the runs' own processes have used is in
their exit records. The part of Python's start-up and imports is
measured afterwards, alone: the CPU time of a Python that imports all that ``doIt.py`` has
imported at its end (BlackDynamite's own ``import`` loads little: the rest comes at the first
use), the median of several. It is given as a share of the CPU time that the slots had; daemons
and runs want the same cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from chain import DEFAULT_PEER_VENV, PATIENCE_S, PEER, peer_programs
from chain import FILES as CHAIN_FILES
from scratch import PROGRAMS, Scratch, cpu_s, end_cleanly_when_terminated, machine, report

RATIO = 2.5  # promised
WARM_RATIO, WARM_RATE = 10.0, 40.0  # promised, with ``python: warm``; runs a second
WARM_UP = 20
LAUNCHER_MS = 15.0  # CPU a run, promised
SLOTS = 2
LAUNCHER = "launcher:step"
RUNS = "the runs themselves"
FORKERS = {"warm_template": "the template", "spawner": "the spawner"}
RECORDS = "step/BD-step-runs/run-*/.motoko/exit-1.json"
RECORDS_S = 10.0
REPEATS = 7  # of the imports
IMPORTS = (
    "import BlackDynamite.base_zeo, BlackDynamite.constraints_zeo, BlackDynamite.job, "
    "BlackDynamite.run_zeo, ZEO.ClientStorage"
)

FILES: dict[str, str] = {
    **CHAIN_FILES,
    "motoko.yaml": f"slots: {SLOTS}\n{CHAIN_FILES['motoko.yaml']}",
    "orchestrator.py": """\
import json
import time
from pathlib import Path


def populate_arg_parser(parser):
    parser.add_argument("--runs", type=int, required=True)


async def main(workflow, runs, **params):
    started, cpu = time.perf_counter(), time.process_time()
    await workflow.step.createTask(x=list(range(runs)))
    found = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    Path(workflow.directory, "result.json").write_text(json.dumps(found))
    workflow.finished = True
""",
}


WARM_FILES = {
    **FILES,
    "motoko.yaml": FILES["motoko.yaml"].replace("step:\n", "step:\n    python: warm\n"),
}


@dataclass(frozen=True)
class Ours:
    """What was measured of ours; ``cpu_ms`` are milliseconds of CPU a run, by process."""

    seconds: float
    cpu_ms: dict[str, float]
    imports_ms: float
    imports_share: float


def fan_out(scratch: Scratch, run_name: str, runs: int) -> dict[str, float]:
    """Seconds and the orchestrator's CPU time, for this many runs."""
    scratch.motoko(
        *("orchestrator", "start", "--run_name", run_name, "--runs", str(runs)),
        timeout=PATIENCE_S * (runs + 1),
    )
    found: dict[str, float] = json.loads((scratch.directory / "result.json").read_text())
    return found


def start(scratch: Scratch, first: int = 1) -> None:
    """Start a launcher, and execute first runs, which pay for what is done once."""
    scratch.motoko("create", "--validated", "./")
    scratch.motoko("launcher")
    fan_out(scratch, "first", first)


def spent(daemons: Mapping[str, psutil.Process]) -> dict[str, float]:
    """CPU seconds of the daemons until now, and of what forks the runs."""
    found = {name: cpu_s(process) for name, process in daemons.items()}
    for child in daemons[LAUNCHER].children():
        for part, name in FORKERS.items():
            if any(part in word for word in child.cmdline()):
                found[name] = cpu_s(child)
    return found


def recorded(scratch: Scratch, count: int) -> dict[Path, float]:
    """CPU seconds of this many runs, by their exit records: they follow soon after the end."""
    end = time.monotonic() + RECORDS_S
    while True:
        paths = list(scratch.directory.glob(RECORDS))
        with contextlib.suppress(ValueError):  # one is being written
            found = {path: float(json.loads(path.read_text())["cpu_s"]) for path in paths}
            if len(found) == count:
                return found
        if time.monotonic() > end:
            raise RuntimeError(f"{len(paths)} exit records, not {count}")
        time.sleep(0.05)


def measure_ours(runs: int, files: Mapping[str, str] = FILES, first: int = 1) -> Ours:
    """Measure this many runs, and the CPU time of each process."""
    with Scratch(files) as scratch:
        start(scratch, first)
        daemons = scratch.daemons()
        earlier = recorded(scratch, first)
        before = spent(daemons)
        found = fan_out(scratch, "measured", runs)
        cpu = {name: value - before.get(name, 0.0) for name, value in spent(daemons).items()}
        records = recorded(scratch, first + runs)
        cpu[RUNS] = sum(records[path] for path in records.keys() - earlier.keys())
    cpu["orchestrator"] = found["cpu"]
    imports = statistics.median(import_cpu() for _ in range(REPEATS))
    available = found["seconds"] * min(SLOTS, os.cpu_count() or 1)
    return Ours(
        round(found["seconds"], 3),
        {name: round(1000 * cpu[name] / runs, 2) for name in sorted(cpu, key=lambda n: -cpu[n])},
        round(1000 * imports, 1),
        round(imports * runs / available, 3),
    )


def import_cpu() -> float:
    """CPU seconds of a Python that does what each run begins with."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([PROGRAMS / "python", "-c", IMPORTS], stdin=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure_peer(runs: int, programs: Path) -> float:
    """Seconds for this many runs with the peer."""
    with Scratch(FILES, programs) as scratch:
        start(scratch)
        return round(fan_out(scratch, "measured", runs)["seconds"], 3)


def main() -> None:
    """Measure both, print a table, and exit with 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=40, help="independent runs (default: 40)")
    parser.add_argument("--warm", action="store_true", help="with `python: warm`, too")
    parser.add_argument("--skip-peer", action="store_true", help="measure ours only")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--peer-venv", type=Path, default=DEFAULT_PEER_VENV, metavar="DIR")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("at least one run is created")
    end_cleanly_when_terminated()

    programs = None if options.skip_peer else peer_programs(options.peer_venv.absolute())
    ours = measure_ours(options.runs)
    warm = measure_ours(options.runs, WARM_FILES, WARM_UP) if options.warm else None
    peer = measure_peer(options.runs, programs) if programs else None
    ratio = round(peer / ours.seconds, 1) if peer else None
    passed = ours.cpu_ms[LAUNCHER] < LAUNCHER_MS and (ratio is None or ratio >= RATIO)
    rate, warm_ratio = None, None
    if warm is not None:
        rate = round(options.runs / warm.seconds, 1)
        warm_ratio = round(peer / warm.seconds, 1) if peer else None
        passed = passed and rate >= WARM_RATE
        passed = passed and (warm_ratio is None or warm_ratio >= WARM_RATIO)
    result = {
        "machine": machine(),
        "runs": options.runs,
        "slots": SLOTS,
        "ours": asdict(ours),
        "warm": warm and asdict(warm),
        "warm_rate": rate,
        "warm_ratio": warm_ratio,
        "peer": peer and {"version": PEER, "seconds": peer},
        "ratio": ratio,
        "passed": passed,
    }
    promised = {LAUNCHER: f"   (promised: under {LAUNCHER_MS:g})"}
    lines = [
        f"{options.runs} independent null runs on {SLOTS} slots, seconds from creating to awaited",
        f"  {'ours':<24}{ours.seconds:8.2f}",
        *([f"  {f'motoko {PEER}':<24}{peer:8.2f}"] if peer else []),
        *([f"  {'ratio':<24}{ratio:8.1f}   (promised: at least {RATIO:g})"] if ratio else []),
        *_warm_lines(warm, rate, warm_ratio),
        "CPU milliseconds a run, ours",
        *(f"  {name:<24}{ms:8.1f}{promised.get(name, '')}" for name, ms in ours.cpu_ms.items()),
        f"Python's start-up and imports, alone: {ours.imports_ms:.0f} ms of CPU a run, "
        f"{ours.imports_ms / ours.cpu_ms[RUNS]:.0%} of the runs' own, "
        f"{ours.imports_share:.0%} of the slots' time",
        f"on {machine()}",
        "PASS" if passed else "FAIL",
    ]
    report(result, "\n".join(lines), as_json=options.json)


def _warm_lines(warm: Ours | None, rate: float | None, ratio: float | None) -> list[str]:
    if warm is None:
        return []
    promised = f"   (promised: at least {WARM_RATIO:g})"
    return [
        f"  {'warm':<24}{warm.seconds:8.2f}   ({rate} a second; promised: {WARM_RATE:g})",
        *([f"  {'ratio, warm':<24}{ratio:8.1f}{promised}"] if ratio else []),
        "CPU milliseconds a run, warm",
        *(f"  {name:<24}{ms:8.1f}" for name, ms in warm.cpu_ms.items()),
    ]


if __name__ == "__main__":
    main()
