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


def execute(
    made: Spawner, directory: Path, slots: Sequence[int] = (), attempt: int = 1
) -> WrapperProcess:
    """Have a launch.sh executed; returns its wrapper, whose turn has ended."""
    process = made.start(directory, attempt, "r.o7", "r.e7", slots)
    process.go()
    ended(process)
    process.rest()
    return process


def ended(process: WrapperProcess) -> None:
    """Wait until a wrapper's turn has ended, and listen to what it has told."""
    assert select.select([process.watched], [], [], 20)[0], "it ends"
    process.listen()
