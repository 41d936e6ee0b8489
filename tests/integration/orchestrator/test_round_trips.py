"""What an orchestrator asks a study's server for each run that it creates and awaits."""

import asyncio

import pytest
from executing import script

CREATED_AND_AWAITED = ["vote"]


@pytest.fixture
def calls(wf, monkeypatch):
    """The calls of the study's connection, oids for new objects left out."""
    noted = []
    storage = wf.mult.base.db.storage
    call = storage.call_server

    def noting(method, *args, **options):
        if method != "new_oids":
            noted.append(method)
        return call(method, *args, **options)

    monkeypatch.setattr(storage, "call_server", noting)
    storage._call = noting
    return noted


async def step(wf, puppet, calls, x):
    """One run from its creation to its end; returns the calls until it was awaited.

    A message of the bus may come before the server's own: that costs a round trip at its end.
    """
    del calls[:]
    created = wf.mult.createTask(x=x)
    waiting = asyncio.ensure_future(created)
    while not wf.motoko_engine.dispatcher or not wf.motoko_engine.dispatcher.waiters:
        assert not waiting.done()
        await asyncio.sleep(0)
    before = list(calls)
    await puppet.later("mult", created[0][0].id, "START", {"y": x, "state": "FINISHED"})
    ((run, _),) = await waiting
    assert run.y == x
    return before


def test_one_for_each_run(wf, puppet, calls):
    async def main():
        for number in range(2):
            await step(wf, puppet, calls, 300.0 + number)  # these pay for what is done once
        for number in range(5):
            assert await step(wf, puppet, calls, 310.0 + number) == CREATED_AND_AWAITED

    script(wf, main)


def test_what_others_have_created_is_seen(wf, other, calls):
    ((first, _),) = wf.mult.createTask(x=320.0)
    del calls[:]
    wf.mult.createTask(x=321.0)
    assert calls == CREATED_AND_AWAITED
    ((run, _),) = other.mult.createTask(x=322.0)
    ((known, _),) = wf.mult.createTask(x=322.0)
    assert known.id == run.id == first.id + 2
    ((known, _),) = other.mult.createTask(x=321.0)
    assert known.id == first.id + 1
