"""A real Slurm of three nodes for all tests of this directory, as it is on a cluster."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cluster import Calls, Cluster, Unavailable, install
from launching import Session, supervising
from support import Flow

BATCH = "generator: slurm\nbatch: {poll_interval: 5s}\n"


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[Cluster]:
    """The cluster; tests ask for :func:`cluster`."""
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="mts-", dir="/tmp")))
    try:
        try:
            install()
            cluster.start()
        except Unavailable as error:
            pytest.skip(f"no Slurm: {error}")
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(cluster.top)


@pytest.fixture(autouse=True)
def cluster(
    running_cluster: Cluster, nothing_left: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    """The cluster, used by all that the test starts; no job of the test outlives it."""
    for name, value in running_cluster.environment.items():
        monkeypatch.setenv(name, value)
    yield running_cluster
    running_cluster.clear()


@pytest.fixture
def calls(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The scheduler's commands that the daemons of this test call from now on."""
    log = tmp_path / "scheduler-calls"
    monkeypatch.setenv("SCHEDULER_CALLS", str(log))
    return Calls(log)


@pytest.fixture
def supervised(
    cluster: Cluster, workflow: Callable[..., Flow]
) -> Iterator[Callable[..., tuple[Flow, Session]]]:
    """Makes supervised workflows of scripts whose runs are batch jobs; see ``supervising``."""
    with ExitStack() as stack:
        make = stack.enter_context(supervising(workflow))

        def batch(*options: str, yaml: str = "", **more: object) -> tuple[Flow, Session]:
            return make(*options, yaml=BATCH + yaml, **more)

        yield batch
