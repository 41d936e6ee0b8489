"""CONTRACT.md, "Semantics, settled": firing, failures, names, and who may execute.

In most of these tests no launcher runs: a second process, the puppet, plays the runs.
"""

import asyncio
import json
import logging
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import transaction
from support import Flow, kill9, processes_in, sockets_in, wait_until

from motoko import RunFailed, Workflow
from motoko.bd.session import session
from motoko.errors import ConstraintError, OrchestratorRunning
from motoko.workflow import event

DEADLINE_S = 40
STUDIES = ("mult", "other", "empty")

PUPPET = """
import json, sys, traceback
import transaction
from motoko.bd.session import session
from motoko.workflow import Workflow

workflow = Workflow(sys.argv[1])
for line in sys.stdin:
    try:
        study, number, changes = json.loads(line)
        base = getattr(workflow, study).base
        session().refresh(base)
        for change in changes:
            base.runs.entries[number].entries.update(change)
            transaction.commit()
        answer = "done"
    except Exception:
        answer = json.dumps(traceback.format_exc())
    print(answer, flush=True)
workflow._close()
"""

# Fails at its first attempt of a job with x < 0, and at every one with x < -100.
DO_IT = """\
import sys
import BlackDynamite as BD

run, job = BD.getRunFromScript()
run.start()
if job.x < 0 and (job.x < -100 or run.attempt == 1):
    print("ValueError: no convergence", file=sys.stderr)
    sys.exit(7)
run["y"] = job.x * 2
run.finish()
"""

ORCHESTRATOR = """\
import asyncio


def populate_arg_parser(parser):
    parser.add_argument("--x", type=float)


async def main(workflow, x, **params):
    print("waiting", flush=True)
    ((run, job),) = await workflow.mult.createTask(x=x)
    print("got", job.x, flush=True)
"""


def write(directory, studies=STUDIES, do_it=""):
    directory.mkdir(parents=True)
    managers = "".join(f"  {study}:\n" for study in studies)
    (directory / "motoko.yaml").write_text(
        f"task_managers:\n{managers}orchestrator: orchestrator.main\n"
    )
    (directory / "orchestrator.py").write_text(ORCHESTRATOR)
    for study in studies:
        (directory / study).mkdir()
        (directory / study / "bd.yaml").write_text(f"study: {study}\njob:\n  x: float\n")
        (directory / study / "launch.sh").write_text("python doIt.py\n")
        (directory / study / "doIt.py").write_text(do_it)
    return Flow(directory, studies)


class Puppet:
    """Another process, which changes runs and commits each change."""

    def __init__(self, path):
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", PUPPET, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()

    def __call__(self, run, *changes):
        """Commit one change of a run after the other; a string is a state."""
        wanted = [{"state": c} if isinstance(c, str) else c for c in changes]
        transaction.commit()  # it is to be there
        self._tell([run.base.study.name, run.entries["id"], wanted])

    def _tell(self, message):
        with self._lock:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        assert answer == "done\n", answer

    def tell(self, study, number, *changes):
        self._tell([study, number, [{"state": c} for c in changes]])

    def close(self):
        self._process.stdin.close()
        assert self._process.wait(20) == 0


def supervised(place, flow, *options):
    private = Path(tempfile.mkdtemp(prefix="mt-", dir="/tmp"))
    flow.create()
    done = flow.motoko("supervise", "--detach", *options, TMPDIR=str(private))
    assert done.returncode == 0, done.stderr
    yield flow
    assert flow.motoko("kill", "--now").returncode == 0
    wait_until(lambda: not list(processes_in(place)), "nothing is left")
    assert not sockets_in(private, place)
    shutil.rmtree(private)


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """The workflow of most tests, supervised without launchers."""
    place = tmp_path_factory.mktemp("semantics")
    yield from supervised(place, write(place / "wf"), "--no-launchers")


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """A workflow whose runs are really run."""
    place = tmp_path_factory.mktemp("launched")
    yield from supervised(place, write(place / "wf", ("mult",), DO_IT))


@pytest.fixture(scope="module")
def puppet(flow):
    puppet = Puppet(flow.path)
    yield puppet
    puppet.close()


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


def opened(flow, request):
    workflow = Workflow(flow.path)
    workflow.run_name = request.node.name
    yield workflow
    transaction.abort()
    workflow._close()


@pytest.fixture
def wf(flow, request):
    """The workflow in this process, with a run_name of the test's own."""
    yield from opened(flow, request)


@pytest.fixture
def real(launched, request):
    yield from opened(launched, request)


def script(wf, main):
    """Run a coroutine without ``execute``, as a user's own script does."""

    async def whole():
        try:
            return await main()
        finally:
            wf._execution.close()

    return asyncio.run(whole())


def execute(wf, main, **params):
    wf.orchestrator_function = main
    wf.execute(**params)


def waiters(wf):
    return wf._execution.dispatcher._waiters


class Ticks:
    """An action that fires at every tick, and a condition for tests to wait for."""

    def __init__(self, workflow):
        self.times = []
        self._changed = asyncio.Event()
        workflow.add_action("tick", task="empty", event=lambda: True, f=self._tick)

    def _tick(self, **params):
        self.times.append(asyncio.get_running_loop().time())
        self._changed.set()

    async def wait(self, count):
        """Until it has fired so many times more."""
        wanted = len(self.times) + count
        while len(self.times) < wanted:
            self._changed.clear()
            await self._changed.wait()


class TestFiring:
    def test_writing_ones_own_trigger_does_not_spin(self, wf):
        fired = {}

        def note(runs):
            ((run, job),) = runs
            fired[job.x] = fired.get(job.x, 0) + 1
            run["state"] = f"S{fired[job.x]}"
            return run

        def plain(runs, **params):
            note(runs)

        async def suspends(runs, **params):
            note(runs)
            await asyncio.sleep(0.01)

        @event
        async def decorated(runs, **params):
            note(runs)

        async def awaits(runs, workflow, **params):
            note(runs)
            await workflow.mult.select("state ~ ^S")

        def commits(runs, **params):
            note(runs)
            transaction.commit()

        def by_attribute(runs, **params):
            note(runs).state += "x"

        async def concurrent(runs, **params):
            note(runs)
            await asyncio.sleep(0.01)

        handlers = [plain, suspends, decorated, awaits, commits, by_attribute, concurrent]

        async def main(workflow, **params):
            for (run, job), handler in zip(
                workflow.mult.createTask(x=[float(n) for n in range(len(handlers))]),
                handlers,
                strict=True,
            ):
                run["state"] = "S0"
                workflow.add_action(
                    handler.__name__,
                    task="mult",
                    event=f"x = {job.x} and state ~ ^S",
                    f=handler,
                    concurrent=handler is concurrent,
                )
            ticks = Ticks(workflow)
            await ticks.wait(1)
            await ticks.wait(2)
            workflow.finished = True

        execute(wf, main)
        # Due at the start, and at each of the two ticks that follow; one more by rounding.
        counts = {handler.__name__: fired.get(n, 0) for n, handler in enumerate(handlers)}
        assert all(2 <= count <= 4 for count in counts.values()), counts

    @pytest.mark.parametrize("change", ["another run", "another state"])
    def test_fires_at_once_when_the_selection_changes(self, wf, puppet, change):
        fired = []

        def handler(runs, workflow, **params):
            now = asyncio.get_running_loop().time()
            fired.append((now, sorted((job.x, run.state) for run, job in runs)))
            workflow.finished = len(fired) == 2

        async def main(workflow, **params):
            (first, _), (second, _) = workflow.mult.createTask(x=[1.0, 2.0])
            workflow.add_action("act", task="mult", event="state ~ ^READY", f=handler)
            await asyncio.to_thread(puppet.tell, "mult", await saved(first), "READY")
            await until(lambda: fired)
            if change == "another run":
                await asyncio.to_thread(puppet.tell, "mult", second.id, "READY")
            else:
                await asyncio.to_thread(puppet.tell, "mult", first.id, "READY2")

        execute(wf, main)
        (before, _), (after, found) = fired
        assert after - before < 1.5, "not before the next tick"
        assert found == (
            [(1.0, "READY"), (2.0, "READY")] if change == "another run" else [(1.0, "READY2")]
        )

    def test_what_others_change_meanwhile_fires_at_once(self, wf, puppet):
        """A handler's own writes delay it; what others write while it works does not."""
        fired = []

        async def handler(runs, workflow, **params):
            fired.append(asyncio.get_running_loop().time())
            if len(fired) == 2:
                workflow.finished = True
                return
            found = list(runs)
            for run, _ in found:
                run["state"] = "SEEN"
            await asyncio.to_thread(puppet.tell, "mult", second.id, "READY")
            await workflow.mult.select("state = READY")

        async def main(workflow, **params):
            nonlocal second
            (first, _), (second, _) = workflow.mult.createTask(x=[1.0, 2.0])
            first["state"] = "READY"
            workflow.add_action("act", task="mult", event="state = READY", f=handler)

        second = None
        execute(wf, main)
        assert fired[1] - fired[0] < 1.5, "not before the next tick"

    def test_replaced_while_it_holds(self, wf):
        fired = []

        def old(workflow, **params):
            fired.append("old")

        def new(workflow, **params):
            fired.append("new")

        async def main(workflow, **params):
            workflow.add_action("act", task="mult", event=lambda: True, f=old)
            await until(lambda: fired)
            workflow.add_action("act", task="mult", event=lambda: True, f=new)
            await until(lambda: "new" in fired)
            ticks = Ticks(workflow)
            await ticks.wait(2)
            workflow.finished = True

        execute(wf, main)
        assert fired[0] == "old" and set(fired[1:]) == {"new"}

    def test_order(self, wf):
        """By task in the order of first registration, ``__all__`` being one, then by action."""
        fired = []

        def named(name):
            def handler(workflow, runs=None, **params):
                fired.append(name)
                workflow.finished = name == "mult.1"

            return handler

        async def main(workflow, **params):
            add = workflow.add_action
            add("1", task="other", event=lambda: True, f=named("other.1"))
            add("1", event=lambda: True, f=named("all.1"))
            add("1", task="mult", event=lambda: True, f=named("mult.1"))
            add("2", task="other", event=lambda: True, f=named("other.2"))
            add("2", event=lambda: True, f=named("all.2"))
            add("1", task="other", event=lambda: True, f=named("other.1 again"))

        execute(wf, main)
        all_of = len(STUDIES)
        assert fired == [
            "other.1 again",
            "other.2",
            *["all.1"] * all_of,
            *["all.2"] * all_of,
            "mult.1",
        ]

    def test_strictly_serial(self, wf, puppet):
        """Never two handlers at once, whatever they await and whoever changes what."""
        active, log = [], []

        async def handler(workflow, runs, **params):
            assert not active, "two handlers at once"
            active.append(1)
            study = next(iter(runs))[0].base.study.name
            created = getattr(workflow, study).createTask(x=50.0 + len(log))
            await asyncio.sleep(0)
            await asyncio.to_thread(puppet.tell, study, created[0][0].id, "FINISHED")
            await created
            active.pop()
            log.append(study)
            workflow.finished = len(log) >= 6 and len(set(log)) == 2

        async def main(workflow, **params):
            for study in ("mult", "other"):
                getattr(workflow, study).createTask(x=1.0)
                for number in range(2):
                    workflow.add_action(
                        str(number), task=study, event="state ~ CREATED|FINISHED", f=handler
                    )
            while not workflow.finished:
                turns.append(bool(active))
                await asyncio.sleep(0.005)

        turns = []
        execute(wf, main)
        assert True in turns, "main runs beside them"

    def test_concurrent(self, wf, puppet):
        log, active = [], []

        async def slow(runs, **params):
            assert not active, "twice at once"
            active.append(1)
            log.append("slow in")
            await go_on.wait()
            log.append("slow out")
            active.pop()

        async def other(runs, **params):
            log.append("other")

        async def main(workflow, **params):
            nonlocal go_on
            go_on = asyncio.Event()
            ((first, _), (second, _)) = workflow.mult.createTask(x=[1.0, 2.0])
            workflow.other.createTask(x=1.0)
            workflow.add_action("s", task="mult", event="state = READY", f=slow, concurrent=True)
            workflow.add_action("o", task="other", event="state = CREATED", f=other)
            first["state"] = "READY"
            await until(lambda: active)
            count = len(log)
            # Its selection changes while it works, and ticks go by.
            await asyncio.to_thread(puppet.tell, "mult", second.id, "READY")
            await Ticks(workflow).wait(2)
            assert "other" in log[count:], "others wait for it"
            assert log.count("slow in") == 1
            go_on.set()
            await until(lambda: log.count("slow in") == 2)  # its selection has changed
            workflow.finished = True

        go_on = None
        execute(wf, main)

    def test_concurrent_that_raises(self, wf):
        async def bad(**params):
            await asyncio.sleep(0)
            raise ValueError("mine")

        async def main(workflow, **params):
            workflow.add_action("b", task="mult", event=lambda: True, f=bad, concurrent=True)
            await asyncio.Event().wait()

        with pytest.raises(ValueError, match="mine"):
            execute(wf, main)


async def until(condition):
    """A named condition inside a loop."""
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.005)


async def saved(run):
    """A run's number, as soon as the run is saved."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return run.entries["id"]


FAILED = {"state": "FAILED", "ended_state": "FAILED", "failure_reason": "why"}


class TestFailures:
    def test_in_a_task_group(self, wf, puppet):
        cancelled, caught = [], []

        async def waits_on(created):
            try:
                await created
            except asyncio.CancelledError:
                cancelled.append(created)
                raise

        async def main():
            good, bad = wf.mult.createTask(x=1.0), wf.mult.createTask(x=2.0)
            puppet(bad[0][0], FAILED)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(waits_on(good))
                    group.create_task(waits_on(bad))
            except* RunFailed as group:
                caught.extend(group.exceptions)
            assert not waiters(wf)
            return good, bad

        good, bad = script(wf, main)
        (error,) = caught
        assert error.run_id == bad[0][0].id and cancelled == [good]

    def test_two_failures_in_a_task_group(self, wf, puppet):
        async def main():
            first, second = wf.mult.createTask(x=1.0), wf.other.createTask(x=1.0)
            puppet(first[0][0], FAILED)
            puppet(second[0][0], FAILED)
            with pytest.raises(ExceptionGroup) as caught:
                async with asyncio.TaskGroup() as group:
                    for created in (first, second):
                        group.create_task(awaited(created))
            assert {error.study for error in caught.value.exceptions} <= {"mult", "other"}
            assert all(isinstance(error, RunFailed) for error in caught.value.exceptions)

        script(wf, main)

    def test_under_gather(self, wf, puppet):
        async def main():
            good, bad = wf.mult.createTask(x=1.0), wf.mult.createTask(x=2.0)
            waiting = asyncio.ensure_future(awaited(good))
            puppet(bad[0][0], FAILED)
            with pytest.raises(RunFailed, match="why"):
                await asyncio.gather(waiting, bad)
            # As ever with gather, the others go on.
            assert not waiting.done()
            puppet(good[0][0], "FINISHED")
            assert (await waiting)[0][0].state == "FINISHED"

        script(wf, main)

    def test_inside_a_handler_at_once(self, wf, puppet):
        """No round of the actions is waited for: it could not run before the handler ends."""
        log = []

        async def handler(workflow, **params):
            created = workflow.mult.createTask(x=2.0)
            puppet(created[0][0], FAILED)
            try:
                async with asyncio.timeout(5):
                    await created
            except RunFailed as error:
                log.append(error.reason)
            workflow.finished = True

        async def main(workflow, **params):
            workflow.add_action("act", task="mult", event=lambda: True, f=handler)

        execute(wf, main)
        assert log == ["why"]

    def test_error_handlers_come_first_even_in_a_handler(self, wf, puppet):
        """And while another handler is suspended."""
        log = []

        def mend(runs, **params):
            for run, _ in runs:
                log.append("error handler")
                run["state"] = "FINISHED"

        async def suspended(workflow, **params):
            log.append("suspended")
            await mended.wait()
            workflow.finished = True

        async def main(workflow, **params):
            nonlocal mended
            mended = asyncio.Event()
            workflow.add_error_handler(f=mend)
            workflow.add_action("s", task="other", event=lambda: True, f=suspended)
            await until(lambda: log)
            created = workflow.mult.createTask(x=1.0)
            puppet(created[0][0], FAILED)
            ((run, _),) = await created
            log.append(run.state)
            mended.set()

        mended = None
        execute(wf, main)
        assert log == ["suspended", "error handler", "FINISHED"]

    def test_one_round_of_the_actions_may_mend(self, wf, puppet):
        log = []

        def mend(runs, **params):
            for run, _ in list(runs):
                log.append(run.id)
                run["state"] = "FINISHED"

        async def main(workflow, **params):
            workflow.add_action("mend", task="mult", event="state = FAILED", f=mend)
            created = workflow.mult.createTask(x=1.0)
            puppet(created[0][0], FAILED)
            await created
            workflow.finished = True

        execute(wf, main)
        assert len(log) == 1

    def test_without_execute_at_once(self, wf, puppet):
        called = []
        wf.add_error_handler(f=lambda **params: called.append(1))

        async def main():
            created = wf.mult.createTask(x=1.0)
            puppet(created[0][0], FAILED)
            with pytest.raises(RunFailed, match="why"):
                await created

        script(wf, main)
        assert not called, "handlers belong to execute()"

    def test_mended_by_another_state(self, wf, puppet):
        """The workflow goes on; whoever awaits the run learns of it, since nobody will run it."""
        skipped = []

        def skip(runs, **params):
            for run, _ in runs:
                run["state"] = "SKIPPED"
                skipped.append(run.id)

        async def main(workflow, **params):
            workflow.add_error_handler(f=skip)
            created = workflow.mult.createTask(x=1.0)
            waiting = asyncio.ensure_future(awaited(created))
            puppet(created[0][0], FAILED)
            await workflow.mult.select("state = SKIPPED")
            await until(lambda: skipped)
            with pytest.raises(RunFailed):
                await waiting

        execute(wf, main)
        assert len(skipped) == 1

    def test_handled_once_for_each_attempt(self, wf, puppet):
        calls = []

        def again(runs, **params):
            for run, _ in runs:
                calls.append(run.entries.get("attempt"))
                run["state"] = "CREATED"

        async def main(workflow, **params):
            workflow.add_error_handler(f=again)
            created = workflow.mult.createTask(x=1.0)
            run = created[0][0]
            waiting = asyncio.ensure_future(awaited(created))
            for attempt in (1, 2, 3):
                puppet(run, {"attempt": attempt, "state": "START"}, FAILED)
                await until(lambda attempt=attempt: len(calls) == attempt)
                await workflow.mult.select("state = CREATED")
            puppet(run, {"attempt": 4}, "START", "FINISHED")
            await waiting

        execute(wf, main)
        assert calls == [1, 2, 3]

    def test_on_failure_wait(self, wf, puppet):
        wf.on_failure = "wait"

        async def main():
            created = wf.mult.createTask(x=1.0)
            run = created[0][0]
            waiting = asyncio.ensure_future(awaited(created))
            puppet(run, "START", FAILED)
            await wf.mult.select("state = FAILED")
            assert not waiting.done()
            puppet(run, "CREATED", "START", "FINISHED")
            ((found, _),) = await waiting
            assert found.state == "FINISHED"

        script(wf, main)

    def test_all_in_a_handler(self, wf, puppet):
        """.all() raises, unless an alternative accepts the failure."""
        log = []

        async def handler(workflow, **params):
            selection = workflow.mult.select()
            log.append(len(await selection.all("state = FINISHED", ["state = FAILED", "x > 0"])))
            with pytest.raises(RunFailed, match="why"):
                await selection.all("state = FINISHED", ["state = FAILED", "x > 1"])
            workflow.finished = True

        async def main(workflow, **params):
            created = workflow.mult.createTask(x=1.0)
            puppet(created[0][0], FAILED)
            workflow.add_action("act", task="other", event=lambda: True, f=handler)

        execute(wf, main)
        assert log == [1]


async def awaited(awaitable):
    return await awaitable


class TestRealFailures:
    """With launchers."""

    def test_what_is_told(self, real, launched):
        async def main():
            with pytest.raises(RunFailed) as caught:
                await real.mult.createTask(x=-200.0)
            return caught.value

        error = script(real, main)
        ((run, _),) = real.mult.select()
        assert (error.study, error.run_id, error.state) == ("mult", run.id, "FAILED")
        assert "7" in error.reason and "\n" not in error.reason
        assert error.run_path == run.run_path and Path(error.run_path).is_dir()
        assert error.stderr.rstrip().endswith("ValueError: no convergence")
        text = str(error)
        for each in (error.reason, error.run_path, "ValueError: no convergence", "FAILED"):
            assert each in text
        assert f"mult.{run.id}" in text and isinstance(error, RuntimeError)
        assert f"motoko retry mult.{run.id}" in error.hint

    def test_mended_by_another_attempt(self, real):
        calls = []

        def again(runs, **params):
            for run, _ in runs:
                calls.append(run.attempt)
                run["state"] = "CREATED"

        async def main(workflow, **params):
            workflow.add_error_handler(f=again)
            ((run, _),) = await workflow.mult.createTask(x=-3.0)
            assert (run.state, run.y, run.attempt) == ("FINISHED", -6.0, 2)

        execute(real, main)
        assert calls == [1]

    def test_resumed(self, real, launched):
        """A FAILED run raises at once, until `motoko retry` has had it executed again."""

        async def main():
            with pytest.raises(RunFailed):
                await real.mult.createTask(x=-4.0)
            created = real.mult.createTask(x=-4.0)
            with pytest.raises(RunFailed, match="no convergence") as caught:
                async with asyncio.timeout(2):
                    await created
            name = f"mult.{created[0][0].id}"
            assert f"motoko retry {name}" in caught.value.hint
            done = await asyncio.to_thread(launched.motoko, "retry", name)
            assert done.returncode == 0, done.stderr
            ((run, _),) = await real.mult.createTask(x=-4.0)
            assert (run.state, run.y, run.attempt) == ("FINISHED", -8.0, 2)
            assert f"mult.{run.id}" == name

        script(real, main)


class TestHavingBeenFinished:
    def test_awaits_and_selections_differ(self, wf, puppet):
        async def main():
            created = wf.mult.createTask(x=1.0)
            waiting = asyncio.ensure_future(awaited(created))
            selecting = asyncio.ensure_future(awaited(wf.mult.select("state = FORWARDED")))
            puppet(created[0][0], "START", "FINISHED", "FORWARDED")
            ((run, _),) = await waiting
            await selecting
            assert run.state == "FORWARDED" and not wf.mult.select("state = FINISHED")
            condition = wf.mult.select().all("state = FINISHED")
            assert not condition()

        script(wf, main)

    def test_after_a_restart(self, wf, puppet, flow):
        """Nobody has seen it FINISHED: what the run records tells."""
        ((run, _),) = wf.mult.createTask(x=1.0)
        puppet(run, {"state": "FINISHED", "ended_state": "FINISHED"}, "FORWARDED", "ARCHIVED")
        second = Workflow(flow.path)
        second.run_name = wf.run_name

        async def main():
            async with asyncio.timeout(5):
                ((found, _),) = await second.mult.createTask(x=1.0)
            assert (found.id, found.state) == (run.id, "ARCHIVED")

        try:
            script(second, main)
        finally:
            second._close()

    def test_run_again(self, wf, puppet):
        """A run that is CREATED again has not been FINISHED, whatever it was before."""

        async def main():
            created = wf.mult.createTask(x=1.0)
            run = created[0][0]
            puppet(run, {"state": "FINISHED", "ended_state": "FINISHED"}, "CREATED")
            waiting = asyncio.ensure_future(awaited(created))
            marker = asyncio.ensure_future(awaited(wf.mult.select("state = START")))
            puppet(run, "START")
            await marker
            assert not waiting.done()
            puppet(run, "FINISHED")
            await waiting

        script(wf, main)


class TestNames:
    def warnings(self, caplog, name):
        return [r for r in caplog.records if r.levelno >= logging.WARNING and name in r.message]

    def test_in_direct_use(self, wf):
        # A study without runs: nothing to know of.
        for constraint in ("nonsense = 1", "runs.nonsense = 1"):
            assert list(wf.empty.select(constraint)) == []
        wf.mult.createTask(x=1.0)
        for use in (list, len, bool, lambda selection: selection(), lambda s: s[:1]):
            with pytest.raises(ConstraintError, match="nonsense"):
                use(wf.mult.select("nonsense = 1"))

    def test_in_an_await(self, wf, puppet, caplog):
        async def main():
            created = wf.mult.createTask(x=1.0)
            selection = wf.mult.select("later_on = 3")
            waiting = [
                asyncio.ensure_future(awaited(each))
                for each in (selection, wf.mult.select().all("later_on = 3"), selection & selection)
            ]
            other = asyncio.ensure_future(awaited(wf.mult.select("state = START")))
            puppet(created[0][0], "START")
            await other
            assert not any(each.done() for each in waiting)
            puppet(created[0][0], {"later_on": 3, "state": "FINISHED"})
            assert [len(each) for each in await asyncio.gather(*waiting)] == [1, 1, 2]

        script(wf, main)
        assert len(self.warnings(caplog, "later_on")) == 1

    def test_in_an_action(self, wf, puppet, caplog):
        fired = []

        def handler(runs, workflow, **params):
            fired.append(len(list(runs)))
            workflow.finished = True

        async def main(workflow, **params):
            created = workflow.mult.createTask(x=1.0)
            workflow.add_action("act", task="mult", event="by_and_by = 3", f=handler)
            await Ticks(workflow).wait(1)
            assert not fired
            puppet(created[0][0], {"by_and_by": 3, "state": "FINISHED"})

        execute(wf, main)
        assert fired == [1]
        assert len(self.warnings(caplog, "by_and_by")) == 1

    def test_values_extend_to_the_separator(self, wf, puppet):
        (one, _), (two, _) = wf.mult.createTask(x=[1.0, 2.0])
        puppet(one, {"note": "two words or three"})
        puppet(two, {"note": "two"})
        for rest in ("", ", x > 0", " and x > 0"):
            session().refresh(wf.mult.base)
            found = wf.mult.select(f"note = two words or three{rest}")
            assert [run.id for run, _ in found] == [one.id]


class TestExecuting:
    def test_own_loops(self, wf, puppet):
        """A script drives the workflow from several loops, one after the other."""

        async def main(x):
            created = wf.mult.createTask(x=x)
            waiting = asyncio.ensure_future(awaited(created))
            puppet(created[0][0], "START", "FINISHED")
            ((run, _),) = await waiting
            return run.state, len(await wf.mult.select("state = FINISHED"))

        assert asyncio.run(main(1.0)) == ("FINISHED", 1)
        assert asyncio.run(main(2.0)) == ("FINISHED", 2)
        execute(wf, lambda workflow, **params: main(3.0))
        assert asyncio.run(main(4.0)) == ("FINISHED", 4)

    def test_one_for_a_run_name(self, wf, flow):
        """A second execute() is refused; who only creates, selects or awaits is not."""
        code = (
            "import asyncio, sys\n"
            "from motoko import Workflow\n"
            "from motoko.errors import OrchestratorRunning\n"
            "workflow = Workflow(sys.argv[1]); workflow.run_name = sys.argv[2]\n"
            "async def main(*args, **params):\n"
            "    assert len(workflow.mult.select()) == 1\n"
            "    workflow.mult.createTask(x=2.0)\n"
            "    assert len(await workflow.mult.select('x > 0')) == 2\n"
            "asyncio.run(main())\n"
            "workflow.orchestrator_function = main\n"
            "try:\n"
            "    workflow.execute()\n"
            "except OrchestratorRunning as error:\n"
            "    print('refused:', error, error.hint)\n"
        )
        command = [sys.executable, "-P", "-c", code, str(flow.path), wf.run_name]
        before = len(asyncio.run(count(wf)))

        async def main(workflow, **params):
            workflow.mult.createTask(x=1.0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            done = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith("refused:") and workflow.run_name in done.stdout
            # In this process as well.
            second = Workflow(flow.path)
            second.run_name = workflow.run_name
            second.orchestrator_function = lambda workflow, **params: awaited(asyncio.sleep(0))
            with pytest.raises(OrchestratorRunning):
                await asyncio.to_thread(second.execute)

        assert before == 0
        execute(wf, main)
        # Afterwards it is free again.
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert "refused" not in done.stdout
        assert len(wf.mult.select()) == 2


async def count(wf):
    return list(wf.mult.select())


def test_supervisor_killed_then_workflow_stopped(workflow, tmp_path, nothing_left):
    """Orchestrators go on without a supervisor, and say so once; `motoko kill` ends them with 4."""
    flow = workflow("own")
    (flow.directory / "orchestrator.py").write_text(ORCHESTRATOR)
    flow.supervise("--no-launchers")
    start = ("orchestrator", "start", "--run_name")
    first = flow.begin(*start, "first", "--x", "1")
    second = flow.begin(*start, "second", "--x", "2")
    puppet = Puppet(flow.path)
    try:
        for process in (first, second):
            while (line := process.stdout.readline()) != "waiting\n":
                assert line, "it has ended"
        runs = wait_until(
            lambda: found if len(found := numbers(flow)) == 2 else None, "both runs are saved"
        )
        kill9(flow.ps()["supervisor"]["pid"])
        wait_until(lambda: flow.state() != "ready", "the supervisor is gone")
        puppet.tell("mult", runs["first"], "START", "FINISHED")
        said, _ = first.communicate(timeout=20)
        assert first.returncode == 0 and "got 1.0" in said
        assert second.poll() is None
    finally:
        puppet.close()
    done = flow.motoko("kill", "--now")
    assert done.returncode == 0, done.stderr
    said, _ = second.communicate(timeout=20)
    assert second.returncode == 4, said
    assert "got" not in said and "stopped" in said
    warned = [line for line in said.splitlines() if "supervisor" in line]
    assert len(warned) == 1, f"the death of the supervisor is told once: {said}"


def numbers(flow):
    """The runs' numbers by run_name, read by a process of its own."""
    code = (
        "import json, sys\nfrom motoko import Workflow\n"
        "workflow = Workflow(sys.argv[1])\n"
        "print(json.dumps({run.run_name: run.id for run, _ in workflow.mult.select()}))\n"
    )
    command = [sys.executable, "-P", "-c", code, str(flow.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)
