"""An attempt that a test has wrapped itself, without a launcher."""

import contextlib
import select
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from motoko.workers.launcher.spawner import Spawner
from motoko.workers.launcher.wrapper_process import WrapperProcess


@contextlib.contextmanager
def spawner(variables: Mapping[str, str] | None = None) -> Iterator[Spawner]:
    """A spawner, which is ended."""
    made = Spawner(variables)
    try:
        yield made
    finally:
        made.close()


def execute(made: Spawner, directory: Path, slots: Sequence[int] = ()) -> WrapperProcess:
    """Have a launch.sh executed; returns its wrapper, which has ended."""
    process = made.start(directory, 1, "r.o7", "r.e7", slots)
    process.go()
    ended(process)
    return process


def ended(process: WrapperProcess) -> None:
    """Wait for a wrapper's end, and listen to what it has told."""
    with open(process.pidfd) as end:
        assert select.select([end], [], [], 20)[0], "it ends"
    process.listen()
