"""Hosts, a real Slurm on them, and workflows there: see ``README.md`` beside this."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from batch import no_attempt_twice, note_executions
from lab import Lab
from lab_flow import LabFlow, LabSession
from lab_slurm import Slurm
from launching import deadline, scripted
from slurm_programs import Unavailable
from support import FAILED, TEST_LOGS, Flow, keep_logs, processes_in, write_workflow

LIMIT_S = 300


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "limit(seconds): how long a test may take")


@pytest.fixture(scope="session")
def running_lab() -> Iterator[Lab]:
    """The hosts; tests ask for :func:`lab`."""
    lab = Lab()
    try:
        lab.up()
        yield lab
    except Unavailable as error:
        pytest.skip(f"no hosts: {error}")
    finally:
        lab.down()
    assert not list(processes_in(lab.top))


@pytest.fixture(scope="session")
def running_slurm(running_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Slurm]:
    """The scheduler; tests ask for :func:`slurm`. If one has failed its logs are kept."""
    slurm = Slurm(running_lab)
    try:
        slurm.start()
        yield slurm
    except Unavailable as error:
        pytest.skip(f"no Slurm: {error}")
    finally:
        if request.session.testsfailed:
            shutil.copytree(slurm.top / "log", TEST_LOGS / "hosts-slurm", dirs_exist_ok=True)


@pytest.fixture
def lab(running_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Several hosts: ``lab.head``, ``lab.nodes``. After the test nothing may be left on them."""
    yield running_lab
    if request.node.stash.get(FAILED, False):
        keep_logs(request.node.nodeid, running_lab.shared)
    left = running_lab.tidy()
    shutil.rmtree(running_lab.shared)
    running_lab.shared.mkdir()
    if left:
        pytest.fail(f"left behind: {left}")


@pytest.fixture
def slurm(lab: Lab, running_slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """The scheduler of the lab, whose nodes are n1 to n3. No job outlives the test."""
    monkeypatch.setenv("MOTOKO_BATCH_POLL_S", "0.5")
    monkeypatch.setenv("MOTOKO_BATCH_LATE_S", "2")
    yield running_slurm
    running_slurm.clear()


@pytest.fixture(autouse=True)
def limit(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test takes longer; the mark ``limit(seconds)`` gives one more time."""
    mark = request.node.get_closest_marker("limit")
    with deadline(mark.args[0] if mark else LIMIT_S):
        yield


@pytest.fixture
def placed(lab: Lab) -> Iterator[Callable[..., tuple[LabFlow, LabSession]]]:
    """Makes workflows of scripts on the head, supervised there, and a session of each.

    ``make(*options, name=..., studies=..., yaml=..., below=..., do_it=..., edit=...,
    supervised=True)``: options of ``motoko supervise``, what ``launching.scripted`` takes, what is
    done to the workflow before it is supervised, and whether it is. Runs note their executions
    (``batch.executions``); in the end no attempt may have been executed twice. It is killed on
    whatever host ``flow.host`` is then.
    """
    made: list[LabSession] = []

    def make(
        *options: str,
        name: str = "wf",
        studies: tuple[str, ...] = ("mult",),
        yaml: str = "",
        below: dict[str, str] | None = None,
        do_it: bool = True,
        edit: Callable[[LabFlow], object] = lambda flow: None,
        supervised: bool = True,
        host: Any = None,
    ) -> tuple[LabFlow, LabSession]:
        written: Flow = write_workflow(lab.shared / name, studies)
        flow = LabFlow(written.directory, studies, host=host or lab.head)
        scripted(flow, yaml, below, do_it=do_it)
        note_executions(flow)
        edit(flow)
        made.append(LabSession(flow))
        if supervised:
            flow.supervise(*options)
        return flow, made[-1]

    yield make
    for session in made:
        session.close()
        if not session.flow.host.is_on:
            lab.power_on(session.flow.host)
        session.flow.host.mend()
        done = session.flow.motoko("kill", "--now")
        assert done.returncode == 0, done.stdout + done.stderr
        no_attempt_twice(session.flow)


@pytest.fixture
def batch(
    slurm: Slurm, placed: Callable[..., tuple[LabFlow, LabSession]]
) -> Callable[..., tuple[LabFlow, LabSession]]:
    """As ``placed``, with runs that are jobs on the nodes; ``settings`` are more of ``batch:``."""

    def make(*options: str, yaml: str = "", settings: str = "", **more: Any) -> Any:
        text = f"generator: slurm\nbatch: {{poll_interval: 5s, {settings}}}\n{yaml}"
        return placed(*options, yaml=text, **more)

    return make
