"""Loops over many things give way to others."""

import asyncio

from motoko.workers.launcher.unhurried import AT_ONCE, unhurried


def test_others_have_their_turn():
    turns, seen = [], []

    async def other():
        while True:
            turns.append(len(seen))
            await asyncio.sleep(0)

    async def main():
        task = asyncio.create_task(other())
        async for thing in unhurried(range(2 * AT_ONCE + 1)):
            seen.append(thing)
        task.cancel()

    asyncio.run(main())
    assert seen == [*range(2 * AT_ONCE + 1)] and turns == [AT_ONCE, 2 * AT_ONCE]
