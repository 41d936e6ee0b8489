"""CONTRACT.md, "Semantics, settled": firing, failures, names, and who may execute.

In most of these tests no launcher runs: a second process, the puppet, plays the runs.
"""

import asyncio

import pytest
import transaction
from executing import execute
from supervised_puppets import STUDIES, Ticks, until

from motoko.workflow import event


class TestFiring:
    def test_writing_ones_own_trigger_does_not_spin(self, wf):
        fired = {}

        def note(runs):
            ((run, job),) = runs
            fired[job.x] = fired.get(job.x, 0) + 1
            run["state"] = f"S{fired[job.x]}"
            return run

        def plain(runs, **params):
            note(runs)

        async def suspends(runs, **params):
            note(runs)
            await asyncio.sleep(0.01)

        @event
        async def decorated(runs, **params):
            note(runs)

        async def awaits(runs, workflow, **params):
            note(runs)
            await workflow.mult.select("state ~ ^S")

        def commits(runs, **params):
            note(runs)
            transaction.commit()

        def by_attribute(runs, **params):
            note(runs).state += "x"

        async def concurrent(runs, **params):
            note(runs)
            await asyncio.sleep(0.01)

        handlers = [plain, suspends, decorated, awaits, commits, by_attribute, concurrent]

        async def main(workflow, **params):
            for (run, job), handler in zip(
                workflow.mult.createTask(x=[float(n) for n in range(len(handlers))]),
                handlers,
                strict=True,
            ):
                run["state"] = "S0"
                workflow.add_action(
                    handler.__name__,
                    task="mult",
                    event=f"x = {job.x} and state ~ ^S",
                    f=handler,
                    concurrent=handler is concurrent,
                )
            ticks = Ticks(workflow)
            await ticks.wait(1)
            await ticks.wait(2)
            workflow.finished = True

        execute(wf, main)
        # Due at the start, and at each of the two ticks that follow; one more by rounding.
        counts = {handler.__name__: fired.get(n, 0) for n, handler in enumerate(handlers)}
        assert all(2 <= count <= 4 for count in counts.values()), counts

    @pytest.mark.parametrize("change", ["another run", "another state"])
    def test_fires_at_once_when_the_selection_changes(self, wf, puppet, change):
        fired = []

        def handler(runs, workflow, **params):
            now = asyncio.get_running_loop().time()
            fired.append((now, sorted((job.x, run.state) for run, job in runs)))
            workflow.finished = len(fired) == 2

        async def main(workflow, **params):
            (first, _), (second, _) = workflow.mult.createTask(x=[1.0, 2.0])
            workflow.add_action("act", task="mult", event="state ~ ^READY", f=handler)
            await asyncio.to_thread(puppet.tell, "mult", await saved(first), "READY")
            await until(lambda: fired)
            if change == "another run":
                await asyncio.to_thread(puppet.tell, "mult", second.id, "READY")
            else:
                await asyncio.to_thread(puppet.tell, "mult", first.id, "READY2")

        execute(wf, main)
        (before, _), (after, found) = fired
        assert after - before < 1.5, "not before the next tick"
        assert found == (
            [(1.0, "READY"), (2.0, "READY")] if change == "another run" else [(1.0, "READY2")]
        )

    def test_what_others_change_meanwhile_fires_at_once(self, wf, puppet):
        """A handler's own writes delay it; what others write while it works does not."""
        fired = []

        async def handler(runs, workflow, **params):
            fired.append(asyncio.get_running_loop().time())
            if len(fired) == 2:
                workflow.finished = True
                return
            found = list(runs)
            for run, _ in found:
                run["state"] = "SEEN"
            await asyncio.to_thread(puppet.tell, "mult", second.id, "READY")
            await workflow.mult.select("state = READY")

        async def main(workflow, **params):
            nonlocal second
            (first, _), (second, _) = workflow.mult.createTask(x=[1.0, 2.0])
            first["state"] = "READY"
            workflow.add_action("act", task="mult", event="state = READY", f=handler)

        second = None
        execute(wf, main)
        assert fired[1] - fired[0] < 1.5, "not before the next tick"

    def test_replaced_while_it_holds(self, wf):
        fired = []

        def old(workflow, **params):
            fired.append("old")

        def new(workflow, **params):
            fired.append("new")

        async def main(workflow, **params):
            workflow.add_action("act", task="mult", event=lambda: True, f=old)
            await until(lambda: fired)
            workflow.add_action("act", task="mult", event=lambda: True, f=new)
            await until(lambda: "new" in fired)
            ticks = Ticks(workflow)
            await ticks.wait(2)
            workflow.finished = True

        execute(wf, main)
        assert fired[0] == "old" and set(fired[1:]) == {"new"}

    def test_order(self, wf):
        """By task in the order of first registration, ``__all__`` being one, then by action."""
        fired = []

        def named(name):
            def handler(workflow, runs=None, **params):
                fired.append(name)
                workflow.finished = name == "mult.1"

            return handler

        async def main(workflow, **params):
            add = workflow.add_action
            add("1", task="other", event=lambda: True, f=named("other.1"))
            add("1", event=lambda: True, f=named("all.1"))
            add("1", task="mult", event=lambda: True, f=named("mult.1"))
            add("2", task="other", event=lambda: True, f=named("other.2"))
            add("2", event=lambda: True, f=named("all.2"))
            add("1", task="other", event=lambda: True, f=named("other.1 again"))

        execute(wf, main)
        all_of = len(STUDIES)
        assert fired == [
            "other.1 again",
            "other.2",
            *["all.1"] * all_of,
            *["all.2"] * all_of,
            "mult.1",
        ]

    def test_strictly_serial(self, wf, puppet):
        """Never two handlers at once, whatever they await and whoever changes what."""
        active, log = [], []

        async def handler(workflow, runs, **params):
            assert not active, "two handlers at once"
            active.append(1)
            study = next(iter(runs))[0].base.study.name
            created = getattr(workflow, study).createTask(x=50.0 + len(log))
            await asyncio.sleep(0)
            await asyncio.to_thread(puppet.tell, study, created[0][0].id, "FINISHED")
            await created
            active.pop()
            log.append(study)
            workflow.finished = len(log) >= 6 and len(set(log)) == 2

        async def main(workflow, **params):
            for study in ("mult", "other"):
                getattr(workflow, study).createTask(x=1.0)
                for number in range(2):
                    workflow.add_action(
                        str(number), task=study, event="state ~ CREATED|FINISHED", f=handler
                    )
            while not workflow.finished:
                turns.append(bool(active))
                await asyncio.sleep(0.005)

        turns = []
        execute(wf, main)
        assert True in turns, "main runs beside them"

    def test_concurrent(self, wf, puppet):
        log, active = [], []

        async def slow(runs, **params):
            assert not active, "twice at once"
            active.append(1)
            log.append("slow in")
            await go_on.wait()
            log.append("slow out")
            active.pop()

        async def other(runs, **params):
            log.append("other")

        async def main(workflow, **params):
            nonlocal go_on
            go_on = asyncio.Event()
            ((first, _), (second, _)) = workflow.mult.createTask(x=[1.0, 2.0])
            workflow.other.createTask(x=1.0)
            workflow.add_action("s", task="mult", event="state = READY", f=slow, concurrent=True)
            workflow.add_action("o", task="other", event="state = CREATED", f=other)
            first["state"] = "READY"
            await until(lambda: active)
            count = len(log)
            # Its selection changes while it works, and ticks go by.
            await asyncio.to_thread(puppet.tell, "mult", second.id, "READY")
            await Ticks(workflow).wait(2)
            assert "other" in log[count:], "others wait for it"
            assert log.count("slow in") == 1
            go_on.set()
            await until(lambda: log.count("slow in") == 2)  # its selection has changed
            workflow.finished = True

        go_on = None
        execute(wf, main)

    def test_concurrent_that_raises(self, wf):
        async def bad(**params):
            await asyncio.sleep(0)
            raise ValueError("mine")

        async def main(workflow, **params):
            workflow.add_action("b", task="mult", event=lambda: True, f=bad, concurrent=True)
            await asyncio.Event().wait()

        with pytest.raises(ValueError, match="mine"):
            execute(wf, main)


async def saved(run):
    """A run's number, as soon as the run is saved."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return run.entries["id"]
