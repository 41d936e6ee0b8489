"""Coroutines of tests, executed as a workflow's orchestrator or as a script of its own."""

import asyncio


def script(wf, main):
    """Run a coroutine without ``execute``, as a user's own script does."""

    async def whole():
        try:
            return await main()
        finally:
            wf.motoko_engine.detach()

    return asyncio.run(whole())


def execute(wf, main, **params):
    wf.orchestrator_function = main
    wf.execute(**params)
