"""What creating runs costs: many at once (beside motoko 0.1.4), and one more in a large study.

Many at once: ``createTask(x=[...])`` and ``transaction.commit()``, in a study without runs, by a
script in a process of its own. Both get the same script, and a study that their own ``motoko
create`` has made, each in a virtual environment of its own; they take turns, and while one
version is measured no process of the other runs.

One more, ours only: ``createTask(x=new, commit=True)``, several times in a row in a fresh
process, in a study that is filled further and further. A commit also waits for the disk, which is
not Motoko's cost.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from pathlib import Path
from typing import Any

from chain import DEFAULT_PEER_VENV, PEER, peer_programs
from scratch import PROGRAMS, Scratch, end_cleanly_when_terminated, machine, report

RATIO = 5.0  # promised for many at once
GROWTH = 2.0  # the slowest of the sizes is less than this many times the fastest
SIZES = (100, 1_000, 10_000)
FULL_SIZES = (*SIZES, 50_000)
AT_ONCE = 5_000  # runs of a commit while a study is being filled

FILES = {
    "motoko.yaml": "task_managers:\n  step:\n\norchestrator: orchestrator.main\n",
    "orchestrator.py": """\
def populate_arg_parser(parser):
    pass


async def main(workflow, **params):
    workflow.finished = True
""",
    "step/bd.yaml": "study: step\n\njob:\n  x: int\n",
    "step/launch.sh": "python doIt.py\n",
    "step/doIt.py": "",
    "create.py": """\
import json
import sys
import time

import transaction

from motoko.workflow import Workflow

how, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
workflow = Workflow("motoko.yaml")
workflow.run_name = "benchmark"
(name,) = sys.argv[4:] or ["step"]
study = workflow.task_managers[name]
study.connect()
values = list(range(first, first + count))
seconds = []
for batch in [values] if how == "at-once" else values:
    started = time.perf_counter()
    study.createTask(x=batch, commit=how == "each")
    transaction.commit()
    seconds.append(time.perf_counter() - started)
found = len(list(study.base.runs.keys()))
assert found == first + count, f"{found} runs were created, instead of {first + count}"
with open("result.json", "w") as file:
    json.dump(seconds, file)
""",
}


class Study(Scratch):
    """A workflow whose one study has a running server, and scripts that use it."""

    def __init__(self, files: dict[str, str], programs: Path = PROGRAMS) -> None:
        super().__init__(files, programs)
        self.ours = programs == PROGRAMS
        self._python = programs / "python"

    def serve(self) -> None:
        """Make the database, and have it served."""
        self.motoko("create", "--validated", "./")
        if self.ours:  # the peer's `create` leaves its servers running
            self.motoko("supervise", "--detach", "--no-launchers")

    def script(self, name: str, *arguments: object, timeout: float = 1800.0) -> Any:
        """Run a script in a process of its own; what it writes to ``result.json``."""
        result = self.directory / "result.json"
        result.unlink(missing_ok=True)
        log = self.directory / f"{name}.log"
        with log.open("w") as output:
            done = subprocess.run(
                [self._python, name, *map(str, arguments)],
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            )
        if done.returncode or not result.exists():
            raise RuntimeError(f"{name} exits {done.returncode}:\n{log.read_text()}")
        return json.loads(result.read_text())

    def fill(self, present: int, wanted: int, study: str = "step") -> int:
        """Create runs until there are this many; returns how many there are."""
        while present < wanted:
            count = min(AT_ONCE, wanted - present)
            self.script("create.py", "at-once", present, count, study)
            present += count
        return present

    def start(self, name: str, *arguments: object) -> subprocess.Popen[str]:
        """Start a script, and return when it has printed ``ready``; see :meth:`answer`."""
        with (self.directory / f"{name}.log").open("a") as errors:
            process = subprocess.Popen(
                [self._python, name, *map(str, arguments)],
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert process.stdout is not None
        if not any(line == "ready\n" for line in process.stdout):
            raise RuntimeError(f"{name} does not start:\n{self._log(name)}")
        return process

    def answer(self, name: str, process: subprocess.Popen[str], timeout: float = 600.0) -> Any:
        """What a started script prints last, as JSON; its standard input is closed."""
        lines = process.communicate(timeout=timeout)[0].splitlines()
        if process.returncode or not lines:
            raise RuntimeError(f"{name} exits {process.returncode}:\n{self._log(name)}")
        return json.loads(lines[-1])

    def _log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text()


def at_once(runs: int, programs: Path) -> float:
    """Seconds for this many runs with one ``createTask`` and its commit, in a new study."""
    with Study(FILES, programs) as study:
        study.serve()
        (seconds,) = study.script("create.py", "at-once", 0, runs)
        return float(seconds)


def one_more(sizes: tuple[int, ...], repeats: int) -> dict[int, list[float]]:
    """Seconds for each of some single creations, by the number of runs in the study before."""
    found = {}
    with Study(FILES) as study:
        study.serve()
        runs = 0
        for size in sizes:
            runs = study.fill(runs, size)
            found[size] = study.script("create.py", "each", runs, repeats)
            runs += repeats
    return found


def main() -> None:
    """Measure both, print a table, and exit with 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=2000, help="runs at once (default: 2000)")
    parser.add_argument("--repeats", type=int, default=1, help="turns of each (default: 1)")
    parser.add_argument("--full", action="store_true", help="one more among 50,000 runs, too")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--peer-venv", type=Path, default=DEFAULT_PEER_VENV, metavar="DIR")
    options = parser.parse_args()
    if min(options.runs, options.repeats) < 1:
        parser.error("at least one run is created, and measured at least once")
    end_cleanly_when_terminated()

    singles = one_more(FULL_SIZES if options.full else SIZES, repeats=20)
    contestants = {"ours": PROGRAMS, "peer": peer_programs(options.peer_venv.absolute())}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(options.repeats):
        for name, programs in contestants.items():
            seconds[name].append(round(at_once(options.runs, programs), 3))

    ours, peer = (statistics.median(seconds[name]) for name in contestants)
    ratio = round(peer / ours, 1)
    milliseconds = {
        size: round(1000 * statistics.median(each), 2) for size, each in singles.items()
    }
    growth = round(max(milliseconds.values()) / min(milliseconds.values()), 2)
    passed = ratio >= RATIO and growth < GROWTH
    result = {
        "machine": machine(),
        "runs": options.runs,
        "peer": f"motoko {PEER}",
        "seconds": seconds,
        "ratio": ratio,
        "one_more_ms": milliseconds,
        "growth": growth,
        "passed": passed,
    }
    lines = [
        f"createTask of {options.runs} runs at once and its commit, seconds",
        *(
            f"  {label:<13}{statistics.median(seconds[name]):8.2f}   "
            f"({', '.join(f'{each:.2f}' for each in seconds[name])})"
            for name, label in (("ours", "ours"), ("peer", f"motoko {PEER}"))
        ),
        f"  {'ratio':<13}{ratio:8.1f}   (promised: at least {RATIO:g})",
        "createTask of one more run and its commit, milliseconds: median of 20 (fastest, slowest)",
        *(
            f"  among {size:<7,}{milliseconds[size]:8.2f}   "
            f"({1000 * min(each):.2f}, {1000 * max(each):.2f})"
            for size, each in singles.items()
        ),
        f"  {'growth':<13}{growth:8.2f}   (promised: under {GROWTH:g})",
        f"on {machine()}",
        "PASS" if passed else "FAIL",
    ]
    report(result, "\n".join(lines), as_json=options.json)


if __name__ == "__main__":
    main()
