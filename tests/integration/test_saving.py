"""When pending changes are saved, and what becomes of conflicts: CONTRACT.md, "Saving"."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import transaction
from support import Flow, kill9, processes_in, sockets_in, wait_until

from motoko import ChangeConflict, Workflow
from motoko.bd.session import session

DEADLINE_S = 40
MANY = 40  # entries of a run: more than 30 are kept in several records

# Another process: evaluates what it is sent, with a fresh view, and commits.
OTHER = """
import json, sys, traceback
import transaction
from motoko.bd.session import session
from motoko.workflow import Workflow

workflow = Workflow(sys.argv[1])

def run(number):
    return workflow.mult.base.runs.entries[number]

for line in sys.stdin:
    try:
        session().refresh(workflow.mult.base)
        mode, code = json.loads(line)
        if mode == "exec":
            exec(code)
            transaction.commit()
            found = None
        else:
            found = eval(code)
        answer = json.dumps(["done", found])
    except Exception:
        answer = json.dumps(["failed", traceback.format_exc()])
    print(answer, flush=True)
workflow._close()
"""

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


def write(directory):
    directory.mkdir(parents=True)
    (directory / "motoko.yaml").write_text(
        "task_managers:\n  mult:\norchestrator: orchestrator.main\n"
    )
    (directory / "orchestrator.py").write_text("async def main(workflow, **params): ...\n")
    (directory / "mult").mkdir()
    (directory / "mult" / "bd.yaml").write_text("study: mult\njob:\n  x: float\n")
    (directory / "mult" / "launch.sh").write_text("python doIt.py\n")
    (directory / "mult" / "doIt.py").write_text("")
    return Flow(directory, ("mult",))


class Other:
    """Another process, which reads and changes runs and commits each change."""

    def __init__(self, path):
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", OTHER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _send(self, mode, code):
        self._process.stdin.write(json.dumps([mode, code]) + "\n")
        self._process.stdin.flush()
        state, found = json.loads(self._process.stdout.readline())
        assert state == "done", found
        return found

    def do(self, code):
        """Execute statements, with ``run(number)``, and commit."""
        self._send("exec", code)

    def see(self, number, key):
        """What it reads, in a fresh view, in a run's entry."""
        return self._send("eval", f"run({number}).entries.get({key!r})")

    def ids(self, run_name):
        return self._send(
            "eval",
            f"[r.id for r in workflow.mult.base.runs.entries.values() "
            f"if r.run_name == {run_name!r}]",
        )

    def close(self):
        self._process.stdin.close()
        assert self._process.wait(20) == 0


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """The workflow of this module, supervised without launchers."""
    place = tmp_path_factory.mktemp("saving")
    private = Path(tempfile.mkdtemp(prefix="mt-", dir="/tmp"))
    flow = write(place / "wf")
    flow.create()
    done = flow.motoko("supervise", "--detach", "--no-launchers", TMPDIR=str(private))
    assert done.returncode == 0, done.stderr
    yield flow
    assert flow.motoko("kill", "--now").returncode == 0
    wait_until(lambda: not list(processes_in(place)), "nothing is left")
    assert not sockets_in(private, place)
    shutil.rmtree(private)


@pytest.fixture(scope="module")
def other(flow):
    other = Other(flow.path)
    yield other
    other.close()


@pytest.fixture(autouse=True)
def deadline():
    """What hangs is interrupted."""

    def late(number, frame):
        raise AssertionError(f"it hangs: not done within {DEADLINE_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(DEADLINE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def wf(flow, request):
    """The workflow in this process, with a run_name of the test's own."""
    workflow = Workflow(flow.path)
    workflow.run_name = request.node.name
    yield workflow
    workflow._close()


@pytest.fixture
def run(wf):
    """A saved run."""
    ((run, _),) = wf.mult.createTask(x=1.0)
    return run


def script(wf, main):
    """Run a coroutine without ``execute``, as a user's own script does."""

    async def whole():
        try:
            return await main()
        finally:
            wf._execution.close()

    return asyncio.run(whole())


def execute(wf, main):
    wf.orchestrator_function = main
    wf.execute()


async def turns(count=2):
    for _ in range(count):
        await asyncio.sleep(0)


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


class TestMerging:
    """Conflicts that are none: the change is applied again to the fresh object."""

    @pytest.fixture(params=["small", "large"])
    def sized(self, request, run):
        if request.param == "large":
            for number in range(MANY):
                run[f"k{number:02}"] = number
            transaction.commit()
            assert len(run.entries) > MANY
        return run

    @pytest.mark.parametrize("how", ["turn", "commit", "await"])
    def test_attribute_writes(self, wf, sized, other, how):
        async def main():
            sized.state = "MINE"
            other.do(f"run({sized.id}).nproc = 5")
            if how == "turn":
                await turns()
            elif how == "commit":
                transaction.commit()
            else:
                await wf.mult.select("state = MINE")
            assert other.see(sized.id, "state") == "MINE"
            assert other.see(sized.id, "nproc") == 5
            session().refresh(wf.mult.base)
            assert (sized.state, sized.nproc) == ("MINE", 5)

        script(wf, main)

    def test_items(self, wf, sized, other):
        sized["mine"] = 1
        sized["k00"] = "mine"
        other.do(f"run({sized.id})['theirs'] = 2; run({sized.id})['k39'] = 'theirs'")
        transaction.commit()
        for key, value in {"mine": 1, "theirs": 2, "k00": "mine", "k39": "theirs"}.items():
            assert other.see(sized.id, key) == value

    def test_undeclared_attributes(self, wf, sized, other):
        """`run.weight = 2.5` makes an attribute of the run itself, not an entry."""
        sized.weight = 2.5
        other.do(f"run({sized.id}).height = 7")
        transaction.commit()
        other.do(f"assert (run({sized.id}).weight, run({sized.id}).height) == (2.5, 7)")

    @pytest.mark.parametrize("before", [0, 20, 100])
    def test_splits(self, wf, run, other, before):
        """Both sides add so much that the run's tree changes its shape."""
        for number in range(before):
            run[f"k{number:03}"] = number
        transaction.commit()
        for number in range(MANY):
            run[f"a{number:02}"] = number
        run.state = "MINE"
        other.do(
            f"for n in range({MANY}):\n"
            f"    run({run.id})[f'z{{n:02}}'] = n\n"
            f"    run({run.id})[f'b{{n:02}}'] = n\n"
            f"run({run.id}).nproc = 3\n"
        )
        transaction.commit()
        expected = {f"k{n:03}": n for n in range(before)}
        expected |= {f"{c}{n:02}": n for c in "abz" for n in range(MANY)}
        expected |= {"state": "MINE", "nproc": 3}
        other.do(
            f"found = dict(run({run.id}).entries)\n"
            f"wrong = {{k: v for k, v in {expected!r}.items() if found.get(k) != v}}\n"
            f"assert not wrong, wrong"
        )

    def test_deleted_keys(self, wf, sized, other):
        sized["a"], sized["b"] = 1, 2
        transaction.commit()
        del sized["a"]
        sized.state = "MINE"
        other.do(f"del run({sized.id})['b']; run({sized.id}).nproc = 2")
        transaction.commit()
        other.do(f"assert not {{'a', 'b'}} & set(run({sized.id}).entries)")
        assert other.see(sized.id, "state") == "MINE" and other.see(sized.id, "nproc") == 2

    def test_created_beside_a_conflict(self, wf, run, other):
        """A creation in the same commit is repeated, and finds what somebody else has made."""

        async def main():
            run.state = "MINE"
            created = wf.mult.createTask(x=[5.0, 6.0])
            other.do(f"run({run.id}).nproc = 4")
            await turns()
            ids = [each.id for each, _ in created]
            assert other.ids(wf.run_name) == [run.id, *ids]
            assert other.see(run.id, "state") == "MINE" and other.see(run.id, "nproc") == 4
            assert [each.state for each, _ in created] == ["CREATED", "CREATED"]

        script(wf, main)

    def test_what_both_have_set_alike(self, wf, sized, other):
        sized.state = "SAME"
        other.do(f"run({sized.id}).state = 'SAME'; run({sized.id}).nproc = 2")
        transaction.commit()
        assert other.see(sized.id, "state") == "SAME"


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

    def test_what_cannot_be_stored(self, wf, run, other):
        """It is said, and spoils nothing."""

        async def main():
            run["bad"] = lambda: 0
            await turns()
            with pytest.raises(Exception, match="pickle"):
                await wf.mult.select("state = CREATED")
            run["good"] = 1
            await wf.mult.select("state = CREATED")
            assert other.see(run.id, "good") == 1

        script(wf, main)


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
        """Whenever it strikes, each commit is saved once it has returned."""
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
