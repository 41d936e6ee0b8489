"""When pending changes are saved, and what becomes of conflicts: CONTRACT.md, "Saving"."""

import asyncio
import json
import subprocess
import sys

import pytest
import transaction
from executing import execute, script
from savers import turns
from support import kill9, wait_until

from motoko.store.session import session

CREATOR = """
import json, sys, time
from pathlib import Path
from motoko import Workflow

path, number, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
workflow = Workflow(path)
workflow.run_name = "many"
workflow.mult.base
print("ready", flush=True)
sys.stdin.readline()
found = {}
for n in range(count):
    x = n if n % 2 else 1000 * (number + 1) + n  # every second one is everybody's
    ((run, job),) = workflow.mult.createTask(x=float(x))
    found[x] = run.id
print(json.dumps(found), flush=True)
"""


class TestWhen:
    @pytest.mark.parametrize("kind", ["runs", "selection", "all", "and", "wait_for", "gather"])
    def test_a_motoko_awaitable_is_awaited(self, wf, run, other, kind):
        async def main():
            selection = wf.mult.select("state = FINISHED")
            awaitable = {
                "runs": lambda: wf.mult.createTask(x=1.0),
                "selection": lambda: selection,
                "all": lambda: wf.mult.select().all("state = FINISHED"),
                "and": lambda: selection & selection,
                "wait_for": lambda: asyncio.wait_for(wf.mult.createTask(x=1.0), 5),
                "gather": lambda: asyncio.gather(selection, wf.mult.createTask(x=1.0)),
            }[kind]()
            run["note"] = kind
            if kind in ("wait_for", "gather"):
                waiting = asyncio.ensure_future(awaitable)
                await turns()
                assert other.see(run.id, "note") == kind
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                return
            # The await's first step, before the loop has another turn.
            steps = awaitable.__await__()
            steps.send(None)
            assert not session().pending
            assert other.see(run.id, "note") == kind
            steps.close()

        script(wf, main)

    def test_a_handler_returns(self, wf, run, other):
        seen = []

        def first(workflow, **params):
            run["note"] = "first's"

        def second(workflow, **params):
            # In the same round: nothing has been awaited since.
            seen.append(other.see(run.id, "note"))
            workflow.finished = True

        async def main(workflow, **params):
            workflow.add_action("a", task="mult", event=lambda: True, f=first)
            workflow.add_action("b", task="mult", event=lambda: True, f=second)

        execute(wf, main)
        assert seen == ["first's"]

    def test_main_returns(self, wf, run, other):
        async def main(workflow, **params):
            workflow.mult.createTask(x=2.0)
            run["note"] = "main's"

        execute(wf, main)
        assert other.see(run.id, "note") == "main's"
        assert len(other.ids(wf.run_name)) == 2

    def test_main_returns_and_actions_go_on(self, wf, run, other):
        def last(runs, workflow, **params):
            ((found, _),) = runs
            assert found.note == "main's"
            workflow.finished = True

        async def main(workflow, **params):
            workflow.add_action("last", task="mult", event="note = main's", f=last)
            run["note"] = "main's"

        execute(wf, main)
        assert other.see(run.id, "note") == "main's"

    def test_transaction_commit(self, wf, run, other):
        run["note"] = "script's"
        transaction.commit()
        assert other.see(run.id, "note") == "script's"

        async def main():
            run["note"] = "coroutine's"
            transaction.commit()
            assert other.see(run.id, "note") == "coroutine's"

        script(wf, main)

    def test_next_turn(self, wf, run, other):
        async def main():
            for number in range(3):
                run["note"] = number
                run.state = f"S{number}"
                ((new, _),) = wf.mult.createTask(x=10.0 + number)
                assert session().pending
                await turns()
                assert not session().pending
                assert other.see(run.id, "note") == number
                assert other.see(run.id, "state") == f"S{number}"
                assert other.see(new.id, "x") is None and other.see(new.id, "id") == new.id

        script(wf, main)

    def test_create_without_a_loop(self, wf, other):
        runs = wf.mult.createTask(x=[1.0, 2.0, 3.0])
        assert not session().pending
        assert other.ids(wf.run_name) == [run.id for run, _ in runs]

    def test_commit_in_a_loop(self, wf, other):
        async def main():
            runs = wf.mult.createTask(x=1.0, commit=True)
            assert other.ids(wf.run_name) == [run.id for run, _ in runs]

        script(wf, main)

    def test_no_lock_outlives_a_commit(self, wf, run, other):
        """Creators of another process get their turn while this one is between commits."""

        async def main():
            wf.mult.createTask(x=2.0)
            wf.mult.createTask(x=1.0)  # exists already
            await turns()
            other.do("workflow.run_name = 'theirs'; workflow.mult.createTask(x=2.0)")
            run["note"] = 1
            other.do("workflow.mult.createTask(x=3.0)")
            await turns()
            assert other.see(run.id, "note") == 1

        script(wf, main)


class Odd:
    """A value whose storing fails with an error that is nobody's but the user's."""

    def __reduce__(self):
        raise ArithmeticError("it is odd")


class TestLostInTheBackground:
    """A save at the loop's next turn fails, with nobody there to catch it."""

    def test_main_gets_it_at_its_end(self, wf, run):
        async def main(workflow, **params):
            run["bad"] = Odd()
            await turns()

        with pytest.raises(ArithmeticError, match="it is odd"):
            execute(wf, main)

    def test_whoever_awaits_gets_it_once(self, wf, run, other):
        async def main():
            run["bad"] = Odd()
            await turns()
            with pytest.raises(ArithmeticError, match="it is odd"):
                await wf.mult.select("state = CREATED")
            run["good"] = 1
            await wf.mult.select("state = CREATED")
            assert other.see(run.id, "good") == 1

        script(wf, main)

    def test_each_task_whose_changes_are_lost(self, wf, run, other):
        """Each task whose changes are lost gets the error, and no other task does."""
        ((second, _),) = wf.mult.createTask(x=2.0)
        caught = {}

        async def one(name, value, changed=run):
            changed[name] = value
            await turns(3)
            try:
                await wf.mult.select("state = CREATED")
            except ArithmeticError as error:
                caught[name] = error

        async def main():
            await asyncio.gather(one("bad", Odd()), one("beside", 1, second))
            await one("later", 2)

        script(wf, main)
        assert list(caught) == ["bad", "beside"]
        assert other.see(run.id, "later") == 2

    def test_execute_ends_with_what_a_cancelled_task_never_got(self, wf, run):
        async def beside():
            run["bad"] = Odd()
            await asyncio.sleep(60)

        async def main(workflow, **params):
            task = asyncio.create_task(beside())
            await turns(3)
            workflow.finished = True
            await task

        with pytest.raises(ArithmeticError, match="it is odd"):
            execute(wf, main)

    def test_exit_code(self, flow, tmp_path):
        orchestrator = flow.directory / "orchestrator.py"
        before = orchestrator.read_text()
        orchestrator.write_text(
            "import asyncio\n"
            "class Odd:\n"
            "    def __reduce__(self):\n"
            "        raise ArithmeticError('it is odd')\n"
            "async def main(workflow, **params):\n"
            "    ((run, _),) = workflow.mult.createTask(x=1.0)\n"
            "    run['bad'] = Odd()\n"
            "    await asyncio.sleep(0.01)\n"
        )
        try:
            done = flow.motoko("orchestrator", "start", "-n", "odd")
        finally:
            orchestrator.write_text(before)
        assert done.returncode == 1 and "it is odd" in done.stderr, done


def test_many_creators(flow, other):
    """8 processes, 30 createTask each, half of them the same in all."""
    count, processes = 30, []
    for number in range(8):
        command = [sys.executable, "-P", "-c", CREATOR, str(flow.path), str(number), str(count)]
        processes.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    by_x = {}
    for each in found:
        assert len(each) == count
        for x, number in each.items():
            by_x.setdefault(x, set()).add(number)
    assert len(by_x) == 8 * count // 2 + count // 2
    assert all(len(numbers) == 1 for numbers in by_x.values()), "the same task, two runs"
    ids = [number for (number,) in by_x.values()]
    assert len(set(ids)) == len(ids)
    assert sorted(ids) == sorted(other.ids("many")), "runs that nobody has got"
    jobs = other._send(
        "eval", "[r.job_id for r in workflow.mult.base.runs.entries.values() if r.run_name=='many']"
    )
    assert len(set(jobs)) == len(jobs)


class TestServerKilled:
    def kill(self, flow):
        kill9(flow.pids()["zeo:mult"])

    def test_between_commits(self, flow, wf, run, other):
        async def main():
            run["before"] = 1
            await turns()
            self.kill(flow)
            run["after"] = 2
            transaction.commit()
            created = wf.mult.createTask(x=2.0)
            await turns()
            assert other.see(run.id, "before") == 1 and other.see(run.id, "after") == 2
            assert other.ids(wf.run_name) == [run.id, created[0][0].id]
            assert not session().pending

        script(wf, main)

    def test_with_changes_pending(self, flow, wf, run, other):
        async def main():
            run.state = "MINE"
            run["note"] = 1
            created = wf.mult.createTask(x=[2.0, 3.0])
            self.kill(flow)
            await turns()
            assert other.see(run.id, "state") == "MINE" and other.see(run.id, "note") == 1
            assert other.ids(wf.run_name) == [run.id, *(each.id for each, _ in created)]

        script(wf, main)

    def test_in_the_midst_of_commits(self, flow, wf, run, other):
        """The server is killed at any moment: each commit that has returned is saved."""
        wait_until(lambda: flow.state() == "ready", "the server killed before is back")
        pid = flow.pids()["zeo:mult"]
        killer = subprocess.Popen(["sh", "-c", f"read go; kill -9 {pid}"], stdin=subprocess.PIPE)
        for number in range(150):
            run[f"n{number}"] = number
            if number == 20:
                killer.communicate(b"go\n")  # returns when the signal is sent
            transaction.commit()
        found = [other.see(run.id, f"n{number}") for number in range(150)]
        assert found == list(range(150))
