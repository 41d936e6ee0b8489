"""Fixtures: small workflows, a private TMPDIR for each test, and a check that nothing is left."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# With --import-mode=importlib nothing puts this directory on the path.
sys.path.insert(0, str(Path(__file__).parent))

from support import (
    FAILED,
    Flow,
    forkers_in,
    keep_logs,
    processes_in,
    sockets_in,
    wait_until,
    write_workflow,
)

from motoko.host.identity import Identity

# How fast a machine draws examples is no property of ours.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Tests in these directories start processes; those of tests/hosts on hosts of their own.
WITH_PROCESSES = {"beside", "integration", "faults", "slurm"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.when in ("setup", "call") and report.failed:
        item.stash[FAILED] = True
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show why a test needed a second try: that it passed then does not make it right."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.section(f"first try of {report.nodeid}", sep="-")
        terminalreporter.write_line(report.longreprtext)


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give a test that starts processes its own TMPDIR, and check that it leaves nothing.

    No process whose command line or directory is in the test's ``tmp_path``, no socket, and no
    runtime directory. What is left is killed, and fails the test.
    """
    if request.path.relative_to(Path(__file__).parent).parts[0] not in WITH_PROCESSES:
        yield
        return
    tmp_path: Path = request.getfixturevalue("tmp_path")
    # Short, since Unix sockets live in it.
    private = Path(tempfile.mkdtemp(prefix="mt-", dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(private))
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in ("BLACKDYNAMITE_RUN_ID", "BLACKDYNAMITE_HOST", "BLACKDYNAMITE_STUDY"):
        monkeypatch.delenv(name, raising=False)
    try:
        yield
        left = _wait_for_end(tmp_path, private)
        sockets = sockets_in(private, tmp_path)
        directories = list(private.glob("motoko-*/*"))
        if left or sockets or directories:
            keep_logs(request.node.nodeid, tmp_path)
            pytest.fail(
                f"left behind: processes {left}, sockets {sockets}, directories {directories}"
            )
    finally:
        if request.node.stash.get(FAILED, False):
            keep_logs(request.node.nodeid, tmp_path)
        shutil.rmtree(private, ignore_errors=True)


def _wait_for_end(place: Path, private: Path) -> list[str]:
    """The command lines of processes that do not end by themselves; they are killed."""

    def living() -> list[tuple[Identity, str]]:
        return [*processes_in(place), *forkers_in(private)]

    try:
        wait_until(lambda: not living(), "processes have ended", timeout=2.0)
    except AssertionError:
        left = living()
        for identity, _ in left:
            identity.signal(signal.SIGKILL)
        return [command for _, command in left]
    return []


@pytest.fixture
def supervised(workflow: Callable[..., Flow]) -> Iterator[Callable[..., object]]:
    """Make supervised workflows, and sessions in them: see ``launching.supervising``."""
    from launching import supervising  # not for the unit tests: it imports all that users do

    with supervising(workflow) as make:
        yield make


@pytest.fixture
def workflow(tmp_path: Path, nothing_left: None) -> Iterator[Callable[..., Flow]]:
    """Write workflows: ``workflow(name="wf", studies=("mult",), created=True)``.

    Whatever still runs of them at the end of the test is stopped by ``motoko kill``.
    """
    flows: list[Flow] = []

    def make(name: str = "wf", studies: tuple[str, ...] = ("mult",), created: bool = True) -> Flow:
        flow = write_workflow(tmp_path / name, studies)
        flows.append(flow)
        if created:
            flow.create()
        return flow

    yield make
    for flow in flows:
        if flow.path.exists():
            done = flow.motoko("kill", "--now")
            assert done.returncode == 0, done.stdout + done.stderr
        for process in flow.started:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.communicate()
