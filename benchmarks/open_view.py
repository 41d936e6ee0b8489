"""What open views cost: a workflow's speed, memory, and CPU time while nothing happens.

Many independent plain runs (see plain.py) are executed in pairs of turns, one without and one with
the views open, in changing order; in the end the study has 10,000 runs. `motoko top` is in a pseudo
terminal of 80x24 that this script reads, and shows its tables in turn: the studies, the runs, the
events. `motoko web` has a client that asks what its page does: what has changed, and then the runs
that are in sight. Afterwards nothing happens for some time.

On a machine with other work the seconds vary, and the CPU times hardly: they include all that the
workflow's processes have waited for.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import http.client
import json
import os
import pty
import re
import resource
import statistics
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import psutil
from plain import FILES, WARM_UP, orchestrate
from scratch import Scratch, cpu_s, end_cleanly_when_terminated, machine, report

SLOWER = 0.05  # promised: at most this part
MEMORY_MB = 150.0  # promised
CPU_S_A_MINUTE = 0.3  # promised, while nothing happens
SETTLE_S = 10.0
TABLES = ("1", "2", "6")


class View:
    """`motoko top` in a terminal. ``take`` gets what it writes."""

    def __init__(
        self, scratch: Scratch, take: Callable[[bytes], object] = lambda text: None
    ) -> None:
        self._take = take
        self._mine, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.started = subprocess.Popen(
            [scratch._motoko, "top"],
            cwd=scratch.directory,
            env={**scratch._environment, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.process = psutil.Process(self.started.pid)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the terminal is closed
            while text := os.read(self._mine, 1 << 16):
                self._take(text)

    def press(self, key: str) -> None:
        """Press a key."""
        os.write(self._mine, key.encode())

    @property
    def megabytes(self) -> float:
        """Its resident memory."""
        return round(float(self.process.memory_info().rss) / 1e6, 1)

    def close(self) -> None:
        """Leave it."""
        self.press("q")
        self.started.wait(20)
        os.close(self._mine)


class Page:
    """`motoko web`, and what its page asks."""

    def __init__(self, scratch: Scratch) -> None:
        self.started = subprocess.Popen(
            [scratch._motoko, "web", "--port", "0"],
            cwd=scratch.directory,
            env={**scratch._environment, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.started.stdout is not None
        line = self.started.stdout.readline()
        self._host, self._token = re.findall(r"http://(.*)/#(.*)", line)[0]
        self.process = psutil.Process(self.started.pid)
        threading.Thread(target=self._read, daemon=True).start()

    def press(self, key: str) -> None:
        """A page shows all tables at once."""

    def _read(self) -> None:
        connection, other = (http.client.HTTPConnection(self._host) for _ in range(2))
        headers = {"Origin": f"http://{self._host}"}
        connection.request("POST", "/api/session", self._token, headers)
        headers["Authorization"] = f"Bearer {json.load(connection.getresponse())['key']}"
        connection.request("GET", "/api/stream", headers=headers)
        stream = connection.getresponse()
        changes = -1
        with contextlib.suppress(OSError, http.client.HTTPException):  # the server has ended
            while line := stream.readline():
                if not line.startswith(b"data: "):
                    continue
                study = json.loads(line[6:])["studies"][0]
                if study["changes"] != changes:
                    changes = study["changes"]
                    query = f"/api/runs?study={study['name']}&count=100"
                    other.request("GET", query, headers=headers)
                    other.getresponse().read()

    @property
    def megabytes(self) -> float:
        """Its resident memory."""
        return round(float(self.process.memory_info().rss) / 1e6, 1)

    def close(self) -> None:
        """End it."""
        self.started.terminate()
        self.started.wait(20)


@contextlib.contextmanager
def viewed(scratch: Scratch, kinds: Sequence[type[View | Page]]) -> Iterator[list[View | Page]]:
    """Open views."""
    views = [kind(scratch) for kind in kinds]
    try:
        time.sleep(SETTLE_S / 2)
        yield views
    finally:
        for view in views:
            view.close()


@dataclass(frozen=True)
class Round:
    """One turn: seconds, and CPU seconds of all of the workflow and of the views."""

    wall_s: float
    cpu_s: float
    views_cpu_s: float = 0.0


@dataclass(frozen=True)
class Found:
    """What was measured: pairs of turns without and with the views, and the views themselves."""

    without: list[Round]
    with_views: list[Round]
    memory_mb: dict[str, float]
    idle_s_a_minute: dict[str, float]

    @property
    def slower(self) -> float:
        """How much slower the workflow is: a part."""
        return self._more(lambda turn: turn.wall_s)

    @property
    def more_cpu(self) -> float:
        """How much more CPU time all of it takes, the views included: a part."""
        return self._more(lambda turn: turn.cpu_s)

    @property
    def views_share(self) -> float:
        """The views' CPU time, as a part of all."""
        return round(statistics.median(one.views_cpu_s / one.cpu_s for one in self.with_views), 4)

    @property
    def passed(self) -> bool:
        """Whether the promises are kept."""
        return (
            self.slower <= SLOWER
            and max(self.memory_mb.values()) <= MEMORY_MB
            and max(self.idle_s_a_minute.values()) <= CPU_S_A_MINUTE
        )

    def _more(self, of: Callable[[Round], float]) -> float:
        medians = (statistics.median(map(of, turns)) for turns in (self.with_views, self.without))
        return round(next(medians) / next(medians) - 1, 4)


def all_cpu_s(scratch: Scratch) -> float:
    """CPU seconds of the workflow's processes, and of all that they have waited for."""
    total = 0.0
    for process in scratch.processes():
        with contextlib.suppress(psutil.Error):  # it has just ended
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)  # orchestrators, and views before
    return total + ended.ru_utime + ended.ru_stime


def turn(scratch: Scratch, name: str, runs: int, views: Sequence[View | Page]) -> Round:
    """Execute some runs."""
    before, mine = all_cpu_s(scratch), sum(cpu_s(view.process) for view in views)
    wall = orchestrate(scratch, name, runs=runs)
    used = sum(cpu_s(view.process) for view in views) - mine
    return Round(round(wall, 3), round(all_cpu_s(scratch) - before, 2), round(used, 2))


def measure(options: argparse.Namespace) -> Found:
    """Pairs of turns, whose order changes, then nothing."""
    kinds = [KINDS[name] for name in options.views]
    turns: dict[bool, list[Round]] = {False: [], True: []}
    memory = dict.fromkeys(options.views, 0.0)
    with Scratch(FILES) as scratch:
        scratch.motoko("create", "--validated", "./")
        scratch.motoko("launcher")
        orchestrate(scratch, "first", runs=WARM_UP)
        for number in range(options.pairs):
            for has_views in (False, True) if number % 2 else (True, False):
                with viewed(scratch, kinds if has_views else ()) as views:
                    for view in views:
                        view.press(TABLES[number % len(TABLES)])
                    name = f"{number}-{has_views}"
                    turns[has_views].append(turn(scratch, name, options.runs, views))
                    for name, view in zip(options.views, views, strict=False):
                        memory[name] = max(memory[name], view.megabytes)
        with viewed(scratch, kinds) as views:
            time.sleep(SETTLE_S)
            started = [cpu_s(view.process) for view in views]
            time.sleep(options.idle_seconds)
            idle = {
                name: round((cpu_s(view.process) - since) * 60 / options.idle_seconds, 3)
                for name, view, since in zip(options.views, views, started, strict=True)
            }
    return Found(turns[False], turns[True], memory, idle)


def main() -> None:
    """Measure, print a table, and exit with 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=500, help="in a turn (default: 500)")
    parser.add_argument("--pairs", type=int, default=10, help="of turns (default: 10)")
    parser.add_argument("--idle-seconds", type=float, default=60.0, help="(default: 60)")
    parser.add_argument(
        "--views", nargs="+", choices=KINDS, default=[*KINDS], help="which are open (default: all)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if min(options.runs, options.pairs) < 1 or options.idle_seconds <= 0:
        parser.error("the numbers have to be positive")
    end_cleanly_when_terminated()
    found = measure(options)
    parts = {name: getattr(found, name) for name in ("slower", "more_cpu", "views_share")}
    result = {**asdict(found), **parts, "machine": machine(), "passed": found.passed}
    walls = {
        name: ", ".join(f"{one.wall_s:.2f}" for one in turns)
        for name, turns in (("without", found.without), ("with", found.with_views))
    }
    most = f"(promised: at most {CPU_S_A_MINUTE} each)"
    text = f"""\
{options.pairs} pairs of {options.runs} runs, {machine()}
  without a view     {walls["without"]} s
  {" and ".join(options.views):<19}{walls["with"]} s
  slower             {found.slower:+.1%}, ratio of the medians (promised: at most {SLOWER:.0%})
  more CPU time      {found.more_cpu:+.1%}, of which the views {found.views_share:.1%}
  memory             {found.memory_mb} MB (promised: at most {MEMORY_MB:.0f} each)
  nothing happens    {found.idle_s_a_minute} CPU s a minute {most}
{"PASS" if found.passed else "FAIL"}"""
    report(result, text, as_json=options.json)


KINDS: dict[str, type[View | Page]] = {"top": View, "web": Page}


if __name__ == "__main__":
    main()
