"""When an action fires: rules without processes."""

import asyncio
from types import SimpleNamespace

import pytest

from motoko.api import actions
from motoko.api.actions import ALL, TICK_S, Action, condition, handler
from motoko.api.error_handlers import ErrorHandling, Handled
from motoko.api.selection import TaskSelection, TaskSelectionEval
from motoko.errors import MotokoError
from motoko.store.constraints import compile_constraints


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(actions, "time", clock)
    return clock


def pairs(**states):
    """Runs r1, r2, ... of one job in these states."""
    return [
        (SimpleNamespace(id=int(name[1:]), entries={"state": state}), SimpleNamespace(id=1))
        for name, state in states.items()
    ]


WORKFLOW = SimpleNamespace()
MULT = SimpleNamespace(study="mult", workflow=WORKFLOW)
ADD = SimpleNamespace(study="add", workflow=WORKFLOW)
ENGINE = SimpleNamespace(params={"depth": 3}, finished=False)


def action(
    evaluate=lambda workflow, task_manager: False,
    f=lambda **kwargs: None,
    managers=(MULT,),
    **kwargs,
):
    return Action("name", ALL, evaluate, f, None, engine=ENGINE, managers=managers, **kwargs)


class TestDue:
    def test_nothing_found(self, clock):
        one = action()
        for nothing in ([], False, None, 0, ""):
            assert not one.due(MULT, nothing)

    def test_becomes_true(self, clock):
        one = action()
        assert not one.due(MULT, [])
        assert one.due(MULT, pairs(r1="FINISHED"))

    def test_same_again_only_at_the_tick(self, clock):
        one = action()
        assert one.due(MULT, pairs(r1="FINISHED"))
        clock.now += TICK_S * 0.9
        assert not one.due(MULT, pairs(r1="FINISHED"))
        clock.now += TICK_S * 0.2
        assert one.due(MULT, pairs(r1="FINISHED"))
        clock.now += TICK_S * 0.9
        assert not one.due(MULT, pairs(r1="FINISHED"))

    @pytest.mark.parametrize(
        "other", [{"r2": "FINISHED"}, {"r1": "START"}, {"r1": "FINISHED", "r2": "FINISHED"}]
    )
    def test_another_selection_at_once(self, clock, other):
        one = action()
        assert one.due(MULT, pairs(r1="FINISHED"))
        assert one.due(MULT, pairs(**other))

    def test_order_of_runs_does_not_matter(self, clock):
        one = action()
        assert one.due(MULT, pairs(r1="FINISHED", r2="FINISHED"))
        assert not one.due(MULT, pairs(r2="FINISHED", r1="FINISHED"))

    def test_false_in_between(self, clock):
        one = action()
        assert one.due(MULT, pairs(r1="FINISHED"))
        assert not one.due(MULT, [])
        assert one.due(MULT, pairs(r1="FINISHED"))

    def test_studies_do_not_mix(self, clock):
        one = action()
        assert one.due(MULT, pairs(r1="FINISHED"))
        assert one.due(ADD, pairs(r1="FINISHED"))
        assert not one.due(MULT, pairs(r1="FINISHED"))
        assert not one.due(ADD, [])
        assert not one.due(MULT, pairs(r1="FINISHED"))

    @pytest.mark.parametrize("found", [True, 1, "x", [1, 2], {"a": 1}, object()])
    def test_true_without_runs(self, clock, found):
        one = action()
        assert one.due(MULT, found)
        assert not one.due(MULT, found)
        clock.now += TICK_S
        assert one.due(MULT, found)


class TestSettle:
    def test_own_writes_wait_for_the_tick(self, clock):
        found = pairs(r1="FINISHED")
        one = action(lambda workflow, task_manager: found)
        assert one.due(MULT, found)
        found[0][0].entries["state"] = "FINISHED2"  # the handler's doing; it still holds
        clock.now += 0.1
        one.settle(MULT)
        assert not one.due(MULT, found)
        clock.now += TICK_S
        assert one.due(MULT, found)

    def test_tick_counts_from_the_end_of_the_handler(self, clock):
        found = pairs(r1="FINISHED")
        one = action(lambda workflow, task_manager: found)
        assert one.due(MULT, found)
        clock.now += 10 * TICK_S
        one.settle(MULT)
        assert not one.due(MULT, found)

    def test_no_longer_true(self, clock):
        one = action(lambda workflow, task_manager: [])
        assert one.due(MULT, pairs(r1="FINISHED"))
        one.settle(MULT)
        # When it becomes true again, that is a change.
        assert one.due(MULT, pairs(r1="FINISHED"))


class TestFire:
    def fired(self, found, **kwargs):
        got = {}
        one = action(f=lambda **arguments: got.update(arguments), **kwargs)
        asyncio.run(one.fire(MULT, found))
        return got

    def test_arguments(self):
        found = pairs(r1="FINISHED")
        got = self.fired(found)
        assert got == {"workflow": WORKFLOW, "params": None, "depth": 3, "runs": found}

    def test_no_runs_for_a_bool(self):
        got = self.fired(True)
        assert "runs" not in got

    def test_get_params_is_called_when_fired(self):
        got = []
        one = action(f=lambda params, **kwargs: got.append(params))
        values = iter([1, 2])
        one.get_params = lambda: next(values)
        for _ in range(2):
            asyncio.run(one.fire(MULT, True))
        assert got == [1, 2]

    def test_async_handler_is_awaited(self):
        got = []

        async def slow(**arguments):
            await asyncio.sleep(0)
            got.append(actions.in_handler())

        asyncio.run(action(f=slow).fire(MULT, True))
        assert got == [True] and not actions.in_handler()


class TestConditions:
    def test_run_job_selects(self):
        found = pairs(r1="A", r2="B", r3="A")
        manager = SimpleNamespace(select=lambda: found)
        evaluate = condition(lambda run, job: run.entries["state"] == "A", "n")
        assert [run.id for run, _ in evaluate(manager)] == [1, 3]

    def test_workflow_task_manager(self):
        evaluate = condition(lambda workflow, task_manager: (workflow, task_manager), "n")
        assert evaluate(MULT) == (WORKFLOW, MULT)

    def test_no_arguments(self):
        assert condition(lambda: 7, "n")(MULT) == 7

    def test_constraints(self):
        manager = SimpleNamespace(select=lambda constraints: ("selected", constraints))
        for constraints in ("state = FINISHED", ["state = FINISHED", "x > 1"]):
            found = condition(constraints, "n")(manager)
            assert found == ("selected", constraints)

    def test_evaluations(self):
        both = TaskSelectionEval(lambda: [1]) & TaskSelectionEval(lambda: [2])
        assert condition(both, "n")(MULT) == [1, 2]

    @pytest.mark.parametrize("bad", [None, 3, lambda job, run: 1, lambda a: 1, {"state": 1}])
    def test_no_condition(self, bad):
        with pytest.raises(MotokoError, match="my_action") as caught:
            condition(bad, "my_action")
        assert "f(run, job)" in caught.value.hint

    def test_generators_are_refused(self):
        def generator(**kwargs):
            yield 1

        async def async_generator(**kwargs):
            yield 1

        for bad in (generator, async_generator):
            with pytest.raises(MotokoError, match="generator"):
                handler(bad, "n")
            with pytest.raises(MotokoError, match="generator"):
                condition(bad, "n")
        with pytest.raises(MotokoError, match="cannot be called"):
            handler(None, "n")

    def test_opaque(self):
        for code in (lambda: True, lambda run, job: True, TaskSelectionEval(lambda: True)):
            assert action(code).is_opaque
        for constraints in ("state = FINISHED", ["x = 1"]):
            assert not action(constraints).is_opaque

    @pytest.mark.parametrize(
        ("event", "expected"),
        [
            ("state = FINISHED", True),
            (["state = FINISHED", "runs.id > 2", "run_name = r"], True),
            ("state = FINISHED and x = 1", False),  # a job can be changed
            ("y > 1", False),
            ("undeclared = 1", False),
            (lambda: True, False),
            (lambda run, job: True, False),
            (TaskSelectionEval(lambda: True), False),
        ],
    )
    def test_concerned_by_states_only(self, event, expected):
        """Commits that change no state then need no evaluation."""
        run_types = {"y": float, "id": int, "state": str, "run_name": str}

        def predicate(constraints):
            return compile_constraints(constraints, job_types={"x": int}, run_types=run_types)

        base = SimpleNamespace(predicate=predicate)

        def select(constraints):
            wanted = [constraints] if isinstance(constraints, str) else constraints
            return TaskSelection(wanted, None, base, "mult")

        managers = (SimpleNamespace(select=select),)
        assert action(event, managers=managers).reads_states_only is expected
        if isinstance(event, str):
            assert action(select(event), managers=managers).reads_states_only is expected


class TestEvaluations:
    def test_and(self):
        yes, no = TaskSelectionEval(lambda: [1]), TaskSelectionEval(lambda: [])
        assert (yes & yes)() == [1, 1]
        assert not (yes & no)() and not (no & yes)()
        assert (yes & yes & yes)() == [1, 1, 1]

    def test_and_with_nonsense(self):
        with pytest.raises(RuntimeError):
            TaskSelectionEval(lambda: [1]) & 3


class TestErrorHandlersOnce:
    def errors(self, found, f):
        handlers = {(ALL, "error_handler"): action(lambda workflow, task_manager: found, f)}
        return ErrorHandling(handlers, Handled())

    def test_once_a_run_and_attempt(self):
        found = pairs(r1="FAILED")
        calls = []

        def mend(runs, **kwargs):
            calls.append([run.id for run, _ in runs])
            found.clear()

        async def main():
            errors = self.errors(found, mend)
            await errors.check()
            await errors.check()
            found.extend(pairs(r1="FAILED"))
            await errors.check()  # the same attempt of the same run
            found.clear()
            found.extend(pairs(r2="FAILED"))
            await errors.check()

        asyncio.run(main())
        assert calls == [[1], [2]]

    @pytest.mark.parametrize("others", [["disk full"], [1, 2], {"a": 1}, "text", [(1, 2)]])
    def test_other_things_than_runs(self, others):
        """The handler gets them, once; if they are still there, the workflow ends."""
        calls = []

        async def main():
            errors = self.errors(others, lambda runs, **kwargs: calls.append(runs))
            with pytest.raises(MotokoError, match="terminated abnormally"):
                await errors.check()
            await errors.check()

        asyncio.run(main())
        assert calls == [others]

    def test_other_things_that_are_mended(self):
        others = ["disk full"]

        async def main():
            await self.errors(others, lambda runs, **kwargs: runs.clear()).check()

        asyncio.run(main())
        assert others == []

    def test_in_one_loop_after_another(self):
        """Each execution has locks of its own, for its own loop."""
        handled = Handled()

        async def slow(**kwargs):
            await asyncio.sleep(0)
            found.clear()

        async def main():
            handlers = {(ALL, "h"): action(lambda workflow, task_manager: found, slow)}
            errors = ErrorHandling(handlers, handled)
            await asyncio.gather(errors.check(), errors.check())

        for number in (1, 2):
            found = pairs(**{f"r{number}": "FAILED"})
            asyncio.run(main())
            assert found == []
