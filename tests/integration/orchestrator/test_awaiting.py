"""Orchestrators on a real supervised workflow: the rows of CONTRACT.md.

No launcher runs in most of these tests: a second process, the puppet, plays the runs.
"""

import asyncio

import pytest
from executing import script

from motoko import (
    RunFailed,
    TaskSelectionEval,
)

# Further entries of a run: a large one has several records.
SMALL_AND_LARGE = pytest.mark.parametrize(
    "more", [{f"entry{i}": i for i in range(count)} for count in (1, 100)], ids=["small", "large"]
)


def waiters(wf):
    return wf.motoko_engine.dispatcher.waiters


class TestAwait:
    def test_runs(self, wf, puppet):
        async def main():
            created = wf.mult.createTask(x=[50.0, 51.0])
            waiting = asyncio.ensure_future(created)
            await asyncio.sleep(0)
            first, second = (run.id for run, _ in created)
            await puppet.later("mult", second, "START", {"y": 5.0, "state": "FINISHED"})
            assert not waiting.done()
            await puppet.later("mult", first, "START", "FINISHED")
            found = await waiting
            assert [run.id for run, _ in found] == [first, second]
            assert found[1][0].y == 5.0 and found[1][0].state == "FINISHED"
            assert not waiters(wf)
            # Again, and at once.
            async with asyncio.timeout(1):
                assert await created == found
                assert await wf.mult.createTask(x=[50.0, 51.0])

        script(wf, main)

    def test_back_to_back_states_are_not_missed(self, wf, puppet):
        async def main():
            for number in range(10):
                created = wf.mult.createTask(x=60.0 + number)
                waiting = asyncio.ensure_future(created)
                await asyncio.sleep(0.002 * number)  # at various moments of the await
                await puppet.later("mult", created[0][0].id, "START", "FINISHED", "FORWARDED")
                async with asyncio.timeout(5):
                    ((run, _),) = await waiting
                assert run.state in ("FINISHED", "FORWARDED")

        script(wf, main)

    def test_states_that_were_over_before_anybody_looked(self, wf, puppet):
        async def main():
            created = wf.mult.createTask(x=76.0)
            waiting = asyncio.ensure_future(created)
            async with asyncio.timeout(5):
                while wf.motoko_engine.dispatcher is None or not waiters(wf):
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            # The loop stands still meanwhile: when it wakes, only FORWARDED is there to be read.
            puppet("mult", created[0][0].id, "START", "FINISHED", "FORWARDED")
            wf.mult.base.db.storage.ping()
            async with asyncio.timeout(5):
                ((run, _),) = await waiting
            assert run.state == "FORWARDED"

        script(wf, main)

    def test_moved_on_before_the_await(self, wf, puppet):
        async def main():
            created = wf.mult.createTask(x=75.0)
            await asyncio.sleep(0)
            await puppet.later(
                "mult",
                created[0][0].id,
                {"state": "FINISHED", "ended_state": "FINISHED"},
                "FORWARDED",
            )
            async with asyncio.timeout(5):
                await created

        script(wf, main)

    @SMALL_AND_LARGE
    def test_moved_on_before_the_await_and_nobody_recorded_it(self, wf, puppet, more):
        async def main():
            created = wf.mult.createTask(x=77.0 + len(more))
            await asyncio.sleep(0)
            await puppet.later("mult", created[0][0].id, more, "FINISHED", "FORWARDED")
            async with asyncio.timeout(5):
                ((run, _),) = await created
            assert run.state == "FORWARDED"

        script(wf, main)

    @SMALL_AND_LARGE
    def test_states_of_the_users_own_are_no_ends(self, wf, puppet, more):
        async def main():
            created = wf.mult.createTask(x=277.0 + len(more))
            await asyncio.sleep(0)
            await puppet.later("mult", created[0][0].id, more, "START", "HALFWAY")
            waiting = asyncio.ensure_future(created)
            done, _ = await asyncio.wait({waiting}, timeout=0.3)
            assert not done
            await puppet.later("mult", created[0][0].id, "FINISHED")
            async with asyncio.timeout(5):
                await waiting

        script(wf, main)

    def test_selection(self, wf, puppet):
        async def main():
            created = wf.mult.createTask(x=[80.0, 81.0])
            selection = wf.mult.select("state = FINISHED")
            waiting = asyncio.ensure_future(selection)
            await asyncio.sleep(0)
            await puppet.later("mult", created[1][0].id, "FINISHED")
            found = await waiting
            assert isinstance(found, list)
            assert [run.id for run, _ in found] == [created[1][0].id]
            assert [run.id for run, _ in await selection] == [created[1][0].id]

        script(wf, main)

    def test_selection_of_what_is_not_there_yet(self, wf, other):
        async def main():
            waiting = asyncio.ensure_future(wf.mult.select("x = 82"))
            await asyncio.sleep(0.05)
            await asyncio.to_thread(create_in_thread, other, 82.0)
            ((_, job),) = await waiting
            assert job.x == 82.0

        script(wf, main)

    def test_all(self, wf, puppet):
        async def main():
            created = wf.mult.createTask(x=[83.0, 84.0])
            first, second = (run.id for run, _ in created)
            condition = wf.mult.select().all("state = FINISHED", ["state = SEEN", "x > 0"])
            assert isinstance(condition, TaskSelectionEval)
            assert not condition()
            waiting = asyncio.ensure_future(condition)
            await puppet.later("mult", first, "FINISHED")
            await puppet.later("mult", second, "SEEN")  # neither alternative holds for both
            await asyncio.sleep(0.1)
            assert not waiting.done()
            await puppet.later("mult", first, "SEEN")
            found = await waiting
            assert [run.id for run, _ in found] == [first, second]
            assert not wf.mult.select("x > 1000").all("state = SEEN")()
            left = wf.mult.select("state = SEEN, x < 85").all("x > 83")
            waiting = asyncio.ensure_future(left)  # until the other one is not SEEN any more
            await asyncio.sleep(0.1)
            await puppet.later("mult", first, "DONE")
            assert [run.id for run, _ in await waiting] == [second]

        script(wf, main)

    def test_all_raises_for_a_failed_run(self, wf, puppet):
        async def main():
            created = wf.mult.createTask(x=[85.0, 86.0])
            accepting = asyncio.ensure_future(
                wf.mult.select().all("state = FINISHED", "state = FAILED")
            )
            waiting = asyncio.ensure_future(wf.mult.select().all("state = FINISHED"))
            await asyncio.sleep(0)
            first, second = (run.id for run, _ in created)
            await puppet.later("mult", first, {"state": "FAILED", "failure_reason": "diverged"})
            with pytest.raises(RunFailed, match="diverged"):
                await waiting
            assert not accepting.done()
            await puppet.later("mult", second, "FAILED")
            assert len(await accepting) == 2

        script(wf, main)

    def test_and(self, wf, puppet):
        async def main():
            ((mult, _),) = wf.mult.createTask(x=87.0)
            ((rich, _),) = wf.rich.createTask(x=87.0, name="a")
            both = wf.mult.select("state = FINISHED") & wf.rich.select().all("state = FINISHED")
            waiting = asyncio.ensure_future(both)
            await asyncio.sleep(0)
            await puppet.later("mult", mult.id, "FINISHED")
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await puppet.later("rich", rich.id, "FINISHED")
            assert [run.id for run, _ in await waiting] == [mult.id, rich.id]

        script(wf, main)

    def test_gather(self, wf, puppet):
        async def main():
            tasks = [wf.mult.createTask(x=90.0 + n) for n in range(5)]
            ids = [task[0][0].id for task in tasks]

            async def play():
                for number in reversed(ids):
                    await puppet.later("mult", number, "START", "FINISHED")

            *results, _ = await asyncio.gather(*tasks, wf.mult.select("state = FINISHED"), play())
            assert [found[0][0].id for found in results[:5]] == ids
            assert not waiters(wf)

        script(wf, main)

    def test_wait_for_leaves_nothing(self, wf, puppet):
        async def main():
            created = wf.mult.createTask(x=96.0)
            selection = wf.mult.select("state = FINISHED")
            for awaitable in (
                created,
                selection,
                selection.all("state = X"),
                selection & selection,
            ):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(awaitable, 0.05)
                assert not waiters(wf)
            index = wf.motoko_engine.dispatcher
            assert not index.waiters.watched
            # And nothing is spoilt.
            await puppet.later("mult", created[0][0].id, "FINISHED")
            assert await asyncio.wait_for(created, 5)
            assert asyncio.all_tasks() == {asyncio.current_task(), *index._tasks}

        script(wf, main)

    def test_one_list_awaited_by_many(self, wf, puppet):
        async def main():
            created = wf.mult.createTask(x=97.0)
            waiting = [asyncio.ensure_future(created) for _ in range(3)]
            await asyncio.sleep(0.05)
            waiting[0].cancel()
            await puppet.later("mult", created[0][0].id, "FINISHED")
            assert await waiting[1] == await waiting[2]
            assert waiting[0].cancelled()

        script(wf, main)

    def test_failed_run(self, wf, puppet, tmp_path):
        async def main():
            ((run, _),) = created = wf.mult.createTask(x=98.0)
            (tmp_path / f"{wf.run_name}.e{run.id}").write_text("Traceback\nValueError: 7\n")
            waiting = asyncio.ensure_future(created)
            await asyncio.sleep(0)
            await puppet.later(
                "mult",
                run.id,
                "START",
                {"run_path": str(tmp_path), "failure_reason": "exit code 1", "state": "FAILED"},
            )
            with pytest.raises(RunFailed) as caught:
                await waiting
            error = caught.value
            assert (error.study, error.run_id, error.state) == ("mult", run.id, "FAILED")
            text = str(error)
            assert "exit code 1" in text and str(tmp_path) in text and "ValueError: 7" in text
            assert f"motoko retry mult.{run.id}" in error.hint
            # At resume it raises at once.
            with pytest.raises(RunFailed):
                async with asyncio.timeout(1):
                    await wf.mult.createTask(x=98.0)
            assert not waiters(wf)

        script(wf, main)

    @pytest.mark.parametrize("state", ["FAILURE", "ERROR", "CANCELLED", "TIMEOUT", "NODE_FAIL"])
    def test_failed_states(self, wf, puppet, state):
        async def main():
            created = wf.mult.createTask(x=99.0)
            await asyncio.sleep(0)
            await puppet.later("mult", created[0][0].id, state)
            with pytest.raises(RunFailed, match=state):
                await created

        script(wf, main)

    def test_gather_with_a_failure(self, wf, puppet):
        async def main():
            good, bad = wf.mult.createTask(x=100.0), wf.mult.createTask(x=101.0)
            waiting = asyncio.ensure_future(asyncio.gather(good, bad, return_exceptions=True))
            await asyncio.sleep(0)
            await puppet.later("mult", bad[0][0].id, "FAILED")
            await puppet.later("mult", good[0][0].id, "FINISHED")
            found, error = await waiting
            assert found[0][0].id == good[0][0].id and isinstance(error, RunFailed)

        script(wf, main)

    def test_saved_at_the_loops_next_turn(self, wf, other):
        async def main():
            ((run, _),) = wf.mult.createTask(x=102.0)
            await asyncio.sleep(0.01)  # a foreign await
            run["note"] = "hello"
            await asyncio.sleep(0.01)
            found = await asyncio.to_thread(read_in_thread, other, run.id)
            assert found["note"] == "hello"

        script(wf, main)


def create_in_thread(workflow, x):
    workflow.mult.createTask(x=x)
    workflow.close()


def read_in_thread(workflow, number):
    found = dict(workflow.mult.base.runs.entries[number].entries.items())
    workflow.close()
    return found
