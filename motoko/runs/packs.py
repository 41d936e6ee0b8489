"""The file of a pack: which runs a job executes, and which of them it has to end.

A pack is one job that executes several runs of a study, one after another or some side by side. The
launcher writes its file before it submits the job: so the runs of a job are known, whatever is lost
afterwards. The job reads the same file. Files of packs are beside the directories of the runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from motoko.batch import job_names
from motoko.host.files import contents, write_durably

# Beside the runs' directories. The scheduler's own output of packs is there as well.
FOLDER = ".motoko-packs"
END = "end"  # this word precedes the number of a run that the job has to end


@dataclass(frozen=True)
class Pack:
    """A pack.

    Attributes:
        name: its job's name.
        members: the name under which each run waited to be submitted, by the run's number.
        ending: the runs that its job has been told to end.
    """

    name: str
    members: Mapping[int, str]
    ending: frozenset[int] = frozenset()

    def attempt(self, run_id: int) -> int:
        """The attempt that a run was submitted for."""
        return job_names.attempt_of(self.members[run_id])


def folder(runs: Path) -> Path:
    """Where the files of packs are, of runs whose directories are in ``runs``."""
    return runs / FOLDER


def write(runs: Path, name: str, members: Mapping[int, str], *, warm: str = "") -> Pack:
    """Write the file of a pack that is about to be submitted. Raises ``OSError``.

    ``warm``: the line of :func:`motoko.runs.packed_warm.line`, if its runs are warm.
    """
    folder(runs).mkdir(exist_ok=True)
    lines = [f"{number} {member}\n" for number, member in members.items()]
    write_durably(folder(runs) / name, "".join([warm, *lines]))
    return Pack(name, dict(members))


def read(runs: Path, name: str) -> Pack | None:
    """The pack of a name; ``None`` if there is none. Raises ``OSError``."""
    # A run that was never packed may have a name that is no file's.
    data = contents(folder(runs) / name) if name and "/" not in name else None
    return None if data is None else _parsed(name, data.decode(errors="replace"))


def find(runs: Path, name: str) -> Pack | None:
    """The pack of a name, or the one that a run is in that waited under this name.

    ``None`` if there is none. Raises ``OSError``.
    """
    named = read(runs, name)
    if named is not None or not name:
        return named
    return next((pack for pack in all_of(runs) if name in pack.members.values()), None)


def all_of(runs: Path) -> Iterator[Pack]:
    """All packs of runs whose directories are in ``runs``. Raises ``OSError``."""
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(folder(runs).iterdir()):
            if path.name.startswith(("slurm-", ".")) or path.suffix == ".py":
                continue
            pack = read(runs, path.name)
            if pack is not None and pack.members:
                yield pack


def end(runs: Path, name: str, run_id: int) -> None:
    """Tell a pack's job to end a run. Raises ``OSError``.

    The line is appended, and the job opens the file again and again: on a shared file system this
    shows what other hosts have written.
    """
    with (folder(runs) / name).open("a") as file:
        file.write(f"{END} {run_id}\n")


def remove(runs: Path, name: str) -> None:
    """Remove a pack's file: its job starts nothing any more. Raises ``OSError``."""
    (folder(runs) / name).unlink(missing_ok=True)


def _parsed(name: str, text: str) -> Pack:
    members: dict[int, str] = {}
    ending = set()
    for line in text.splitlines():
        first, _, second = line.partition(" ")
        if first == END and second.isdigit():
            ending.add(int(second))
        elif first.isdigit():
            members[int(first)] = second
    return Pack(name, members, frozenset(ending))
