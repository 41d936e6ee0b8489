"""Orchestrators on a real supervised workflow: the rows of CONTRACT.md.

No launcher runs in most of these tests: a second process, the puppet, plays the runs.
"""

import asyncio
import itertools

import pytest
from executing import execute

from motoko import (
    MotokoError,
    event,
)


class TestActions:
    def test_constraint_string(self, wf, puppet):
        seen = []

        async def forward(runs, workflow, params, depth, **rest):
            assert workflow is wf and params is None and depth == 3
            for run, job in runs:
                seen.append(job.x)
                run["state"] = "FORWARDED"

        async def main(workflow, **params):
            workflow.add_action("forward", task="mult", event="state = FINISHED", f=forward)
            created = workflow.mult.createTask(x=[110.0, 111.0])
            await asyncio.sleep(0)
            for run, _ in created:
                await puppet.later("mult", run.id, "START", "FINISHED")
            await workflow.mult.select().all("state = FORWARDED")
            workflow.finished = True

        execute(wf, main, depth=3)
        assert sorted(seen) == [110.0, 111.0]

    @pytest.mark.parametrize("kind", ["string", "list", "run_job", "workflow_manager", "selection"])
    def test_conditions(self, wf, puppet, kind):
        got = []
        event = {
            "string": "state = FINISHED and x > 112",
            "list": ["state = FINISHED", "x > 112"],
            "run_job": lambda run, job: run.state == "FINISHED" and job.x > 112,
            "workflow_manager": lambda workflow, task_manager: task_manager.select(
                ["state = FINISHED", "x > 112"]
            ),
            "selection": wf.mult.select(["state = FINISHED", "x > 112"]),
        }[kind]

        def handler(runs, workflow, **params):
            got.append([job.x for _, job in runs])
            for run, _ in runs:
                run["state"] = "SEEN"
            workflow.finished = True

        async def main(workflow, **params):
            workflow.add_action("act", task="mult", event=event, f=handler)
            low, high = workflow.mult.createTask(x=[112.0, 113.0])
            await asyncio.sleep(0)
            await puppet.later("mult", low[0].id, "FINISHED")
            await asyncio.sleep(0.1)
            assert got == []
            await puppet.later("mult", high[0].id, "FINISHED")

        execute(wf, main)
        assert got == [[113.0]]
        # What the last handler has changed is saved.
        assert [job.x for _, job in wf.mult.select("state = SEEN")] == [113.0]

    def test_no_argument_condition(self, wf):
        flag, got = [], []

        def handler(workflow, **params):
            got.append("runs" in params)
            workflow.finished = True

        async def main(workflow, **params):
            workflow.add_action("act", task="mult", event=lambda: bool(flag), f=handler)
            await asyncio.sleep(0.1)
            assert not got
            flag.append(1)

        execute(wf, main)
        assert got == [False]

    def test_all_task_managers(self, wf):
        got = []

        def handler(runs, workflow, **params):
            got.append({run.base.study.name for run, _ in runs})
            for run, _ in runs:
                run["state"] = "SEEN"
            workflow.finished = len(got) == 2

        async def main(workflow, **params):
            workflow.add_action("act", event="state = CREATED", f=handler)
            workflow.rich.createTask(x=114.0, name="a")
            workflow.mult.createTask(x=114.0)

        execute(wf, main)
        assert got == [{"mult"}, {"rich"}]

    def test_same_name_replaces(self, wf):
        got = []

        def named(name):
            def handler(workflow, **params):
                got.append(name)
                workflow.finished = name == "last"

            return handler

        async def main(workflow, **params):
            workflow.add_action("a", task="mult", event=lambda: True, f=named("old"))
            workflow.add_action("last", task="mult", event=lambda: True, f=named("last"))
            workflow.add_action("a", task="mult", event=lambda: True, f=named("new"))

        execute(wf, main)
        # In the place of the old one.
        assert got == ["new", "last"]
        assert list(wf.actions["mult"]) == ["a", "last"]

    def test_order_is_by_task_then_registration(self, wf):
        got = []

        def named(name):
            def handler(workflow, **params):
                got.append(name)
                workflow.finished = name == "rich1"

            return handler

        async def main(workflow, **params):
            for task, name in (("mult", "1"), ("rich", "1"), ("mult", "2")):
                workflow.add_action(name, task=task, event=lambda: True, f=named(task + name))

        execute(wf, main)
        assert got == ["mult1", "mult2", "rich1"]

    def test_handlers_are_serial_beside_main(self, wf):
        log = []

        async def slow(workflow, **params):
            log.append("in")
            await asyncio.sleep(0.1)
            log.append("out")
            workflow.finished = log.count("out") == 2

        async def main(workflow, **params):
            workflow.add_action("a", task="mult", event=lambda: True, f=slow)
            workflow.add_action("b", task="mult", event=lambda: True, f=slow)
            while "in" not in log:
                await asyncio.sleep(0.01)
            log.append("main")

        execute(wf, main)
        assert [entry for entry in log if entry != "main"] == ["in", "out", "in", "out"]
        assert log[1] == "main"

    def test_handler_that_creates_and_awaits(self, wf, puppet):
        async def follow(runs, workflow, **params):
            for run, _ in list(runs):
                ((second, _),) = created = workflow.rich.createTask(x=115.0, name="a")
                waiting = asyncio.ensure_future(created)
                await asyncio.sleep(0)
                await puppet.later("rich", second.id, "FINISHED")
                await waiting
                run.state = "FORWARDED"
                run.dependencies = [f"rich.{second.id}"]
                assert second.event_name == "follow"
            workflow.finished = True

        async def main(workflow, **params):
            workflow.add_action("follow", task="mult", event="state = FINISHED", f=follow)
            ((run, _),) = workflow.mult.createTask(x=115.0)
            await asyncio.sleep(0)
            await puppet.later("mult", run.id, "FINISHED")

        execute(wf, main)
        ((run, _),) = wf.mult.select("state = FORWARDED")
        (second,) = wf.get_runs(run.dependencies)["rich"]
        assert second.state == "FINISHED"

    def test_event_decorator(self, wf, other):
        @event
        async def slow(runs, workflow, **params):
            for run, _ in runs:
                run["state"] = "SEEN"
            workflow.finished = True

        @event
        def plain(workflow, **params):
            return 7

        assert slow.__name__ == "slow" and asyncio.run(plain(workflow=wf)) == 7

        async def main(workflow, **params):
            workflow.mult.createTask(x=117.0)
            workflow.add_action("seen", task="mult", event="state = CREATED", f=slow)

        execute(wf, main)
        assert len(other.mult.select("state = SEEN")) == 1

    def test_concurrent_handlers_only_where_asked(self, wf):
        log = []

        async def slow(workflow, **params):
            log.append("in")
            await asyncio.sleep(0.1)
            log.append("out")
            workflow.finished = log.count("out") == 2

        async def main(workflow, **params):
            for name in ("a", "b"):
                workflow.add_action(name, task="mult", event=lambda: True, f=slow, concurrent=True)

        execute(wf, main)
        assert log == ["in", "in", "out", "out"]

    def test_fires_again_while_true(self, wf):
        times = []

        def handler(workflow, **params):
            times.append(asyncio.get_running_loop().time())
            workflow.finished = len(times) == 3

        async def main(workflow, **params):
            workflow.mult.createTask(x=116.0)
            workflow.add_action("again", task="mult", event="state = CREATED", f=handler)

        execute(wf, main)
        assert all(later - sooner > 1.5 for sooner, later in itertools.pairwise(times))

    def test_refused_registrations(self, wf):
        def generator(**params):
            yield

        for bad in ({"event": 3}, {"event": generator}, {"event": "x = 1", "f": generator}):
            with pytest.raises(MotokoError, match="bad"):
                wf.add_action("bad", **{"f": print, **bad})
        with pytest.raises(AttributeError, match="mult, rich"):
            wf.add_action("bad", task="nothing", event="x = 1", f=print)
