"""How long a chain of dependent runs takes, compared with motoko 0.1.4.

Each step is ``await workflow.step.createTask(x=i)``, and its run does nothing: ``python doIt.py``
with ``run.start(); run.finish()``. So the benchmark measures the time that a workflow system
adds: creating a run, noticing it, starting it, and noticing its end.

Both get the same files and the same four commands (create, launcher, orchestrator start, kill),
each in a virtual environment of its own. They take turns, and while one version is measured no
process of the other runs. The orchestrator measures the time, from the start of its ``main`` to
its end, and writes it to a file: starting daemons and the orchestrator itself does not count. A
chain before, in an orchestrator of its own, is not measured: it pays for what is done once. With
``python: warm`` that is the template's start; its first runs are executed cold.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from scratch import PROGRAMS, Scratch, end_cleanly_when_terminated, machine, report

PEER = "0.1.4"
RATIO, WARM_RATIO, WARM_STEP_MS = 12.0, 100.0, 45.0
FIRST = {"ours": 1, "peer": 1, "warm": 12}  # runs of the chain before
PATIENCE_S = 60.0  # for a step, before a chain is given up
DEFAULT_PEER_VENV = Path.home() / ".cache" / "motoko-benchmarks" / f"motoko-{PEER}"

FILES = {
    "motoko.yaml": "task_managers:\n  step:\n\norchestrator: orchestrator.main\n",
    "step/bd.yaml": "study: step\n\njob:\n  x: int\n",
    "step/launch.sh": "python doIt.py\n",
    "step/doIt.py": """\
import BlackDynamite as BD

run, job = BD.getRunFromScript()
run.start()
run.finish()
""",
    "orchestrator.py": """\
import json
import time
from pathlib import Path


def populate_arg_parser(parser):
    parser.add_argument("--length", type=int, required=True)


async def main(workflow, length, **params):
    started = time.perf_counter()
    for i in range(length):
        await workflow.step.createTask(x=i)
    seconds = time.perf_counter() - started
    Path(workflow.directory, "result.json").write_text(json.dumps({"seconds": seconds}))
    workflow.finished = True
""",
}


WARM = {"motoko.yaml": FILES["motoko.yaml"].replace("step:\n", "step:\n    python: warm\n")}


def chain(first: int, length: int, programs: Path, files: Mapping[str, str] = FILES) -> float:
    """Seconds that a chain takes with the ``motoko`` in a directory of programs.

    ``first``: the length of the chain before.
    """
    with Scratch(files, programs) as scratch:
        scratch.motoko("create", "--validated", "./")
        scratch.motoko("launcher")
        for run_name, runs in {"first": first, "chain": length}.items():
            scratch.motoko(
                *("orchestrator", "start", "--run_name", run_name, "--length", str(runs)),
                timeout=PATIENCE_S * (runs + 1),
            )
        return float(json.loads((scratch.directory / "result.json").read_text())["seconds"])


def peer_programs(venv: Path, package: str = "motoko", version: str | None = PEER) -> Path:
    """The programs of a peer's virtual environment, which is made if it is missing."""
    python = venv / "bin" / "python"
    present = version_of(package, python)
    if present is None or present != (version or present):
        wanted = f"{package}=={version}" if version else package
        print(f"installing {wanted} into {venv} (once)", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", wanted], check=True)
    return python.parent


def version_of(package: str, python: Path) -> str | None:
    """The version of a package that an interpreter has."""
    if not python.exists():
        return None
    code = f"from importlib.metadata import version; print(version('{package}'))"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def main() -> None:
    """Let both take turns, print both times and their ratio, and exit with 1 if it is too low."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--length", type=int, default=10, help="runs in a chain (default: 10)")
    parser.add_argument("--repeats", type=int, default=2, help="chains of each (default: 2)")
    parser.add_argument("--warm", action="store_true", help="with `python: warm`, too")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--peer-venv", type=Path, default=DEFAULT_PEER_VENV, metavar="DIR")
    options = parser.parse_args()
    if min(options.length, options.repeats) < 1:
        parser.error("a chain has at least one run, and is measured at least once")
    end_cleanly_when_terminated()

    peers = peer_programs(options.peer_venv.absolute())
    contestants = {"ours": (PROGRAMS, FILES), "peer": (peers, FILES)}
    if options.warm:
        contestants["warm"] = (PROGRAMS, {**FILES, **WARM})
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(options.repeats):
        for name, (programs, files) in contestants.items():
            seconds[name].append(round(chain(FIRST[name], options.length, programs, files), 3))

    medians = {name: statistics.median(seconds[name]) for name in contestants}
    ratios = {name: round(medians["peer"] / medians[name], 1) for name in medians}
    promised = {"ours": RATIO, "warm": WARM_RATIO}
    passed = all(ratios[name] >= promised[name] for name in promised if name in ratios)
    steps = {name: round(1000 * medians[name] / options.length, 1) for name in medians}
    limits = {"warm": f"; promised: at most {WARM_STEP_MS:g}"}
    passed = passed and steps.get("warm", 0.0) <= WARM_STEP_MS
    result = {
        "machine": machine(),
        "length": options.length,
        "peer": f"motoko {PEER}",
        "seconds": seconds,
        "step_ms": steps,
        "ratios": ratios,
        "passed": passed,
    }
    lines = [
        f"a chain of {options.length} null runs, seconds from start to end of the "
        "orchestrator's main",
        *(
            f"  {label:<13}{medians[name]:8.2f}   "
            f"({', '.join(f'{each:.2f}' for each in seconds[name])})"
            for name, label in (("ours", "ours"), ("warm", "warm"), ("peer", f"motoko {PEER}"))
            if name in medians
        ),
        *(
            f"  {'ratio':<13}{ratios[name]:8.1f}   ({name}; promised: at least {promised[name]:g})"
            for name in promised
            if name in ratios
        ),
        *(
            f"  {'a step, ms':<13}{ms:8.1f}   ({name}{limits.get(name, '')})"
            for name, ms in steps.items()
        ),
        f"on {machine()}",
        "PASS" if passed else "FAIL",
    ]
    report(result, "\n".join(lines), as_json=options.json)


if __name__ == "__main__":
    main()
