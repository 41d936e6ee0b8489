"""What the watcher's tests share: another process that writes, and a listener that notes.

The listener is a subscriber like any other, in a thread of its own; what it was told is compared
with what the other process wrote, or with the database's own log.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from support import Flow, motoko_command, wait_until

from motoko import Workflow
from motoko.bus.dispatcher import Dispatcher
from motoko.bus.messages import Message, Transition
from motoko.bus.subscriber import Subscriber
from motoko.config import load
from motoko.layout import Runtime, locate

ROUND = ("START", "FINISHED", "FORWARDED")
DEADLINE_S = 30.0

OTHER = '''
import json, random, sys, traceback
from pathlib import Path
import transaction
from motoko.store.session import session
from motoko.store.storage import patiently
from motoko.workflow import Workflow

workflow = Workflow(sys.argv[1])


def runs(study):
    return getattr(workflow, study).base.runs.entries


def tid(study):
    """The newest transaction of all, from a server that may just be coming back."""
    base = getattr(workflow, study).base
    patiently(lambda: session().refresh(base))
    return base.tid.hex()


def create(study, xs, run_name="other", **run_params):
    """Create runs, all in one commit; returns their numbers."""
    workflow.run_name = run_name
    made = getattr(workflow, study).createTask(run_params, x=xs)
    session().commit()
    return [run.id for run, _ in made]


def play(study, numbers, *changes, times=1):
    """Commit each change of each run by itself; a text is a state."""
    session().refresh(getattr(workflow, study).base)
    entries = [runs(study)[number].entries for number in numbers]
    for _ in range(times):
        for each in entries:
            for change in changes:
                each.update({"state": change} if isinstance(change, str) else change)
                session().commit()


def play_until(study, numbers, states, path):
    """Commit states for ever, until there is a file; servers may be killed meanwhile."""
    while not Path(path).exists():
        patiently(lambda: play(study, numbers, *states))


def together(study, changes):
    """Commit changes of several runs at once."""
    session().refresh(getattr(workflow, study).base)
    for number, change in changes:
        runs(study)[number].entries.update(change)
    session().commit()


def play_plainly(study, number, *changes):
    """The same as play, through a connection that is ZODB's own."""
    base = getattr(workflow, study).base
    session().refresh(base)
    manager = transaction.TransactionManager()
    entries = base.db.open(manager).get(runs(study)[number].entries._p_oid)
    for change in changes:
        entries.update({"state": change} if isinstance(change, str) else change)
        manager.commit()
    entries._p_jar.close()


def delete(study, numbers):
    """As BlackDynamite's users do: a commit for each."""
    session().refresh(getattr(workflow, study).base)
    for number in numbers:
        runs(study)[number].delete()
        session().commit()


def churn(study, seed, path):
    """Create, change and delete runs at random, until there is a file."""
    rng = random.Random(seed)
    numbers = create(study, [1000.0 * seed + x for x in range(10)])
    step = 0
    while not Path(path).exists():
        step += 1
        patiently(lambda: one_change(study, rng, numbers, seed, step))


def one_change(study, rng, numbers, seed, step):
    kind = rng.randrange(12)
    if kind == 0:
        numbers += create(study, [1000.0 * seed + 10 + step])
        return
    session().refresh(getattr(workflow, study).base)
    if kind == 1 and len(numbers) > 5:
        number = numbers.pop(rng.randrange(len(numbers)))
        if number in runs(study):
            runs(study)[number].delete()
    else:
        entries = runs(study)[rng.choice(numbers)].entries
        name = f"v{rng.randrange(60)}"
        if kind == 2:
            entries.pop(name, None)
        elif kind == 3:
            entries[name] = rng.choice([None, True, [1, 2], "x" * 5000, "y" * 70_000, 2**80])
        elif kind < 8:
            entries[name] = rng.choice([step, step / 3, str(step)])
        else:
            entries["state"] = f"STEP {step}"
    session().commit()


def pack(study):
    getattr(workflow, study).base.db.pack()


for line in sys.stdin:
    name, args, given = json.loads(line)
    try:
        answer = {"result": globals()[name](*args, **given)}
    except Exception:
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer), flush=True)
workflow.close()
'''


class Other:
    """Another process, which creates runs and changes them: ``other.play("mult", [1], "START")``.

    A call returns when all is committed; ``other.begin`` does not wait, and ``other.end`` does.
    """

    def __init__(self, flow: Flow) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", OTHER, str(flow.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, name: str, *args: Any, **given: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, args, given]) + "\n")
        self._process.stdin.flush()

    def end(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the other process has died"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **given: Any) -> Any:
            self.begin(name, *args, **given)
            return self.end()

        return call

    def close(self) -> None:
        """Let it end. A test that has failed may have left it in the middle of something."""
        try:
            self._process.communicate(timeout=5)
        except (subprocess.TimeoutExpired, ValueError, BrokenPipeError):
            self._process.kill()
            self._process.communicate()


class Listener:
    """Notes what a subscriber of some studies is told, from ``after`` on; from now on if ``None``.

    Attributes:
        told: the transitions in order, by study.
        heard: every message that came over the bus, for whomever.
        everything: who hears them.
    """

    def __init__(
        self, flow: Flow, studies: Sequence[str] = (), after: str | None = "0" * 16
    ) -> None:
        self.told: dict[str, list[Transition]] = defaultdict(list)
        self.heard: list[Message] = []
        self._studies = studies or flow.studies
        self._after = after
        runtime = locate(load(flow.path))
        assert runtime is not None
        self._live = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(runtime,), daemon=True)
        self._thread.start()
        assert self._live.wait(DEADLINE_S) and self._error is None, self._error

    def _run(self, runtime: Runtime) -> None:
        try:
            asyncio.run(self._listen(runtime))
        except BaseException as error:  # noqa: BLE001 (told to the test)
            self._error = error
        finally:
            self._live.set()

    async def _listen(self, runtime: Runtime) -> None:
        after = {} if self._after is None else dict.fromkeys(self._studies, self._after)
        self.dispatcher = Dispatcher(runtime, self._studies, lambda study: None, after=after)
        self.dispatcher.listeners.append(lambda event: self.told[event.study].append(event))
        everything = self.everything = Subscriber(runtime.bus_subscribe, self.heard.append)
        everything.subscribe(b"")
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            await self.dispatcher.live()
            await everything.live(DEADLINE_S)
            self._live.set()
            await self._stop.wait()
        finally:
            everything.close()
            self.dispatcher.close()

    def close(self) -> None:
        """Stop listening."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(DEADLINE_S)
        assert self._error is None, self._error

    def knows(self, study: str, tid: str) -> bool:
        """Whether it was told of everything up to a transaction."""
        stream = self.dispatcher._streams[study]
        return stream.wanted is None and stream.tid >= tid

    def up_to(
        self, other: Other, study: str, count: int = 0, timeout: float = 20.0
    ) -> list[tuple[Any, ...]]:
        """All that it was told of a study, ``(tid, run, old, new)``, once it knows all by now.

        ``count`` is how many there are at least: needed where the last commit changes several runs.
        """
        tid = other.tid(study)
        wait_until(
            lambda: self.knows(study, tid) and len(self.told[study]) >= count,
            f"{study} is known up to {tid}",
            timeout,
        )
        return self.history(study)

    def history(self, study: str) -> list[tuple[Any, ...]]:
        """What it was told of a study until now, as the oracle tells it."""
        return [(each.tid, each.run_id, each.old, each.new) for each in self.told[study]]

    @property
    def counters(self) -> dict[str, int]:
        """How it was woken."""
        return asdict(self.dispatcher.counters)

    def of_type(self, kind: type, study: str) -> list[Any]:
        """The messages of a type about a study that came over the bus."""
        return [m for m in list(self.heard) if isinstance(m, kind) and m.study == study]


class Events:
    """``motoko events`` with its output in files, where it can be looked at meanwhile."""

    def __init__(self, flow: Flow, *arguments: str) -> None:
        count = len(list(flow.directory.glob("events-*.out")))
        self._out, self._err = (flow.directory / f"events-{count}.{end}" for end in ("out", "err"))
        with open(self._out, "w") as out, open(self._err, "w") as err:
            self.process = subprocess.Popen(
                motoko_command("events", *arguments),
                cwd=flow.directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        flow.started.append(self.process)

    @property
    def lines(self) -> list[str]:
        """The whole lines of its standard output until now."""
        return [each[:-1] for each in open(self._out).readlines() if each.endswith("\n")]

    @property
    def said(self) -> str:
        """Its standard error until now."""
        return self._err.read_text()

    def printed(self, count: int, timeout: float = 20.0) -> list[str]:
        """Its lines, as soon as there are that many; no more may come while we look."""
        wait_until(lambda: len(self.lines) >= count, f"{count} lines", timeout)
        return self.lines

    def history(self) -> list[tuple[Any, ...]]:
        """What it has printed with ``--json``, as the oracle tells it."""
        found = map(json.loads, self.lines)
        return [(each["tid"], each["run_id"], each["old"], each["new"]) for each in found]


async def awaited(workflow: Workflow, runs: Any, play: Callable[[], Any]) -> None:
    """Await runs, and have another process play as soon as they are awaited."""
    async with asyncio.timeout(DEADLINE_S):
        waiting = asyncio.ensure_future(runs)
        while not (workflow.motoko_engine.awaits):
            assert not waiting.done(), "it did not wait"
            await asyncio.sleep(0.005)
        played = asyncio.create_task(asyncio.to_thread(play))
        await waiting
        await played
    workflow.motoko_engine.detach()


def told_of(history: Sequence[tuple[Any, ...]], *runs: int) -> list[tuple[Any, ...]]:
    """``(run, old, new)`` of some runs, or of all."""
    return [(run, old, new) for _, run, old, new in history if not runs or run in runs]


def steps(run: int, *states: str | None) -> list[tuple[Any, ...]]:
    """The transitions of a run that goes through some states."""
    return [(run, *pair) for pair in itertools.pairwise(states)]


def database(flow: Flow, study: str) -> Path:
    """The file of a study's database."""
    return flow.directory / study / ".bd" / "bd.zeo"
