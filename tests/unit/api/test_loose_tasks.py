"""Tasks that an orchestrator leaves to themselves: what they raise, and that they are left."""

import asyncio
from pathlib import Path

from motoko.api.loose_tasks import LooseTasks

HERE = Path(__file__).parent


async def work():
    await asyncio.sleep(0)


async def fails():
    raise ValueError("no convergence")


def judged(main):
    """What is known of the tasks of a function when it has returned."""
    raised = []

    async def run():
        loose = LooseTasks(HERE, raised.append)
        kept = await main()
        for _ in range(3):
            await asyncio.sleep(0)
        result = loose.failure, [text.partition(": ")[2] for text in loose.left]
        loose.close()
        for task in kept or ():
            task.cancel()
        return result

    return *asyncio.run(run()), raised


def test_raised_and_kept():
    async def main():
        return [asyncio.create_task(fails())]

    failure, left, raised = judged(main)
    assert str(failure) == "no convergence" and not left and not raised


def test_raised_and_forgotten():
    async def main():
        asyncio.create_task(fails())  # noqa: RUF006 (that is what is tested)

    failure, left, raised = judged(main)
    assert failure is None and not left and [str(error) for error in raised] == ["no convergence"]


def test_awaited_later_or_looked_at():
    async def main():
        tasks = [asyncio.create_task(fails()) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.gather(*tasks[:2], return_exceptions=True)
        await asyncio.wait(tasks)
        tasks[2].exception()
        return tasks

    assert judged(main) == (None, [], [])


def test_left_at_work():
    async def main():
        cancelled = asyncio.create_task(asyncio.Event().wait())
        cancelled.cancel()

        async def waits():
            await asyncio.Event().wait()

        await asyncio.create_task(work())
        return [asyncio.create_task(waits()), cancelled]

    failure, left, raised = judged(main)
    assert failure is None and not raised
    assert [text.rpartition(".")[2] for text in left] == ["waits"]
