"""What a loop executes does not die silently."""

import asyncio
import logging

import pytest

from motoko.workers.launcher.overseeing import overseen


class Broken(Exception):
    """What nobody expects."""


def fail():
    raise Broken


async def forever():
    await asyncio.Event().wait()


async def fail_soon():
    await asyncio.sleep(0)
    fail()


async def in_a_timer():
    asyncio.get_running_loop().call_later(0, fail)
    await forever()


async def in_a_callback():
    asyncio.get_running_loop().call_soon(fail)
    await forever()


async def in_a_task_that_nobody_awaits():
    asyncio.get_running_loop().create_task(fail_soon())
    await forever()


@pytest.mark.parametrize(
    "work", [fail_soon, in_a_timer, in_a_callback, in_a_task_that_nobody_awaits]
)
def test_ends_with_the_exception(work, caplog):
    caplog.set_level(logging.ERROR)
    with pytest.raises(Broken):
        asyncio.run(asyncio.wait_for(overseen(work(), forever()), 20))


def test_of_what_goes_on_beside():
    with pytest.raises(Broken):
        asyncio.run(asyncio.wait_for(overseen(forever(), forever(), fail_soon()), 20))


def test_what_goes_on_beside_ends_with_the_work():
    ended = []

    async def beside():
        try:
            await forever()
        finally:
            ended.append(True)

    asyncio.run(asyncio.wait_for(overseen(asyncio.sleep(0), beside()), 20))
    assert ended == [True]


def test_cancelled():
    async def scenario():
        task = asyncio.create_task(overseen(forever(), forever()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())
