"""What the watcher costs, and how far it is behind the commits that it publishes.

- *Lag*: four writers commit states at full speed into three studies. It is the time from a
  commit's return to the moment when a subscriber in another process has decoded the transition,
  by the monotonic clock, which all processes share. Each transition has to come once, and none
  may be missing.
- *CPU a transition*: user and system time of the watcher while one writer commits many
  transitions, in a study of 100 runs and then in the same study of many more. With ``--before
  DIR`` it takes turns with the watcher of a version without the mirror: the difference is what
  the mirror costs.
- *Memory*: the resident size of a watcher that has followed the filling of some studies.
- *Idle*: its CPU time and the calls to these studies' servers while nothing happens, as in idle.py.

No launcher and no orchestrator runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import psutil
from create import FILES, Study
from idle import files, measure
from scratch import PROGRAMS, end_cleanly_when_terminated, machine, percentile, report

LAG_P99_MS = 50.0
CPU_GROWTH = 1.5
MIRROR_CPU_MS = 0.15  # more a transition than without it
TURNS = 3
RSS_MB = 200.0
IDLE_CPU_S_A_MINUTE = 0.1
STUDIES = 3
WRITERS = 4
FEW = 100  # runs
SETTLE_S = 5.0

SCRIPTS = {
    "create.py": FILES["create.py"],
    # Commits one state after the other, in turn into some runs that no other writer changes.
    "write.py": """\
import json
import sys
import time

import transaction

from motoko.workflow import Workflow

study, part, seconds, most = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
runs = Workflow("motoko.yaml").task_managers[study].connect().runs
numbers = sorted(runs.keys())
numbers = numbers[part :: max(1, len(numbers) // 25)]
mine = [(number, runs[number]) for number in numbers]
assert all(run["state"] for _, run in mine)  # loaded
print("ready", flush=True)
sys.stdin.readline()
found = []
end = time.monotonic() + seconds
while time.monotonic() < end and len(found) < most:
    number, run = mine[len(found) % len(mine)]
    state = f"STEP {time.monotonic_ns()}"
    run["state"] = state
    transaction.commit()
    found.append((study, number, state, time.monotonic_ns()))
print(json.dumps(found))
""",
    "listen.py": """\
import asyncio
import json
import sys
import time

from motoko.bus.messages import Transition
from motoko.bus.subscriber import Subscriber
from motoko.config import load
from motoko.layout import locate


async def main():
    found = []

    def note(message):
        if isinstance(message, Transition):
            found.append((message.study, message.run_id, message.new, time.monotonic_ns()))

    subscriber = Subscriber(locate(load(".")).bus_subscribe, note)
    subscriber.subscribe(b"run.")
    await subscriber.live(30)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps(found))


asyncio.run(main())
""",
}


def workflow(studies: int, programs: Path = PROGRAMS) -> Study:
    """A workflow of this many studies."""
    study = Study({**files(studies), **SCRIPTS}, programs)
    study.ours = True  # in every version
    return study


def watcher(study: Study) -> psutil.Process:
    """The watcher's process."""
    daemons = json.loads(study.motoko("ps", "--json"))["daemons"]
    (pid,) = (each["pid"] for each in daemons if each["name"] == "watcher")
    return psutil.Process(pid)


def write(study: Study, writers: list[tuple[str, int]], seconds: float, most: int) -> list[Any]:
    """Let writers (studies, and which part of their runs) commit at the same time."""
    started = [study.start("write.py", *each, seconds, most) for each in writers]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [each for process in started for each in study.answer("write.py", process)]


def lag(study: Study, seconds: float) -> dict[str, Any]:
    """How far the watcher is behind at full speed, in milliseconds."""
    names = [f"study{1 + number % STUDIES}" for number in range(WRITERS)]
    for name in sorted(set(names)):
        study.fill(0, FEW, name)
    listener = study.start("listen.py")
    written = write(
        study, [(name, part) for part, name in enumerate(names)], seconds, most=10_000_000
    )
    time.sleep(SETTLE_S)
    seen = study.answer("listen.py", listener)
    at = {tuple(key): moment for *key, moment in seen}
    lags = [(at[key] - moment) / 1e6 for *what, moment in written if (key := tuple(what)) in at]
    return {
        "transitions_a_second": round(len(written) / seconds),
        "written": len(written),
        "missing": len(written) - len(lags),
        "seen_twice": len(seen) - len(at),
        "median": round(statistics.median(lags), 3),
        "p99": round(percentile(lags, 99), 3),
    }


def cpu(study: Study, transitions: int) -> float:
    """CPU milliseconds of the watcher for each of this many transitions."""
    process = watcher(study)
    time.sleep(1.0)
    before = process.cpu_times()
    written = write(study, [("study1", 0)], 3600.0, transitions)
    time.sleep(1.0)
    after = process.cpu_times()
    assert len(written) == transitions
    spent = after.user + after.system - before.user - before.system
    return round(1000 * spent / transitions, 4)


def with_and_without(programs: Path, transitions: int) -> tuple[float, float]:
    """CPU milliseconds a transition, of this watcher and of an earlier version's: medians."""
    found: list[list[float]] = [[], []]
    with workflow(1) as present, workflow(1, programs) as earlier:
        for study in (present, earlier):
            study.serve()
            study.fill(0, FEW, "study1")
        for _ in range(TURNS):
            for figures, study in zip(found, (present, earlier), strict=True):
                figures.append(cpu(study, transitions))
    with_it, without = map(statistics.median, found)
    return with_it, without


def main() -> None:
    """Measure, print a table, and exit with 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="of the writers (default: 10)")
    parser.add_argument("--idle-seconds", type=float, default=30.0, help="(default: 30)")
    parser.add_argument("--transitions", type=int, default=3000, help="(default: 3000)")
    parser.add_argument("--runs", type=int, default=20_000, help="the most runs (default: 20000)")
    parser.add_argument("--before", type=Path, metavar="DIR", help="programs without the mirror")
    parser.add_argument("--full", action="store_true", help="memory of 5 x 20,000, not 2 x 5,000")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if min(options.seconds, options.idle_seconds, options.transitions) <= 0 or options.runs <= FEW:
        parser.error(f"numbers have to be positive, and runs more than {FEW}")
    end_cleanly_when_terminated()

    with workflow(STUDIES) as study:
        study.serve()
        behind = lag(study, options.seconds)
        few = cpu(study, options.transitions)
        study.fill(FEW, options.runs, "study1")
        many = cpu(study, options.transitions)
    pair = (
        with_and_without(options.before.absolute(), options.transitions) if options.before else ()
    )
    studies, runs = (5, 20_000) if options.full else (2, 5_000)
    with workflow(studies) as study:
        study.serve()
        for number in range(1, studies + 1):
            study.fill(0, runs, f"study{number}")
        time.sleep(SETTLE_S)
        rss = round(watcher(study).memory_info().rss / 1e6, 1)
        idle = measure(study, "idle", options.idle_seconds)
    idle_cpu = idle.cpu["watcher"]
    calls = sum(counts["calls"] for counts in idle.calls.values())

    growth = round(many / few, 2)
    more = round(pair[0] - pair[1], 3) if pair else None
    verdicts = {
        "lag": behind["p99"] < LAG_P99_MS,
        "all_seen_once": not behind["missing"] and not behind["seen_twice"],
        "cpu": growth < CPU_GROWTH,
        "mirror": more is None or more <= MIRROR_CPU_MS,
        "memory": rss < RSS_MB,
        "idle": idle_cpu < IDLE_CPU_S_A_MINUTE and not calls,
    }
    passed = all(verdicts.values())
    result = {
        "machine": machine(),
        "lag_ms": behind,
        "cpu_ms": {FEW: few, options.runs: many},
        "cpu_growth": growth,
        "cpu_ms_with_and_without_mirror": pair,
        "memory": {"studies": studies, "runs": runs, "rss_mb": rss},
        "idle": {"cpu_s_a_minute": idle_cpu, "calls": calls, "seconds": idle.seconds},
        "verdicts": verdicts,
        "passed": passed,
    }
    rows = [
        (f"lag, {WRITERS} writers, {STUDIES} studies: median, ms", f"{behind['median']:.2f}", ""),
        ("lag: p99, ms", f"{behind['p99']:.2f}", f"under {LAG_P99_MS:g}"),
        ("transitions a second", f"{behind['transitions_a_second']:,}", ""),
        ("transitions missing, of " + f"{behind['written']:,}", str(behind["missing"]), "0"),
        ("transitions seen twice", str(behind["seen_twice"]), "0"),
        (f"CPU a transition, {FEW} runs, ms", f"{few:.3f}", ""),
        (f"CPU a transition, {options.runs:,} runs, ms", f"{many:.3f}", ""),
        ("CPU a transition: growth", f"{growth:.2f}", f"under {CPU_GROWTH:g}"),
        *(
            [
                ("CPU a transition, by turns: with, ms", f"{pair[0]:.3f}", ""),
                ("CPU a transition, by turns: before, ms", f"{pair[1]:.3f}", ""),
                ("CPU a transition: what the mirror adds", f"{more:.3f}", f"{MIRROR_CPU_MS:g}"),
            ]
            if pair
            else []
        ),
        (f"memory, {studies} studies of {runs:,} runs, MB", f"{rss:.0f}", f"under {RSS_MB:g}"),
        ("idle: CPU s/min", f"{idle_cpu:.3f}", f"under {IDLE_CPU_S_A_MINUTE:g}"),
        ("idle: storage calls", str(calls), "0"),
    ]
    lines = [
        "the watcher",
        *(
            f"  {what:<42}{value:>10}{'   (promised: ' + promised + ')' if promised else ''}"
            for what, value, promised in rows
        ),
        f"on {machine()}",
        "PASS" if passed else f"FAIL: {', '.join(name for name, ok in verdicts.items() if not ok)}",
    ]
    report(result, "\n".join(lines), as_json=options.json)


if __name__ == "__main__":
    main()
