"""What queries, the watcher and new runs cost in a study of very many runs.

Studies of 10,000 and 100,000 ended runs (``--full``: 1,000,000) are made once by big_study.py, and
kept in a cache directory. A copy of each is supervised, without launchers. The script measures

- *selections* of 100 runs in a fresh process: the first one, and the next with other constraints,
  with the most memory that the process has had;
- *commands*: ``motoko info``, and ``motoko table`` with all rows and ten columns into a file;
- the *watcher*: the seconds from its start until it is ready, with a mirror that is current; the
  most memory that it has had by the end;
- *creating*: ``createTask`` of 2,000 runs at once with their commit, the median of three.

The first selection among 100,000 is compared with that of an earlier version, in a copy of the
same study (``--before`` names the directory of its programs), or else with a look at all runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from big_study import JOB_PARAMETERS, RESULTS, STUDY, cached
from create import FILES, Study
from scratch import PROGRAMS, end_cleanly_when_terminated, machine, report
from watcher import watcher

SIZES = (10_000, 100_000)
FULL_SIZES = (*SIZES, 1_000_000)
RATIO_AT, RATIO = 100_000, 150.0  # of the earlier version's selection to ours
COLUMNS = (*JOB_PARAMETERS, *RESULTS)
CREATED = 2_000  # at once
CREATIONS = 3
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "motoko-benchmarks"
READY_S = 1_800.0
FIRST_TURNS = 3

SELECT = """\
import json
import sys
import time

from motoko.workflow import Workflow

how = sys.argv[1]
workflow = Workflow("motoko.yaml")
(study,) = workflow.task_managers.values()
started = time.perf_counter()
study.connect()
if how == "select":
    found = len(study.select("x < 100"))
else:
    jobs = study.base.jobs.entries
    found = sum(jobs[run.entries["job_id"]].entries["x"] < 100 for run in study.base.all_runs())
first = time.perf_counter() - started
assert found == 100, f"{found} instead of 100"
started = time.perf_counter()
if how == "select":
    found = len(study.select("x >= 300 and x < 400 and runs.state != CREATED"))
following = time.perf_counter() - started
assert found == 100, f"{found} instead of 100"
(peak,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
with open("result.json", "w") as file:
    json.dump({"first": first, "following": following, "mb": int(peak) / 1000}, file)
"""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure that was measured, and what is promised about it.

    Attributes:
        what: what it is.
        value: the figure.
        unit: its unit.
        limit: the most that it may be; ``None`` if nothing is promised.
    """

    what: str
    value: float
    unit: str
    limit: float | None = None
    at_least: bool = False

    @property
    def is_kept(self) -> bool:
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def line(self) -> str:
        """Of the table."""
        word = "at least" if self.at_least else "at most"
        promised = f"   (promised: {word} {self.limit:g})" if self.limit is not None else ""
        return f"  {self.what:<52}{self.value:>10.3f} {self.unit:<3}{promised}"


class BigStudy(Study):
    """A copy of a study of many runs, which is supervised while the block runs."""

    def __init__(self, source: Path, programs: Path = PROGRAMS, *, mirrored: bool = True) -> None:
        super().__init__({"create.py": FILES["create.py"], "ask.py": SELECT}, programs)
        others = () if mirrored else (".wf",)
        ignored = shutil.ignore_patterns("complete", "*.lock", "*.tmp", *others)
        shutil.copytree(source, self.directory, ignore=ignored, dirs_exist_ok=True)

    def serve(self) -> None:
        self.motoko("supervise", "--detach", "--no-launchers", timeout=READY_S)

    def usage(self, *arguments: str) -> tuple[float, float]:
        """Seconds and the most MB of a motoko command."""
        with tempfile.TemporaryFile("w+", dir=self.directory) as output:
            started = time.perf_counter()
            process = subprocess.Popen(
                [self._motoko, *arguments],
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            if process.returncode:
                raise RuntimeError(f"motoko {' '.join(arguments)}:\n{output.read()}")
        return seconds, used.ru_maxrss / 1000

    def ready_after(self) -> float:
        """The seconds from the watcher's start until it was ready; its mirror was current."""
        log = (self.directory / ".wf" / "log" / "watcher.log").read_text()
        if "made anew" in log or "read anew" in log:
            raise RuntimeError(f"the watcher could not use the mirror:\n{log}")
        (at,) = [line.split()[0] for line in log.splitlines() if line.endswith(" ready")]
        return datetime.fromisoformat(at).timestamp() - watcher(self).create_time()


def questions(study: BigStudy, runs: int) -> list[Figure]:
    """What the selections and the commands take."""
    turns = [study.script("ask.py", "select") for _ in range(FIRST_TURNS)]
    median = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
    figures = [
        Figure("the first selection", median["first"], "s", 1.0 if runs > RATIO_AT else 0.5),
        Figure("the next selection", median["following"], "s", 0.3),
        Figure("memory of that process", median["mb"], "MB", 150.0),
    ]
    columns = ("--columns", ",".join(COLUMNS))
    seconds, _ = study.usage("info")
    figures.append(Figure("motoko info", seconds, "s", 2.0))
    for suffix, limit in (("parquet", 10.0), ("csv", 15.0)):
        seconds, mb = study.usage("table", STUDY, *columns, "-o", f"all.{suffix}")
        figures.append(Figure(f"motoko table to {suffix}", seconds, "s", limit))
        figures.append(Figure(f"motoko table to {suffix}: memory", mb, "MB", 500.0))
    return figures


def creating(study: BigStudy, runs: int) -> Figure:
    """Milliseconds for one of many runs that are created at once."""
    (study.directory / "points.py").write_text(CREATE)
    found = [study.script("points.py", runs + turn * CREATED, CREATED) for turn in range(CREATIONS)]
    return Figure("creating a run", 1000 * statistics.median(found) / CREATED, "ms", 1.5)


CREATE = """\
import json
import sys
import time

import transaction

from motoko.workflow import Workflow

first, count = int(sys.argv[1]), int(sys.argv[2])
workflow = Workflow("motoko.yaml")
workflow.run_name = "benchmark"
(study,) = workflow.task_managers.values()
study.connect()
values = [float(value) for value in range(first, first + count)]
started = time.perf_counter()
study.createTask(x=values, y=0, load=1e9, mesh="coarse", steps=1)
transaction.commit()
seconds = time.perf_counter() - started
assert study.base.runs.entries.maxKey() == first + count
with open("result.json", "w") as file:
    json.dump(seconds, file)
"""


def before(source: Path, programs: Path | None) -> float:
    """Seconds of the first selection by an earlier version, or of a look at all runs."""
    with BigStudy(source, programs or PROGRAMS, mirrored=programs is None) as study:
        study.serve()
        answer = study.script("ask.py", "select" if programs else "look")
        return float(answer["first"])


def measure(source: Path, runs: int, programs_before: Path | None) -> list[Figure]:
    """All figures of a study of this many runs."""
    with BigStudy(source) as study:
        study.serve()
        ready = Figure("the watcher is ready after", study.ready_after(), "s", 5.0)
        figures = questions(study, runs)
        figures.append(creating(study, runs))
        figures += [ready, Figure("the watcher's memory", peak_mb(watcher(study)), "MB", 150.0)]
    if runs == RATIO_AT:
        seconds = before(source, programs_before)
        what = "a version before" if programs_before else "a look at all runs"
        figures.append(Figure(f"the first selection by {what}", seconds, "s"))
        figures.append(
            Figure("ratio of the two", seconds / figures[0].value, "", RATIO, at_least=True)
        )
    return figures


def peak_mb(process: psutil.Process) -> float:
    """The most memory that a process has had, in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in status if line.startswith("VmHWM"))
    return int(peak) / 1000


def main() -> None:
    """Measure, print a table, and exit with 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="a study of 1,000,000 runs, too")
    parser.add_argument("--runs", type=int, action="append", help="these sizes instead")
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="DIR", help=f"({CACHE})")
    parser.add_argument("--before", type=Path, metavar="DIR", help="programs of an earlier version")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    end_cleanly_when_terminated()

    figures: dict[int, list[Figure]] = {}
    for runs in options.runs or (FULL_SIZES if options.full else SIZES):
        source = cached(options.cache.absolute(), runs)
        figures[runs] = measure(source, runs, options.before and options.before.absolute())
    broken = [
        f"{each.what} ({runs:,} runs)"
        for runs, found in figures.items()
        for each in found
        if not each.is_kept
    ]
    result: dict[str, Any] = {
        "machine": machine(),
        "figures": {runs: [*map(dataclasses.asdict, found)] for runs, found in figures.items()},
        "passed": not broken,
    }
    lines = []
    for runs, found in figures.items():
        lines += [f"a study of {runs:,} runs", *(each.line() for each in found)]
    lines += [f"on {machine()}", f"FAIL: {', '.join(broken)}" if broken else "PASS"]
    report(result, "\n".join(lines), as_json=options.json)


if __name__ == "__main__":
    main()
