"""Orchestrators on a real supervised workflow: the rows of CONTRACT.md.

No launcher runs in most of these tests: a second process, the puppet, plays the runs.
"""

import asyncio

import pytest
from executing import script
from support import wait_until

from motoko.errors import ConstraintError


class TestSelect:
    def test_lazy_and_live_in_a_loop(self, wf, puppet):
        selection = wf.mult.select("state = START")

        async def main():
            ((run, _),) = runs = wf.mult.createTask(x=30.0)
            assert not selection and len(selection) == 0 and list(selection) == []
            waiting = asyncio.ensure_future(selection.all("state = START"))
            await asyncio.sleep(0)  # saved at the loop's next turn
            await puppet.later("mult", run.id, "START")
            await waiting
            assert selection and len(selection) == 1
            ((found, job),) = selection
            assert found.id == run.id and job.x == 30.0
            assert selection[0][0].id == run.id and len(selection[:5]) == 1
            await puppet.later("mult", run.id, "FINISHED")
            await runs
            assert not selection

        script(wf, main)

    def test_live_in_a_script(self, wf, puppet):
        selection = wf.mult.select("state = START")
        ((run, _),) = wf.mult.createTask(x=31.0)
        assert not selection
        puppet("mult", run.id, "START")
        wait_until(lambda: bool(selection), "each use evaluates again", timeout=3)

    def test_live_after_a_foreign_await(self, wf, puppet):
        selection = wf.mult.select("state = START")

        async def main():
            ((run, _),) = wf.mult.createTask(x=32.0)
            await asyncio.sleep(0)
            assert not selection
            await puppet.later("mult", run.id, "START")
            async with asyncio.timeout(5):
                while not selection:
                    await asyncio.sleep(0.01)

        script(wf, main)

    def test_own_changes_are_visible_before_they_are_saved(self, wf, other):
        async def main():
            ((run, _),) = wf.mult.createTask(x=33.0)
            assert [r.id for r, _ in wf.mult.select("state = CREATED")] == [run.id]
            run["state"] = "MINE"
            assert [r.id for r, _ in wf.mult.select("state = MINE")] == [run.id]
            assert not wf.mult.select("state = CREATED")

        script(wf, main)
        assert [r.state for r, _ in other.mult.select()] == ["MINE"]

    def test_attribute_writes(self, wf, other):
        async def main():
            ((run, _),) = wf.mult.createTask(x=34.0)
            run.state = "MINE"
            run.dependencies = ["rich.1"]
            run.weight = 2.5
            assert len(wf.mult.select("weight > 2")) == 1

        script(wf, main)
        ((run, _),) = other.mult.select("state = MINE")
        assert run.dependencies == ["rich.1"] and run.weight == 2.5

    def test_studies_do_not_mix(self, wf):
        def both():
            mult = wf.mult.createTask(x=[35.0, 36.0])
            rich = wf.rich.createTask(x=[35.0], name=["a", "b"])
            return mult, rich

        mult, rich = both()
        assert len(wf.mult.select()) == 2 and len(wf.rich.select()) == 2
        for runs, study in ((mult, "mult"), (rich, "rich")):
            for run, job in runs:
                assert run.base.study.name == study
                assert ("xs" if study == "rich" else "y") in job.entries
        again = both()
        assert [r.id for r, _ in again[0]] == [r.id for r, _ in mult]
        assert [r.id for r, _ in again[1]] == [r.id for r, _ in rich]
        assert sorted(wf.mult.base.types("job")) == ["id", "x", "y"]
        assert len(wf.rich.select("name = a")) == 1 and len(wf.mult.select("x > 35")) == 1

    @pytest.mark.parametrize(
        "name",
        ["a b", "it's", 'q"q', "a, b", "x and y", "= < >", "é ü", "50%", "a.b", "a/b", "a\\b",
         "'", '"', "'\"", "__BLACKDYNAMITE__id__", "None", "True", "1.5", "-1e3", " a "],
    )  # fmt: skip
    def test_run_names(self, wf, name, puppet):
        wf.run_name = name
        ((run, _),) = wf.mult.createTask(x=37.0)
        assert [r.id for r, _ in wf.mult.select()] == [run.id]
        assert [r.id for r, _ in wf.mult.select("state = CREATED")] == [run.id]
        puppet("mult", run.id, "FINISHED")

        async def main():
            await wf.mult.createTask(x=37.0)

        script(wf, main)
        wf.run_name = name + "x"
        assert not wf.mult.select()

    def test_without_run_name_all_are_selected(self, wf):
        ((run, _),) = wf.mult.createTask(x=38.0)
        wf.run_name += "2"
        ((second, _),) = wf.mult.createTask(x=38.0)
        wf.run_name = None
        assert {run.id, second.id} <= {r.id for r, _ in wf.mult.select()}

    def test_ids(self, wf):
        runs = [run.id for run, _ in wf.mult.createTask(x=[39.0, 40.0])]
        selected = wf.mult.select([f"runs.id = {runs[1]}", "state = CREATED"])
        assert [run.id for run, _ in selected] == runs[1:]
        assert not wf.mult.select([f"runs.id = {runs[1]}", "state = FINISHED"])
        assert not wf.mult.select(["runs.id = 1000000"])
        assert len(wf.mult.select(f"runs.id < {runs[1]} and runs.id >= {runs[0]}")) == 1

    def test_the_list_is_not_changed(self, wf):
        constraints = ["state = CREATED"]
        wf.mult.select(constraints)
        assert constraints == ["state = CREATED"]

    def test_unknown_names(self, wf):
        assert wf.mult.createTask(x=41.0)
        with pytest.raises(ConstraintError, match="nonsense"):
            list(wf.mult.select("nonsense = 1"))
        with pytest.raises(ConstraintError):
            list(wf.mult.select("no constraint at all"))

    def test_is_empty(self, wf):
        assert wf.is_empty()
        wf.mult.createTask(x=42.0)
        assert not wf.is_empty()
