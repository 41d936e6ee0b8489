"""How a supervisor bears many weeks: its memory and its answers after very many events.

One workflow of two studies. The sizes are the supervisor's resident memory, read again and again;
a growth is the median of the slopes between any two of them: Python takes memory in large steps,
and one step is no leak. The 20,000 requests and 100 restarts of the warm-up do not count.

- requests: ``status`` over the control socket, one after the other, as fast as possible.
- pace: 200 of them a second for 10 s; how long an answer takes.
- restarts: a launcher is killed (kill -9) as soon as it has been started, again and again; both
  launchers in turn. Here their restarts wait for 0.1 s only, and are never given up.

Requests must not disturb heartbeats and readiness: no daemon may have another pid, or another
count of restarts, afterwards.
"""

from __future__ import annotations

import argparse
import itertools
import signal
import statistics
import time
from collections.abc import Iterator
from typing import Any

import psutil
from scratch import Scratch, end_cleanly_when_terminated, machine, percentile, report

from motoko.config import load
from motoko.control.client import ask
from motoko.control.protocol import Status, StatusRequest
from motoko.host.identity import Identity
from motoko.layout import Runtime, locate

STUDIES = ("one", "two")
SAMPLES = 50
WARM_UP_REQUESTS, WARM_UP_RESTARTS = 20_000, 100  # for warming up; they do not count
BYTES_A_RESTART = 300.0
BYTES_A_REQUEST = 15.0
RATE, RATE_S = 200, 10.0
ANSWER_MS = 50.0  # 99 % of the answers at that rate
DEADLINE_S = 60.0

SETTINGS = """\
supervisor:
  attempts: 1000000
  backoff_min: 0.1
  backoff_max: 0.1
"""


def files() -> dict[str, str]:
    """The workflow; nothing in it is ever run."""
    managers = "".join(f"  {name}:\n" for name in STUDIES)
    found = {
        "motoko.yaml": f"task_managers:\n{managers}\norchestrator: orchestrator.main\n{SETTINGS}",
        "orchestrator.py": "async def main(workflow, **params):\n    workflow.finished = True\n",
    }
    for name in STUDIES:
        found[f"{name}/bd.yaml"] = f"study: {name}\n\njob:\n  x: int\n"
        found[f"{name}/launch.sh"] = "true\n"
        found[f"{name}/doIt.py"] = ""
    return found


def status(runtime: Runtime) -> Status:
    """What the supervisor answers."""
    answer = ask(runtime, StatusRequest())
    if answer is None:
        raise RuntimeError("the supervisor does not answer")
    return answer


def daemons(runtime: Runtime) -> dict[str, tuple[int | None, int]]:
    """The pid and the restarts of each daemon by name."""
    return {daemon.name: (daemon.pid, daemon.restarts) for daemon in status(runtime).daemons}


def until_ready(runtime: Runtime) -> None:
    """Return when all daemons are ready."""
    deadline = time.monotonic() + DEADLINE_S
    while (state := status(runtime).supervisor.state) != "ready":
        if time.monotonic() > deadline:
            raise RuntimeError(f"not ready in {DEADLINE_S:g} s: {state}")
        time.sleep(0.1)


def restarts(runtime: Runtime, count: int) -> Iterator[int]:
    """Kill launchers as soon as they are there; yields how many were killed, after each."""
    killed: dict[str, int | None] = dict.fromkeys(f"launcher:{study}" for study in STUDIES)
    number = 0
    deadline = time.monotonic() + DEADLINE_S
    while number < count:
        found = daemons(runtime)
        for name, last in killed.items():
            pid, _ = found[name]
            identity = None if pid in (None, last) else Identity.of(pid or 0)
            if number < count and identity is not None and identity.signal(signal.SIGKILL):
                killed[name] = pid
                number += 1
                deadline = time.monotonic() + DEADLINE_S
                yield number
        if time.monotonic() > deadline:
            raise RuntimeError(f"no launcher was started in {DEADLINE_S:g} s: {found}")
        time.sleep(0.01)


def requests(runtime: Runtime, count: int) -> Iterator[int]:
    """Ask for the status; yields how often, after each."""
    for number in range(1, count + 1):
        status(runtime)
        yield number


def growth(process: psutil.Process, events: Iterator[int], count: int) -> dict[str, Any]:
    """The memory of a process over some events: the first and the last size, and the slope."""
    every = max(1, count // SAMPLES)
    start = time.monotonic()
    sizes = [(0, process.memory_info().rss)]
    sizes += [(number, process.memory_info().rss) for number in events if number % every == 0]
    slopes = [
        (size - other) / (at - before)
        for (before, other), (at, size) in itertools.combinations(sizes, 2)
    ]
    return {
        "events": count,
        "seconds": round(time.monotonic() - start, 1),
        "first_mb": round(sizes[0][1] / 1e6, 2),
        "last_mb": round(sizes[-1][1] / 1e6, 2),
        "bytes_an_event": round(statistics.median(slopes), 1),
    }


def pace(runtime: Runtime) -> dict[str, float]:
    """Ask this often a second; how many milliseconds an answer takes."""
    count = int(RATE * RATE_S)
    times = []
    start = time.perf_counter()
    for number in range(count):
        due = start + number / RATE
        time.sleep(max(due - time.perf_counter(), 0))
        begun = time.perf_counter()
        status(runtime)
        times.append((time.perf_counter() - begun) * 1000)
    return {
        "requests_a_second": round(count / (time.perf_counter() - start), 1),
        "median_ms": round(statistics.median(times), 2),
        "p99_ms": round(percentile(times, 99), 2),
        "longest_ms": round(max(times), 2),
    }


def run(kills: int, asked: int) -> dict[str, Any]:
    """All measurements, in one workflow."""
    with Scratch(files()) as scratch:
        scratch.motoko("create")
        scratch.motoko("supervise", "--detach")
        runtime = locate(load(scratch.directory))
        assert runtime is not None, "the workflow is supervised"
        process = psutil.Process(status(runtime).supervisor.pid)
        before = daemons(runtime)
        for _ in requests(runtime, WARM_UP_REQUESTS):
            pass
        requested = growth(process, requests(runtime, asked), asked)
        paced = pace(runtime)
        state = status(runtime).supervisor.state
        undisturbed = daemons(runtime) == before and state == "ready"

        for _ in restarts(runtime, WARM_UP_RESTARTS):
            pass
        restarted = growth(process, restarts(runtime, kills), kills)
        until_ready(runtime)
        counted = sum(count for _, count in daemons(runtime).values())
    return {
        "restarts": {**restarted, "killed": WARM_UP_RESTARTS + kills, "counted": counted},
        "requests": requested,
        "pace": paced,
        "undisturbed": undisturbed,
    }


def main() -> None:
    """Measure, print a table, and exit with 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--restarts", type=int, default=500)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--full", action="store_true", help="10,000 restarts, 100,000 requests")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.full:
        options.restarts, options.requests = 10_000, 100_000
    if min(options.restarts, options.requests) < SAMPLES:
        parser.error(f"less than {SAMPLES} restarts or requests tell nothing")
    end_cleanly_when_terminated()

    found = run(options.restarts, options.requests)
    restarted, requested, paced = found["restarts"], found["requests"], found["pace"]
    promised = [
        restarted["bytes_an_event"] < BYTES_A_RESTART,
        restarted["counted"] == restarted["killed"],
        requested["bytes_an_event"] < BYTES_A_REQUEST,
        paced["p99_ms"] < ANSWER_MS,
        paced["requests_a_second"] > 0.95 * RATE,
        found["undisturbed"],
    ]
    result = {"machine": machine(), **found, "passed": all(promised)}

    def row(name: str, what: dict[str, Any], bound: float) -> str:
        return (
            f"{what['events']:>7} {name:<10}{what['first_mb']:8.2f}"
            f"{what['last_mb']:8.2f}{what['bytes_an_event']:10.1f}   (promised: under {bound:g})"
        )

    lines = [
        "the supervisor's memory, MB   from      to  bytes each",
        row("restarts", restarted, BYTES_A_RESTART),
        row("requests", requested, BYTES_A_REQUEST),
        f"all restarts counted: {restarted['counted']} of {restarted['killed']}",
        f"an answer at {paced['requests_a_second']:g} requests a second, ms: median "
        f"{paced['median_ms']:g}, p99 {paced['p99_ms']:g}, longest {paced['longest_ms']:g}"
        f"   (promised: p99 under {ANSWER_MS:g})",
        f"daemons disturbed by requests: {'none' if found['undisturbed'] else 'yes'}",
        f"on {machine()}",
        "PASS" if result["passed"] else "FAIL",
    ]
    report(result, "\n".join(lines), as_json=options.json)


if __name__ == "__main__":
    main()
