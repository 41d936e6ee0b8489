"""An opened run of `motoko top` is read when it has changed, and only then."""

import asyncio

import pytest
from configs import make_study

from motoko.bus.messages import Transition
from motoko.config import load
from motoko.reports.state_counts import StateCounts
from motoko.runs.references import Reference
from motoko.views.feed import Feed

pytest.importorskip("textual", reason="textual (the extra `top`) is not installed")


class Told(Feed):
    """A feed of which the test tells."""

    async def run(self):
        self.view.is_told = True
        self.view.studies["mult"].read(StateCounts("0" * 16), 1.0)
        await asyncio.Event().wait()

    def read_again(self):
        self.view.studies["mult"].read(StateCounts("f" * 16), 2.0)
        self._on_change()

    def tell(self, run_id, tid):
        change = Transition("mult", run_id, "START", "FINISHED", f"{tid:016x}", "e", tid, "test")
        self.view.take(change, 1.0)
        self._on_change()


def test_a_run_is_read_when_it_has_changed(tmp_path, monkeypatch):
    from motoko.cli.render.top import run_screen
    from motoko.cli.render.top.app import Top

    make_study(tmp_path / "mult")
    path = tmp_path / "motoko.yaml"
    path.write_text("task_managers:\n  mult:\norchestrator: orchestrator.main\n")
    read = []

    def facts(config, run):
        read.append(run.run_id)
        return [f"read {len(read)} times"], (), True

    monkeypatch.setattr(run_screen, "_facts", facts)
    monkeypatch.setattr(run_screen, "_values", lambda config, run: [])
    monkeypatch.setattr(run_screen, "AGAIN_S", 0.0)

    async def visit():
        app = Top(load(path), Told)
        async with app.run_test() as pilot:
            await app.push_screen(run_screen.RunScreen(app.feed, Reference("mult", 3)))

            async def until(count):
                for _ in range(200):
                    if len(read) >= count:
                        break
                    await pilot.pause(0.02)
                await pilot.pause(0.1)  # time for a reading too many
                assert read == [3] * count

            await until(1)
            app.feed.tell(1, 10)
            app.feed.tell(2, 11)
            await pilot.pause(0.2)
            await until(1)
            app.feed.tell(3, 12)
            await until(2)
            app.feed.tell(1, 13)
            await pilot.pause(0.2)
            await until(2)
            # The study was read, since nobody had told of changes: any run may have changed.
            app.feed.read_again()
            await until(3)
        assert app.failure is None

    asyncio.run(visit())
