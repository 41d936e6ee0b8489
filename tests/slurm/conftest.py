"""A real Slurm of three nodes for all tests of this directory, as it is on a cluster."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from batch import no_attempt_twice, note_executions
from cluster import Cluster, running
from launching import Session, deadline, scripted
from scheduler_calls import Calls
from support import Flow


@pytest.fixture(scope="session")
def running_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster; tests ask for :func:`cluster`. If one has failed Slurm's logs are kept."""
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="mts-", dir="/tmp")))
    with running(cluster, request.session, "slurm"):
        yield cluster


@pytest.fixture(autouse=True)
def cluster(
    running_cluster: Cluster, nothing_left: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    """The cluster, used by all that the test starts; no job of the test outlives it."""
    for name, value in running_cluster.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MOTOKO_BATCH_POLL_S", "0.5")
    monkeypatch.setenv("MOTOKO_BATCH_LATE_S", "2")
    yield running_cluster
    running_cluster.clear()


@pytest.fixture
def calls(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The scheduler's commands that the daemons of this test call from now on."""
    log = tmp_path / "scheduler-calls"
    monkeypatch.setenv("SCHEDULER_CALLS", str(log))
    return Calls(log)


@pytest.fixture(autouse=True)
def limit() -> Iterator[None]:
    with deadline(180):
        yield


@pytest.fixture
def batch(
    cluster: Cluster, workflow: Callable[..., Flow]
) -> Iterator[Callable[..., tuple[Flow, Session]]]:
    """Makes workflows of scripts whose runs are batch jobs, supervised, and a session of each.

    ``make(*options, yaml=..., settings=..., below=..., studies=..., do_it=..., edit=...)``: options
    of ``motoko supervise``, what ``scripted`` takes, further settings of ``batch:``, and what is
    done to the workflow before it is supervised. In the end no attempt may have been executed
    twice.
    """
    made: list[Session] = []

    def make(
        *options: str,
        yaml: str = "",
        settings: str = "",
        below: dict[str, str] | None = None,
        studies: tuple[str, ...] = ("mult",),
        do_it: bool = True,
        edit: Callable[[Flow], object] = lambda flow: None,
    ) -> tuple[Flow, Session]:
        flow = workflow(studies=studies, created=False)
        batch = f"batch: {{poll_interval: 5s, {settings}}}\n"
        scripted(flow, f"generator: slurm\n{batch}{yaml}", below, do_it=do_it)
        edit(flow)
        note_executions(flow)
        flow.supervise(*options)
        made.append(Session(flow))
        return flow, made[-1]

    yield make
    for session in made:
        session.close()
        no_attempt_twice(session.flow)
