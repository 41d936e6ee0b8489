"""Which runs have led to those that are created: what the creating code was given before."""

import asyncio
from contextvars import Context
from types import SimpleNamespace

import pytest

from motoko.api.precursors import begin_history, called_for, note_awaited, precursors


class Study:
    """Creates runs as task managers do, and gives them as awaits do."""

    def __init__(self, name):
        self.base = SimpleNamespace(study=SimpleNamespace(name=name))
        self.count = 0

    def create(self, count=1):
        after = precursors()
        made = []
        for _ in range(count):
            self.count += 1
            entries = {"id": self.count, "state": "CREATED"}
            if after:
                entries["motoko.created_after"] = after
            made.append((SimpleNamespace(base=self.base, entries=entries), None))
        return made


async def wait_for(runs):
    await asyncio.sleep(0)
    note_awaited(runs)
    return runs


def after(pairs):
    texts = {run.entries.get("motoko.created_after", "") for run, _ in pairs}
    assert len(texts) == 1
    return texts.pop()


@pytest.fixture
def a():
    return Study("a")


@pytest.fixture
def b():
    return Study("b")


def executed(main):
    """Run a coroutine function as ``workflow.execute()`` does."""

    async def whole():
        begin_history()
        return await main()

    return Context().run(asyncio.run, whole())


def test_fan_out_and_fan_in(a, b):
    async def main():
        begun = a.create(3)
        assert after(begun) == ""
        await wait_for(begun)
        assert after(b.create(2)) == "a:1-3"
        await wait_for(b.create())
        assert after(a.create()) == "a:1-3;b:3"

    executed(main)


def test_a_loop(a, b):
    async def main():
        seen = []
        for _ in range(3):
            (first,) = [await wait_for(a.create())]
            second = await wait_for(b.create())
            seen += [after(first), after(second)]
        return seen

    assert executed(main) == [
        *("", "a:1", "a:1;b:1", "a:1-2;b:1", "a:1-2;b:1-2", "a:1-3;b:1-2"),
    ]


def test_tasks_know_nothing_of_each_other_and_their_creator_knows_all(a, b):
    async def chain():
        begun = await wait_for(a.create())
        number = begun[0][0].entries["id"]
        await asyncio.sleep(0)
        made = b.create()
        assert after(made) == f"a:{number}"
        await wait_for(made)

    async def main():
        await asyncio.gather(chain(), asyncio.wait_for(chain(), 10))
        assert after(a.create()) == "a:1-2;b:1-2"
        # Awaited by gather itself, in tasks of its own.
        await asyncio.gather(wait_for(a.create()), wait_for(a.create()))
        assert after(b.create()) == "a:1-2,4-5;b:1-2"

    executed(main)


def test_a_handler_is_called_for_runs(a, b):
    async def main():
        begun = await wait_for(a.create(3))
        with called_for(begun[:1]):
            assert after(b.create()) == "a:1"
            await wait_for(b.create())
            assert after(b.create()) == "a:1;b:2"
        with called_for(True):  # a condition that selects no runs
            assert after(b.create()) == ""
        assert after(b.create()) == "a:1-3"

    executed(main)


def test_a_script_that_executes_nothing(a, b):
    async def main():
        await asyncio.gather(wait_for(a.create()), wait_for(a.create()))
        assert after(b.create()) == "a:1-2"

    def script():
        begin_history()  # as Workflow() does
        asyncio.run(main())

    Context().run(script)


def test_thousands(a, b):
    """10,000 runs that are awaited, one by one, and then 10,000 that come after them."""

    async def main():
        for _ in range(10_000):
            note_awaited(a.create())
        assert after(a.create()) == "a:1-10000"
        begun = [pair for _ in range(10_000) for pair in Study.create(b)]
        await wait_for(begun)
        texts = {after(a.create()) for _ in range(10_000)}
        assert texts == {"a:1-10000;b:1-10000"}

    executed(main)


def test_thousands_of_tasks(a, b):
    """Tasks that go on cost nothing when another run is created."""

    async def main():
        go = asyncio.Event()

        async def follow():
            precursors()
            await go.wait()
            note_awaited(a.create())

        tasks = [asyncio.create_task(follow()) for _ in range(5_000)]
        for _ in range(5_000):
            b.create()
        await asyncio.sleep(0)
        for _ in range(5_000):
            assert after(b.create()) == ""
        go.set()
        await asyncio.gather(*tasks)
        assert after(b.create()) == "a:1-5000"

    executed(main)
