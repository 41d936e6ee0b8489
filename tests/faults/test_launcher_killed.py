"""A launcher that is killed at chosen moments: its successor goes on, and starts nothing twice."""

import signal

import pytest
from injecting import python_path
from launching import (
    GATE,
    all_slots_free,
    daemon,
    deadline,
    go,
    identity,
    nothing_lives,
    place,
    wrapper_of,
)
from support import wait_until

RUNS = 4
YAML = "finish: on-exit\nretries: 1\nresults: {done: {regex: 'done (.*)', type: int}}\n"
EXECUTED = 'claims=(.motoko/attempt-*)\ntouch "exec-${#claims[@]}-$$"\n'
# Points of a launcher's work (see inject/sitecustomize.py), and the so-manieth time.
WORK = [
    *((f"{what}{ed}", 2) for what in ("prepare", "wrap", "go") for ed in ("", "-ed")),
    ("wrap-ed", 1),
    ("go", 1),
    ("go-ed", RUNS),
    *((f"settle{ed}", number) for ed in ("", "-ed") for number in (1, RUNS)),
]
# Of one that looks at what its predecessor has left.
RECOVERY = [("examine-ed", RUNS), ("adopt", 1), ("adopt", RUNS), ("adopt-ed", 2)]


@pytest.fixture(autouse=True)
def limit():
    with deadline(120):
        yield


@pytest.mark.parametrize(("point", "number"), WORK + RECOVERY)
def test_killed(supervised, monkeypatch, tmp_path, point, number):
    hit = tmp_path / "hit"
    monkeypatch.setenv("PYTHONPATH", python_path())
    monkeypatch.setenv("MOTOKO_FAULT_LAUNCHER", f"{point}:{number}:SIGKILL:{hit}")
    flow, session = supervised("--slots", str(RUNS), yaml=YAML)
    # The last one fails once.
    scripts = [f"{EXECUTED}{GATE}echo done {n}" for n in range(RUNS - 1)]
    scripts.append(f"{EXECUTED}{GATE}[ -e .motoko/attempt-2 ]\necho done {RUNS - 1}")
    runs = [session.create(script) for script in scripts]
    for run in runs:
        wrapper_of(place(flow, run))
    in_recovery = (point, number) in RECOVERY
    if in_recovery:
        assert identity(flow, "launcher:mult").signal(signal.SIGKILL)
        wait_until(hit.exists, "its successor is killed as well")
        identity(flow, "launcher:mult")
    for run in runs:
        go(flow, run)
    assert session.ends(*runs, timeout=60) == [None] * RUNS
    assert hit.exists()
    all_slots_free(flow)
    assert [run.done for run in runs] == [*range(RUNS)]  # there as soon as they are FINISHED
    for run, attempts in zip(runs, [1] * (RUNS - 1) + [2], strict=True):
        session.until(run, state="FINISHED", ended_state="FINISHED", attempt=attempts)
        directory = place(flow, run)
        nothing_lives(directory, attempts)
        claims = {path.name for path in directory.glob(".motoko/attempt-*")}
        assert claims == {f"attempt-{n + 1}" for n in range(attempts)}
        executed = [int(path.name.split("-")[1]) for path in directory.glob("exec-*")]
        assert sorted(executed) == list(range(1, attempts + 1)), executed
    assert daemon(flow, "launcher:mult")["restarts"] == (2 if in_recovery else 1)


@pytest.mark.parametrize("point", ["connect", "examine-ed", "adopt"])
def test_told_to_end_all_runs_while_it_starts(supervised, monkeypatch, tmp_path, point):
    """The runs of its predecessor are ended, however early it is told."""
    hit = tmp_path / "hit"
    hit.touch()  # so the first launcher goes on
    monkeypatch.setenv("PYTHONPATH", python_path())
    monkeypatch.setenv("MOTOKO_FAULT_LAUNCHER", f"{point}:1:SIGUSR1:{hit}")
    flow, session = supervised("--slots", str(RUNS), yaml="finish: on-exit\n")
    runs = [session.create(f"{GATE}true # {n}") for n in range(RUNS)]
    for run in runs:
        wrapper_of(place(flow, run))
    hit.unlink()
    assert identity(flow, "launcher:mult").signal(signal.SIGKILL)
    wait_until(hit.exists, "its successor is told to end all runs")
    for run in runs:
        # Its supervisor goes on, and starts another one.
        session.until(run, attempt=2, interruptions=1, last_failure="stopped by `motoko kill`")
        nothing_lives(place(flow, run), 1)
        go(flow, run)
        session.until(run, state="FINISHED", attempt=2)
    all_slots_free(flow)
