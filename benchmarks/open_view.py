"""What an open view costs: a workflow's speed, memory, and CPU time while nothing happens.

Many independent plain runs (see plain.py) are executed in turns, without and with `motoko top` in a
terminal of 80x24; the terminal is a pseudo terminal that this script reads. Each table is shown in
turn: the studies, the runs, the events. Afterwards nothing happens for some time. With ``--web``
the view is `motoko web`, and a client that asks what its page does: what has changed, and then the
runs that are in sight.
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
import statistics
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
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
    """`motoko top` in a terminal."""

    def __init__(self, scratch: Scratch) -> None:
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
            while os.read(self._mine, 1 << 16):
                pass

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
def viewed(scratch: Scratch, kind: type[View | Page]) -> Iterator[View | Page]:
    """An open view."""
    view = kind(scratch)
    try:
        time.sleep(SETTLE_S / 2)
        yield view
    finally:
        view.close()


@dataclass(frozen=True)
class Found:
    """What was measured: seconds of each turn, without the view and with each table of it."""

    without_s: list[float]
    with_s: list[float]
    memory_mb: float
    cpu_share: float  # of one core, at full speed
    idle_s_a_minute: float

    @property
    def slower(self) -> float:
        """How much slower the workflow is: a part."""
        return round(statistics.median(self.with_s) / statistics.median(self.without_s) - 1, 4)

    @property
    def passed(self) -> bool:
        """Whether the promises are kept."""
        return (
            self.slower <= SLOWER
            and self.memory_mb <= MEMORY_MB
            and self.idle_s_a_minute <= CPU_S_A_MINUTE
        )


def measure(options: argparse.Namespace) -> Found:
    """Turns without and with the view, then nothing."""
    kind = Page if options.web else View
    without, viewing, memory, cpu = [], [], 0.0, 0.0
    with Scratch(FILES) as scratch:
        scratch.motoko("create", "--validated", "./")
        scratch.motoko("launcher")
        orchestrate(scratch, "first", runs=WARM_UP)
        for turn in range(options.turns):
            without.append(orchestrate(scratch, f"without-{turn}", runs=options.runs))
            with viewed(scratch, kind) as view:
                view.press(TABLES[turn % len(TABLES)])
                started = cpu_s(view.process)
                viewing.append(orchestrate(scratch, f"with-{turn}", runs=options.runs))
                cpu += cpu_s(view.process) - started
                memory = max(memory, view.megabytes)
        with viewed(scratch, kind) as view:
            time.sleep(SETTLE_S)
            started = cpu_s(view.process)
            time.sleep(options.idle_seconds)
            idle = (cpu_s(view.process) - started) * 60 / options.idle_seconds
    return Found(
        [round(each, 2) for each in without],
        [round(each, 2) for each in viewing],
        memory,
        round(cpu / sum(viewing), 3),
        round(idle, 3),
    )


def main() -> None:
    """Measure, print a table, and exit with 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000, help="in a turn (default: 10000)")
    parser.add_argument("--turns", type=int, default=3, help="with and without (default: 3)")
    parser.add_argument("--idle-seconds", type=float, default=60.0, help="(default: 60)")
    parser.add_argument("--web", action="store_true", help="motoko web instead of motoko top")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if min(options.runs, options.turns) < 1 or options.idle_seconds <= 0:
        parser.error("the numbers have to be positive")
    end_cleanly_when_terminated()
    found = measure(options)
    result = {**asdict(found), "slower": found.slower, "machine": machine(), "passed": found.passed}
    text = f"""\
{options.runs} runs, {machine()}
  without the view   {found.without_s} s
  with it            {found.with_s} s: {found.slower:+.1%} (promised: at most {SLOWER:.0%})
  its memory         {found.memory_mb} MB (promised: at most {MEMORY_MB:.0f})
  its CPU            {found.cpu_share:.1%} of a core at full speed
  nothing happens    {found.idle_s_a_minute} CPU s a minute (promised: at most {CPU_S_A_MINUTE})
{"PASS" if found.passed else "FAIL"}"""
    report(result, text, as_json=options.json)


if __name__ == "__main__":
    main()
