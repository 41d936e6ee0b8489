"""What `motoko top` shows, compared with kept texts, at 80x24 and 200x50.

`WRITE_SCREENS=1 pytest tests/unit/cli/test_top_screens.py` writes the texts, and the pictures of
docs/, anew: look at them then.
"""

import asyncio
import os
import re
import time
from collections import Counter
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import pytest
from configs import make_study
from rich.cells import cell_len

from motoko.bus.messages import Transition
from motoko.config import load
from motoko.control.protocol import SupervisorInfo
from motoko.reports.overview import progress_column
from motoko.reports.run_facts import Holder
from motoko.reports.run_pages import PagedRun, RunPage
from motoko.reports.state_counts import StateCounts
from motoko.reports.status import NOT_RUNNING, Daemon, Orchestrator, ResourceUse, WorkflowStatus
from motoko.store.tids import at
from motoko.views.feed import Feed
from motoko.views.workflow_view import SlotsView

textual = pytest.importorskip("textual", reason="textual (the extra `top`) is not installed")

HERE = Path(__file__).parent / "top_screens"
PICTURES = Path(__file__).parents[3] / "docs" / "pictures"
WRITES = bool(os.environ.get("WRITE_SCREENS"))
NOW = 1_925_000_000.0
STUDIES = ("energy", "fit", "report")
METALS = ("Ag", "Al", "Au", "Cu", "Ni", "Pd", "Pt")


class Still(Feed):
    """A feed of a moment that does not pass."""

    async def run(self):
        fill(self.view)
        self._on_change()
        await asyncio.Event().wait()

    async def of_mirrors(self, question):
        return question()

    async def look_at_slots(self):
        holders = (Holder("energy.29", 1, NOW - 12), Holder("energy.31", 1, NOW - 4))
        self.view.slots = SlotsView(NOW, 4, holders, ("fit",))
        self.view.changes += 1
        self._on_change()


class Dead(Still):
    """The same without a supervisor."""

    async def run(self):
        fill(self.view)
        info = SupervisorInfo(None, None, NOT_RUNNING, None)
        self.view.see(WorkflowStatus("motoko.yaml", info, [], []), NOW)
        self.view.is_told = False
        self.view.studies["report"].failed_to_read("not created yet: `motoko create`")
        self._on_change()
        await asyncio.Event().wait()


def moment(offset):
    from datetime import datetime

    return at(datetime.fromtimestamp(NOW + offset))


def fill(view):
    daemons = [
        daemon("zeo:energy", 4101, "3 connections, 2212 calls"),
        daemon("bus", 4104, "last message 0.1 s ago"),
        daemon("watcher", 4105, "3 of 3 studies, 151 transitions"),
        daemon("launcher:energy", 4110, "2 running, 33 queued"),
        daemon("launcher:fit", None, "", state="backoff", last_exit="exited with 1"),
    ]
    waiting = ["RunList(energy.29, energy.31 and 33 more)", "selection energy: metal = Cu"]
    orchestrators = [
        Orchestrator(True, "metals", 4120, "login1", waiting, 3, NOW - 84, {}, ["energy.29"]),
        Orchestrator(False, "by hand", 4133, "login1"),
    ]
    info = SupervisorInfo(4100, "login1", "degraded", 125.0)
    use = ResourceUse(0.31, 28_000_000)
    view.see(WorkflowStatus("motoko.yaml", info, daemons, orchestrators, use), NOW)
    view.is_told, view.heard, view.events_since = True, NOW, NOW - 60
    ends = tuple(NOW - 2 * number for number in range(40))
    for name, states in (
        ("energy", Counter(CREATED=33, START=2, FINISHED=61, FAILED=2)),
        ("fit", Counter(CREATED=1, FINISHED=5)),
        ("report", Counter()),
    ):
        study = view.studies[name]
        study.begin_reading()
        study.read(StateCounts(moment(-100), states, ends if name == "energy" else ()), NOW)
    for number, (run, old, new) in enumerate(
        [(27, "START", "FINISHED"), (31, "CREATED", "launched"), (28, "START", "FAILED"),
         (31, "launched", "START")]
    ):  # fmt: skip
        change = Transition("energy", run, old, new, moment(number - 200), "e", number, "metals")
        view.take(change, NOW - 5 + number)


def daemon(name, pid, detail, state="ready", last_exit=None):
    kind = name.partition(":")[0]
    values = (name, kind, pid, state, 125.0 if pid else None, 0, last_exit, "log", detail)
    return Daemon(*values, cpu_s=1.25, rss_bytes=43_000_000) if pid else Daemon(*values)


def run(number):
    state = {29: "START", 31: "START", 28: "FAILED"}.get(
        number, "CREATED" if number > 31 else "FINISHED"
    )
    is_over = state in ("FINISHED", "FAILED")
    return PagedRun(
        number,
        state,
        "metals",
        (METALS[number % 7], 9.5 + number / 7, -0.00421 * number if state == "FINISHED" else None),
        NOW - 300 + number if state != "CREATED" else None,
        NOW - 297.5 + number if is_over else None,
        "launch.sh ended with exit code 3: no [b]bound[/b] state\x1b[2J" if number == 28 else "",
    )


RUNS = [run(number) for number in range(1, 99)]


def page_of(config, study, query, first, count):
    """What the mirror would say."""
    found = [each for each in RUNS if query.column in ("", progress_column(each.state))]
    names = ("metal", "volume", "energy")
    return RunPage(len(found), first, names, found[first : first + count], "0" * 16)


SCREENS = {
    "studies": (Still, ["1"]),
    "runs": (Still, ["2", "down", "down"]),
    "failed-runs": (Still, ["2", *["f"] * 4, "end"]),
    "daemons": (Still, ["3"]),
    "slots": (Still, ["4"]),
    "orchestrators": (Still, ["5"]),
    "events": (Still, ["6"]),
    "cancel": (Still, ["2", "down", "c"]),
    "constraints": (Still, ["2", "slash"]),
    "no-supervisor": (Dead, ["1"]),
}


@pytest.fixture
def config(tmp_path, monkeypatch):
    from motoko.cli.render import orchestrators
    from motoko.cli.render.top import listings, run_browser

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(listings, "now", lambda: NOW)
    monkeypatch.setattr(orchestrators, "time", SimpleNamespace(time=lambda: NOW))
    monkeypatch.setattr(run_browser, "run_page", page_of)
    managers = "".join(f"  {study}:\n" for study in STUDIES)
    for study in STUDIES:
        make_study(tmp_path / "eos" / study)
    path = tmp_path / "eos" / "motoko.yaml"
    path.write_text(f"task_managers:\n{managers}orchestrator: orchestrator.main\n")
    yield load(path)
    monkeypatch.undo()
    time.tzset()


def screen_of(app):
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


def look(config, name, size):
    """The lines of a screen, and its picture."""
    from motoko.cli.render.top.app import Top

    feed, keys = SCREENS[name]

    async def visit():
        app = Top(config, feed)
        async with app.run_test(size=size) as pilot:
            await pilot.pause(0.2)
            for key in keys:
                await pilot.press(key)
                await pilot.pause()
            lines: list[str] = []
            # What is read in the background is shown a moment later.
            for _ in range(50):
                before, lines = lines, screen_of(app)
                if lines == before:
                    break
                await pilot.pause(0.1)
            picture = app.export_screenshot(title=f"motoko top: {name}")
        assert app.failure is None
        return lines, picture

    return asyncio.run(visit())


@pytest.mark.parametrize("size", [(80, 24), (200, 50)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCREENS)
def test_screens(config, name, size):
    lines, picture = look(config, name, size)
    kept = HERE / f"{name}-{size[0]}x{size[1]}.txt"
    drawn = PICTURES / f"top-{name}-{size[0]}x{size[1]}.svg"
    if WRITES:
        kept.parent.mkdir(exist_ok=True)
        kept.write_text("\n".join(lines) + "\n")
        if drawn.exists() or name in ("studies", "runs", "daemons", "no-supervisor"):
            drawn.parent.mkdir(exist_ok=True)
            drawn.write_text(picture)
    assert lines == kept.read_text().splitlines()
    assert len(lines) == size[1] and all(cell_len(line) <= size[0] for line in lines)
    if drawn.exists():
        assert words(drawn.read_text()) == words(picture), "the picture is not what is shown"


def words(svg):
    """What stands in a picture, whatever the version that has drawn it."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    return "".join(unescape(text) for text in texts).replace("\xa0", " ").split()
