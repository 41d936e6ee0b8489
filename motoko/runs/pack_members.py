"""What has become of the runs of a pack, as their directories say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from motoko.runs import job_script, packs
from motoko.runs.paths import closed_path


def living(directory: Path, run_id: int, name: str) -> set[int]:
    """The runs of a pack that its job executes, or will execute.

    Args:
        directory: the directory of one of its runs, ``run_id``.
        name: the pack's name.

    A run of which that cannot be read now is among them. Raises ``OSError`` if the pack itself
    cannot be read.
    """
    members = _members(directory, run_id, name)
    return {number for number, place, attempt in members if _is_living(place, name, attempt)}


def has_begun(directory: Path, run_id: int, name: str, job: str) -> bool:
    """Whether a job has started any run of a pack. The arguments are those of :func:`living`."""
    members = _members(directory, run_id, name)
    return any(job_script.read(place, attempt).job == job for _, place, attempt in members)


def _is_living(directory: Path, name: str, attempt: int) -> bool:
    evidence = job_script.read(directory, attempt)
    if evidence.unreadable or evidence.attempt is not None:
        return not evidence.ended  # an attempt that runs goes on even if it was closed
    return directory.exists() and not closed_path(directory, name).exists()


def _members(directory: Path, run_id: int, name: str) -> Iterator[tuple[int, Path, int]]:
    """The number, the directory and the attempt of each run of a pack."""
    pack = packs.read(directory.parent, name)
    before = str(directory).removesuffix(str(run_id))
    if pack is not None:
        for number in pack.members:
            yield number, Path(f"{before}{number}"), pack.attempt(number)
