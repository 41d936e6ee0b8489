"""What every daemon does first: hold its lock, note its identity, log to its standard error."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from motoko import workers
from motoko.config import WorkflowConfig, load, snapshot
from motoko.config.daemon_kinds import kind_of
from motoko.control.daemon_records import EXIT_LOCKED, is_elsewhere, record_text
from motoko.errors import MotokoError
from motoko.host.files import kept_file
from motoko.host.locks import locked_if_free
from motoko.host.log_files import LogFile, log_to
from motoko.host.process_limits import check_threads, raise_soft_limits
from motoko.layout import Runtime, locate, snapshot_path


@dataclass(frozen=True)
class Daemon:
    """One daemon's name and its workflow; its configuration counts since then (since 1970)."""

    name: str
    config: WorkflowConfig
    runtime: Runtime
    since: float

    @property
    def kind(self) -> str:
        """The part of its name before the colon."""
        return kind_of(self.name)

    def log(self) -> None:
        """Have all logging go to its log file, which is rotated when it is long.

        If standard error is not that file, the daemon was started by hand: then log to it instead.
        """
        path, settings = self.runtime.log(self.name), self.config.supervision
        handler: logging.Handler = logging.StreamHandler()
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(2), path.stat()):
                handler = LogFile(path, settings.log_size, settings.log_files)
        log_to(handler, self.name)


def arguments(description: str, *, study: bool = False) -> argparse.Namespace:
    """The command line of a worker: the workflow, and perhaps a study of it."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("workflow", help="path of motoko.yaml")
    if study:
        parser.add_argument("study")
    parser.add_argument("--slots", type=int, default=None)
    parser.add_argument("--generator", default=None)
    return parser.parse_args()


def as_process(main: Callable[[], None]) -> None:
    """Do what this process is for. It ends then, without taking apart what it has imported."""
    try:
        main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            workers.exit_code = end.code or 0
        raise
    workers.exit_code = 0


def told_to_end() -> asyncio.Event:
    """An event of the running loop, which is set when the daemon is told to end."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


# A daemon that cannot start this many threads at the outset would fail later, at any place.
THREADS = 8


@contextlib.contextmanager
def running(name: str, workflow: str) -> Iterator[Daemon]:
    """Be the daemon ``name``: hold its lock and keep its record while the block runs.

    The configuration is the one that the supervisor has read; without a supervisor it is read from
    the files. SIGTERM and SIGINT end the block with ``SystemExit(0)``. The process exits with
    ``EXIT_LOCKED`` at once if another process is this daemon already, and with a message for any
    ``MotokoError``.
    """
    gc.freeze()  # what was imported is never garbage
    gc.enable()
    raise_soft_limits()
    log_to(logging.StreamHandler(), name)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    try:
        check_threads(THREADS)
        daemon = configured(name, workflow)
        config, runtime = daemon.config, daemon.runtime
        if is_elsewhere(runtime):
            raise MotokoError(
                f"{config.directory} is supervised on another host now", hint="see `motoko ps`"
            )
        with _locked(runtime, name):
            daemon.log()
            _be_nice(config.supervision.nice.get(daemon.kind, 0))
            with kept_file(runtime.record(name), record_text(runtime, name=name)):
                yield daemon
    except MotokoError as error:
        logging.error("%s%s", error, f" ({error.hint})" if error.hint else "")
        sys.exit(error.exit_code)


def configured(name: str, workflow: str) -> Daemon:
    """The daemon ``name``; raises ``MotokoError`` for a workflow that was never supervised."""
    taken = _taken_over(Path(workflow)) or snapshot.Taken(time.time(), load(workflow))
    config = taken.config
    runtime = locate(config)
    if runtime is None:
        raise MotokoError(
            f"no runtime directory is recorded for {config.directory}",
            hint="daemons are started by `motoko supervise`",
        )
    return Daemon(name, config, runtime, taken.since)


def _taken_over(path: Path) -> snapshot.Taken | None:
    """The configuration that the supervisor has read; the files may have changed since then.

    ``None`` without a supervisor, or with one of another version.
    """
    kept = snapshot.read(snapshot_path(path.parent), path)
    return None if kept is None else kept.taken[-1]


def _be_nice(nice: int) -> None:
    """Set the niceness, which the runs that this process starts inherit."""
    if nice > os.getpriority(os.PRIO_PROCESS, 0):  # only root may lower it
        os.setpriority(os.PRIO_PROCESS, 0, nice)


@contextlib.contextmanager
def _locked(runtime: Runtime, name: str) -> Iterator[None]:
    with locked_if_free(runtime.lock(name)) as is_ours:
        if not is_ours:
            logging.error("another process is %s already", name)
            sys.exit(EXIT_LOCKED)
        yield


def _leave(number: int, frame: FrameType | None) -> None:
    logging.info("stopped by %s", signal.Signals(number).name)
    sys.exit(0)
