"""How long an await still sleeps after the commit that it waits for, compared with motoko 0.1.4.

A process of its own, the writer, sets a run to FINISHED and commits. The script measures the time
from the commit's return there to the moment when the coroutine of an orchestrator that awaits
this run continues and reads FINISHED: both by the monotonic clock, which all processes share. No
launcher runs. There is one commit at a time: the next comes when the orchestrator has answered,
awaits the next run, and a random pause has passed, so that this is a latency and not a
throughput.

Ours is measured in studies of different sizes, and with up to a thousand awaits of other runs
pending in the same orchestrator. Both get the same scripts, each in a virtual environment of its
own; 0.1.4 is measured with the fewest runs and a single await. Since 0.1.4 looks every two
seconds, the pause before a commit is up to two seconds there: so a commit comes at any moment
between two looks.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path

from chain import DEFAULT_PEER_VENV, PEER, peer_programs
from create import FILES as CREATE_FILES
from create import Study
from scratch import end_cleanly_when_terminated, machine, percentile, report

MEDIAN = 3.0  # promised, in medians of the commits' own duration
P99 = 10.0
GROWTH = 1.5  # of the median, from the fewest runs (awaits) to the most
RATIO = 200.0
FULL = 100_000  # runs
PAUSE_S, PEER_PAUSE_S = 0.01, 2.0  # at most
WARM_UP, PEER_WARM_UP = 10, 1

FILES = {
    **CREATE_FILES,
    "orchestrator.py": """\
import asyncio
import time

from motoko.task_manager import RunList


def populate_arg_parser(parser):
    parser.add_argument("--awaits", type=int, required=True)
    parser.add_argument("--form", required=True)


async def main(workflow, awaits, form, **params):
    try:
        await answer(workflow.step, awaits, form)
    finally:
        workflow.finished = True


async def answer(study, awaits, form):
    base = study.connect()
    numbers = sorted(base.runs.keys())

    async def wait_for(number):
        run = base.runs[number]
        job = base.jobs[run["job_id"]]
        if form == "select":
            await study.select([f"x = {job['x']}", "state = FINISHED"])
        else:
            await RunList([(run, job)])
        assert run["state"] == "FINISHED", run["state"]
        return time.monotonic_ns()

    others = [asyncio.create_task(wait_for(each)) for each in numbers[len(numbers) - awaits + 1 :]]
    reader, writer = await asyncio.open_unix_connection("socket")
    while line := await reader.readline():
        waiting = asyncio.create_task(wait_for(int(line)))
        await asyncio.sleep(0.001)
        writer.write(b"waiting\\n")
        writer.write(b"%d\\n" % await asyncio.wait_for(waiting, 100))
    assert not any(each.done() for each in others)
""",
    "writer.py": """\
import json
import random
import socket
import sys
import time

import transaction

from motoko.workflow import Workflow

samples, warm_up, pause = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
runs = Workflow("motoko.yaml").step.connect().runs
numbers = sorted(runs.keys())
numbers = numbers[: len(numbers) // 2]  # the others are for the other awaits
numbers = numbers[:: max(1, len(numbers) // (samples + warm_up))]
listening = socket.socket(socket.AF_UNIX)
listening.bind("socket")
listening.listen()
listening.settimeout(120)
print("ready", flush=True)
connection, _ = listening.accept()
connection.settimeout(120)
found = []
with connection, connection.makefile("rw") as orchestrator:
    for i in range(samples + warm_up):
        if i % len(numbers) == 0:  # all are FINISHED, in the end: begin anew
            for number in numbers:
                runs[number]["state"] = "CREATED"
            transaction.commit()
            time.sleep(0.5)
        run = runs[numbers[i % len(numbers)]]
        print(run["id"], file=orchestrator, flush=True)
        assert orchestrator.readline() == "waiting\\n"
        time.sleep(random.uniform(pause / 5, pause))
        run["state"] = "FINISHED"
        started = time.monotonic_ns()
        transaction.commit()
        committed = time.monotonic_ns()
        awake = int(orchestrator.readline())
        found.append((committed - started, awake - committed))
print(json.dumps(found[warm_up:]))
""",
}


@dataclass(frozen=True)
class Row:
    """What was measured with these numbers of runs and awaits; milliseconds."""

    runs: int
    awaits: int
    samples: int
    commit: float
    median: float
    p99: float

    def line(self) -> str:
        """For people."""
        return (
            f"  {self.runs:9,}{self.awaits:8,}{self.samples:9,}"
            f"{self.commit:10.2f}{self.median:10.2f}{self.p99:10.2f}"
        )


def measure(study: Study, runs: int, awaits: int, samples: int, form: str) -> Row:
    """Let a writer commit and an orchestrator wait, this many times."""
    warm_up, pause = (WARM_UP, PAUSE_S) if study.ours else (PEER_WARM_UP, PEER_PAUSE_S)
    (study.directory / "socket").unlink(missing_ok=True)
    writer = study.start("writer.py", samples, warm_up, pause)
    study.motoko(
        *("orchestrator", "start", "--run_name", "benchmark"),
        *("--awaits", str(awaits), "--form", form),
        timeout=600 + 100 * samples,
    )
    found = study.answer("writer.py", writer)
    commits, latencies = ([each / 1e6 for each in column] for column in zip(*found, strict=True))
    return Row(
        runs,
        awaits,
        samples,
        round(statistics.median(commits), 3),
        round(statistics.median(latencies), 3),
        round(percentile(latencies, 99), 3),
    )


def measure_ours(sizes: list[int], awaits: list[int], options: argparse.Namespace) -> list[Row]:
    """One await in studies of these sizes, and more awaits in the largest before ``FULL``."""
    rows = []
    with Study(FILES) as study:
        study.serve()
        runs = 0
        for size in sizes:
            runs = study.fill(runs, size)
            for count in awaits if size == max(options.runs) else awaits[:1]:
                rows.append(measure(study, runs, count, options.samples, options.form))
    return rows


def measure_peer(options: argparse.Namespace) -> Row:
    """The peer, with the fewest runs and one await."""
    with Study(FILES, peer_programs(options.peer_venv.absolute())) as study:
        study.serve()
        runs = study.fill(0, min(options.runs))
        return measure(study, runs, 1, options.peer_samples, options.form)


def main() -> None:
    """Measure, print a table, and exit with 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=300, help="a row (default: 300)")
    parser.add_argument("--peer-samples", type=int, default=15, help="(default: 15)")
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 10_000], metavar="N")
    parser.add_argument("--awaits", type=int, nargs="+", default=[1, 100, 1000], metavar="N")
    parser.add_argument(
        "--form", choices=("runs", "select"), default="runs", help="what is awaited (default: runs)"
    )
    parser.add_argument("--full", action="store_true", help=f"with {FULL:,} runs, too")
    parser.add_argument("--skip-peer", action="store_true", help="measure ours only")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--peer-venv", type=Path, default=DEFAULT_PEER_VENV, metavar="DIR")
    options = parser.parse_args()
    sizes = sorted({*options.runs, *([FULL] if options.full else [])})
    awaits = sorted(set(options.awaits))
    if min(options.samples, options.peer_samples, *awaits) < 1 or sizes[0] < 2 * awaits[0]:
        parser.error("numbers have to be positive, and runs twice as many as awaits")
    if max(options.runs) < 2 * awaits[-1]:
        parser.error("the most awaits need a study of twice as many runs")
    end_cleanly_when_terminated()

    peer = None if options.skip_peer else measure_peer(options)
    rows = measure_ours(sizes, awaits, options)
    single = [row for row in rows if row.awaits == awaits[0]]
    several = [row for row in rows if row.runs == max(options.runs)]
    limits = {
        "median, in commits": (max(row.median / row.commit for row in rows), MEDIAN),
        "p99, in commits": (max(row.p99 / row.commit for row in rows), P99),
        "growth of the median, with runs": (single[-1].median / single[0].median, GROWTH),
        "growth of the median, with awaits": (several[-1].median / several[0].median, GROWTH),
    }
    ratio = round(peer.median / rows[0].median) if peer else None
    passed = all(value <= limit for value, limit in limits.values())
    passed = passed and (ratio is None or ratio >= RATIO)
    result = {
        "machine": machine(),
        "form": options.form,
        "rows": [asdict(row) for row in rows],
        "peer": peer and {"version": PEER, **asdict(peer)},
        **{what: round(value, 2) for what, (value, _) in limits.items()},
        "ratio": ratio,
        "passed": passed,
    }
    lines = [
        f"from a commit's return to that of the await ({options.form}), milliseconds",
        f"  {'runs':>9}{'awaits':>8}{'samples':>9}{'commit':>10}{'median':>10}{'p99':>10}",
        *(row.line() for row in rows),
        *([f"{peer.line()}   motoko {PEER}"] if peer else []),
        *(
            f"  {what:<34}{value:>12.2f}   (promised: at most {limit:g})"
            for what, (value, limit) in limits.items()
        ),
        *([f"  {'ratio':<34}{ratio:>12,}   (promised: at least {RATIO:g})"] if ratio else []),
        f"on {machine()}",
        "PASS" if passed else "FAIL",
    ]
    report(result, "\n".join(lines), as_json=options.json)


if __name__ == "__main__":
    main()
