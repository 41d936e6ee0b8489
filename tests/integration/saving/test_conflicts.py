"""When pending changes are saved, and what becomes of conflicts: CONTRACT.md, "Saving"."""

import asyncio
import decimal
import subprocess
import sys

import pytest
import transaction
from executing import execute, script
from savers import MANY, turns

from motoko import ChangeConflict
from motoko.store.session import session


class TestConflicts:
    @pytest.mark.parametrize("large", [False, True])
    def test_the_same_key(self, wf, run, other, large):
        if large:
            for number in range(MANY):
                run[f"k{number:02}"] = number
            transaction.commit()
        run.state = "MINE"
        other.do(f"run({run.id}).state = 'THEIRS'")
        with pytest.raises(ChangeConflict) as caught:
            transaction.commit()
        text = str(caught.value)
        for word in (str(run.id), "'state'", "'MINE'", "'THEIRS'"):
            assert word in text
        assert other.see(run.id, "state") == "THEIRS"
        assert run.state == "THEIRS" and not session().pending
        # It was said once, and nothing is spoilt.
        run.state = "AGAIN"
        transaction.commit()
        assert other.see(run.id, "state") == "AGAIN"

    def test_the_same_undeclared_attribute(self, wf, run, other):
        run.weight = 1
        transaction.commit()
        run.weight = 2
        other.do(f"run({run.id}).weight = 3")
        with pytest.raises(ChangeConflict, match=rf"{run.id}.*weight"):
            transaction.commit()
        other.do(f"assert run({run.id}).weight == 3")

    def test_the_next_await_tells(self, wf, run, other):
        async def main():
            run["note"] = "mine"
            other.do(f"run({run.id})['note'] = 'theirs'")
            await turns()
            assert not session().pending
            with pytest.raises(ChangeConflict, match=r"note.*'mine'.*'theirs'"):
                await wf.mult.select("state = CREATED")
            assert (await wf.mult.select("state = CREATED"))[0][0].note == "theirs"

        script(wf, main)

    @pytest.mark.parametrize("keys", [("note", "note"), ("other", "note")])
    def test_whoever_has_set_it_is_told(self, wf, run, other, keys):
        """Two tasks change one record in a turn: the first of them knows nothing of the second."""

        async def change(key):
            run[key] = "mine"
            await turns(4)  # until it is saved, or not
            try:
                transaction.commit()
            except ChangeConflict:
                return key

        async def main():
            other.do(f"run({run.id})['note'] = 'theirs'")
            told = await asyncio.gather(*map(change, keys))
            assert told == [key if key == "note" else None for key in keys]

        script(wf, main)

    def test_a_handlers_conflict_ends_the_workflow(self, wf, run, other):
        def handler(workflow, **params):
            run["note"] = "mine"
            other.do(f"run({run.id})['note'] = 'theirs'")

        async def main(workflow, **params):
            workflow.add_action("act", task="mult", event=lambda: True, f=handler)

        with pytest.raises(ChangeConflict, match="note"):
            execute(wf, main)

    @pytest.mark.parametrize("creates", ["nothing", "before", "after"])
    def test_none_touches_anothers_changes(self, wf, run, other, creates):
        """Two coroutines change runs in the same turn; one of them meets a conflict."""
        ((second, _),) = wf.mult.createTask(x=2.0)
        created = []

        async def unlucky():
            run["note"] = "mine"
            other.do(f"run({run.id})['note'] = 'theirs'")
            await turns()
            async with asyncio.timeout(10):
                await wf.mult.select("state = FINISHED")

        async def lucky():
            if creates == "after":  # another's conflict is there already
                created.extend(wf.mult.createTask(x=3.0))
            second["note"] = "fine"
            second.state = "FINISHED"
            await turns(10)

        async def main():
            if creates == "before":
                created.extend(wf.mult.createTask(x=3.0))
            return await asyncio.gather(unlucky(), lucky(), return_exceptions=True)

        found = script(wf, main)
        assert [str(each) for each in found if isinstance(each, Exception)], "it is never silent"
        assert isinstance(found[0], ChangeConflict) and found[1] is None, found
        assert other.see(run.id, "note") == "theirs"
        assert other.see(second.id, "note") == "fine"
        assert other.see(second.id, "state") == "FINISHED"
        assert other.ids(wf.run_name) == [run.id, second.id, *(each.id for each, _ in created)]
        assert len(created) == (creates != "nothing")

    def test_one_in_conflict_all_the_time(self, wf, run, other):
        """Another coroutine's changes, and the runs that it creates, are all saved."""
        ((second, _),) = wf.mult.createTask(x=2.0)
        count, conflicts = 25, []

        async def unlucky():
            for number in range(count):
                run["note"] = f"mine {number}"
                other.do(f"run({run.id})['note'] = 'theirs {number}'")
                try:
                    await wf.mult.select("state = CREATED")
                except ChangeConflict as conflict:
                    conflicts.append(conflict)

        async def lucky():
            for number in range(count):
                second[f"key{number}"] = number
                wf.mult.createTask(x=100.0 + number)
                await (asyncio.sleep(0) if number % 2 else wf.mult.select("state = CREATED"))

        async def main():
            await asyncio.gather(unlucky(), lucky())

        script(wf, main)
        assert len(conflicts) == count, "none is silent, and none is another's"
        assert [other.see(second.id, f"key{number}") for number in range(count)] == [*range(count)]
        assert len(other.ids(wf.run_name)) == 2 + count
        assert other.see(run.id, "note") == f"theirs {count - 1}"

    def test_later_changes_are_saved_all_the_same(self, wf, run, other):
        """A conflict that nobody has been told of yet keeps no change from being saved."""

        async def main():
            run["note"] = "mine"
            other.do(f"run({run.id})['note'] = 'theirs'")
            await turns()
            run["later"] = 1
            await turns()
            assert not session().pending
            assert other.see(run.id, "later") == 1
            with pytest.raises(ChangeConflict, match="note"):
                await wf.mult.select("state = CREATED")

        script(wf, main)

    def test_values_that_python_cannot_compare(self, wf, run, other):
        """Two writers on different keys, of runs that hold all kinds of values, do not meet."""
        import numpy as np

        runs = [run, *(each for each, _ in wf.mult.createTask(x=[2.0, 3.0, 4.0]))]
        odd = [np.arange(4.0), float("nan"), [np.zeros(2)], {"a": float("nan")}]
        for each, value in zip(runs, odd, strict=True):
            each["odd"], each["record"] = value, decimal.Context(prec=5)  # without __eq__
        transaction.commit()

        async def main():
            for number in range(3):
                for each in runs:
                    each["mine"], each.state = number, f"S{number}"
                    other.do(
                        f"run({each.id})['theirs'] = {number}; run({each.id}).nproc = {number}"
                    )
                await turns()
            transaction.commit()
            for each in runs:
                seen = [other.see(each.id, key) for key in ("mine", "theirs", "state", "nproc")]
                assert seen == [2, 2, "S2", 2]
            runs[0]["odd"] = np.arange(5.0)
            other.do(f"import numpy; run({runs[0].id})['odd'] = numpy.zeros(3)")
            await turns()
            with pytest.raises(ChangeConflict, match=rf"run {runs[0].id}: 'odd' was set to array"):
                await wf.mult.select("x = 1.0")

        script(wf, main)

    @pytest.mark.parametrize("value", ["lambda: 0", "Mine()", "[Mine()]", "{'a': Mine()}"])
    def test_what_others_cannot_read(self, wf, flow, run, other, value):
        """A value that cannot be stored, or read by others, is refused; all else is saved."""
        code = f"""
import asyncio, sys
import transaction
from motoko import MotokoError, Workflow
from motoko.store.session import session
class Mine: pass
async def main():
    workflow = Workflow(sys.argv[1])
    ((run, _),) = workflow.mult.select("runs.id = {run.id}").exec()
    run["bad"] = {value}
    run["good"] = 7
    try:
        transaction.commit()
    except MotokoError as error:
        print(error)
    session().refresh(workflow.mult.base)
    run["later"] = 8
    transaction.commit()
    assert "bad" not in run.entries
    workflow.close()
asyncio.run(main())
"""
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, str(flow.path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout.startswith(f"run {run.id}: 'bad' cannot be saved: "), done
        assert done.returncode == 0 and (other.see(run.id, "good"), other.see(run.id, "later")) == (
            7,
            8,
        )

    def test_what_cannot_be_stored(self, wf, run, other):
        """A value that cannot be stored is an error, and nothing else is lost."""

        async def main():
            run["bad"] = lambda: 0
            await turns()
            with pytest.raises(Exception, match="'bad' cannot be saved"):
                await wf.mult.select("state = CREATED")
            run["good"] = 1
            await wf.mult.select("state = CREATED")
            assert other.see(run.id, "good") == 1

        script(wf, main)
