"""How soon `motoko web` shows 10,000 runs, and how soon it and `motoko top` show a change.

The study is made without executing its runs (see big_study.py), and supervised without launchers.
In a real Chromium the page of `motoko web` is opened several times: from the beginning of the
navigation to the moment when the rows of the runs are drawn, by the page's own clock. Then another
process changes a run again and again, and the page says when the new state has come into sight.
The same with `motoko top` in a pseudo terminal of 80x24: until it has written the new state.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from big_study import STUDY, build
from open_view import View
from scratch import Scratch, end_cleanly_when_terminated, machine, report

sys.path.append(str(Path(__file__).parents[1] / "tests"))

FIRST_S = 1.0  # promised: less until the runs are there
CHANGE_S = 1.0  # promised: less until a change is there
TOP_S = 0.1  # promised: less until `motoko top` shows a change
RUN = 7  # on the first page
# Answers when the script's condition is true, and two frames later what it has drawn is seen.
WHEN = """
const done = arguments[arguments.length - 1];
const look = () => (%s) ? requestAnimationFrame(() => requestAnimationFrame(
    () => done([performance.now() / 1000, Date.now() / 1000]))) : setTimeout(look, 5);
look();
"""
ROWS = "document.querySelectorAll('#runs tbody tr').length >= 100"
CHANGE = """
import sys, time, transaction
from motoko import Workflow
with Workflow("motoko.yaml") as workflow:
    run, _ = workflow.%s.select("runs.id = %d")[0]
    print("ready", flush=True)
    for line in sys.stdin:
        run.state = line.strip()
        transaction.commit()
        print(time.time(), flush=True)
"""


@dataclass(frozen=True)
class Found:
    """Seconds."""

    first_s: list[float]
    change_s: list[float]
    top_s: list[float]

    @property
    def passed(self) -> bool:
        """Whether the promises are kept."""
        return (
            statistics.median(self.first_s) < FIRST_S
            and statistics.median(self.change_s) < CHANGE_S
            and statistics.median(self.top_s) < TOP_S
        )


def measure(options: argparse.Namespace) -> Found:
    """Open the page, several times, and change a run."""
    from browsers import chromium

    with Scratch({}) as scratch:
        build(scratch.directory, options.runs)
        scratch.motoko("supervise", "--detach", "--no-launchers")
        out = scratch.directory.parent / "web.out"
        with out.open("w") as file:
            web = subprocess.Popen(
                [scratch._motoko, "web", "--port", "0"],
                cwd=scratch.directory,
                env={**scratch._environment, "PYTHONUNBUFFERED": "1"},
                stdout=file,
            )
        try:
            with chromium(scratch.directory.parent / "profile") as driver:
                first = [opened(driver, out) for _ in range(options.turns)]

                def shown(state: str) -> float:
                    text = f"document.getElementById('runs').textContent.includes('{state}')"
                    return float(driver.execute_async_script(WHEN % text)[1])

                change = changed(scratch, "WEB", shown, options.turns)
        finally:
            web.terminate()
            web.wait(20)
        with Top(scratch) as top:
            in_top = changed(scratch, "TOP", top.shown, options.turns)
    return Found(*([round(one, 3) for one in seen] for seen in (first, change, in_top)))


class Top:
    """`motoko top`, with the runs in sight."""

    def __init__(self, scratch: Scratch) -> None:
        self._text = b""
        self._news = threading.Condition()
        self._view = View(scratch, self._take)

    def __enter__(self) -> Top:
        time.sleep(4)
        self._view.press("2")
        time.sleep(2)
        return self

    def __exit__(self, *error: object) -> None:
        self._view.close()

    def _take(self, text: bytes) -> None:
        with self._news:
            self._text = (self._text + text)[-100_000:]
            self._news.notify()

    def shown(self, state: str) -> float:
        """When it has written a state."""
        with self._news:
            if not self._news.wait_for(lambda: state.encode() in self._text, 30):
                raise RuntimeError(f"{state} is not shown")
            return time.time()


def opened(driver: Any, out: Path) -> float:
    """Seconds from the navigation until the runs are drawn."""
    before = ""
    while not (urls := re.findall(r"http://\S+", out.read_text())) or urls[-1] == before:
        time.sleep(0.1)
    driver.get("about:blank")
    driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    driver.get(urls[-1])
    seconds, _ = driver.execute_async_script(WHEN % ROWS)
    time.sleep(1)  # for the next address
    return float(seconds)


def changed(scratch: Scratch, name: str, shown: Callable[[str], float], turns: int) -> list[float]:
    """Seconds from the end of a commit until a view shows it, which ``shown`` waits for."""
    other = subprocess.Popen(
        [sys.executable, "-c", CHANGE % (STUDY, RUN)],
        cwd=scratch.directory,
        env=scratch._environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdin is not None and other.stdout is not None
    found = []
    try:
        other.stdout.readline()
        for turn in range(turns):
            time.sleep(1)
            other.stdin.write(f"{name}{turn}\n")
            other.stdin.flush()
            seen = shown(f"{name}{turn}")
            found.append(seen - float(other.stdout.readline()))
    finally:
        other.stdin.close()
        other.wait(20)
    return found


def main() -> None:
    """Measure, print, and exit with 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000, help="of the study (default: 10000)")
    parser.add_argument("--turns", type=int, default=7, help="of each (default: 7)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.runs < 100 or options.turns < 1:
        parser.error("at least 100 runs and one turn")
    end_cleanly_when_terminated()
    from browsers import why_none

    if why := why_none():
        print(f"not measured: {why}")
        return
    found = measure(options)
    result = {**asdict(found), "machine": machine(), "passed": found.passed}
    text = f"""\
{options.runs} runs, {machine()}
  the runs are drawn after  {statistics.median(found.first_s)} s {found.first_s} (< {FIRST_S:g})
  a change is seen after    {statistics.median(found.change_s)} s {found.change_s} (< {CHANGE_S:g})
  in motoko top after       {statistics.median(found.top_s)} s {found.top_s} (< {TOP_S:g})
{"PASS" if found.passed else "FAIL"}"""
    report(result, text, as_json=options.json)


if __name__ == "__main__":
    main()
