"""What a run's directory says of an attempt: which process has started it, and how it has ended.

If a file cannot be read now (a shared file system may not answer for a moment), nothing is known:
``UnreadableRecord`` is raised, and the caller has to look again.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from motoko.errors import MotokoError
from motoko.host.closed_places import remedy
from motoko.host.file_clock import age
from motoko.host.files import contents, write_atomically
from motoko.host.identity import Identity
from motoko.host.proc_files import boot_id
from motoko.runs.boots import has_rebooted
from motoko.runs.paths import claim_path, earlier_exit_path, exit_path
from motoko.runs.wrappers import Wrapper

KILLED = "its wrapper was killed before it could record the exit"
BATCH = "batch"  # in place of the boot, in the claims of batch jobs
_DISOWNED = "copied"  # in place of the boot, in claims that were copied with their run
LOOK_AGAIN_S = 5.0  # after this time, look again at what could not be read, or seen from here


class UnreadableRecord(MotokoError):
    """A file of a run cannot be read now, though it exists, or may exist."""


class Where(Enum):
    """Where an attempt was started, as seen from here."""

    HERE = "here"  # on this host, since its last boot
    REBOOTED = "rebooted"  # on a host that was rebooted since then: none of its processes lives
    ELSEWHERE = "elsewhere"  # on another host, whose processes cannot be seen
    COPIED = "copied"  # in the directory that this one is a copy of: its processes work there


@dataclass(frozen=True)
class Claim:
    """Which process has started an attempt.

    Attributes:
        wrapper: the wrapper that has.
        where: where it has started the attempt.
    """

    wrapper: Wrapper
    where: Where = Where.HERE

    @property
    def is_here(self) -> bool:
        """Whether its processes, if they live, are on this host."""
        return self.where is Where.HERE


def read_claim(directory: Path, attempt: int, workflow: Path | None = None) -> Claim | None:
    """The claim of an attempt, or ``None`` if it was never started. Raises ``UnreadableRecord``.

    Args:
        directory: the run's directory.
        attempt: its number.
        workflow: the workflow's directory, where hosts note their boots.
    """
    text = claim_text(directory, attempt)
    if text is None:
        return None
    claim = parse_claim(text)
    wrapper = claim.wrapper
    if claim.is_here and wrapper.alive and _works_elsewhere(wrapper, directory):
        return Claim(wrapper, Where.COPIED)
    if workflow is not None and has_rebooted(workflow, wrapper.process):
        return Claim(claim.wrapper, Where.REBOOTED)
    return claim


def with_session(wrapper: Wrapper, directory: Path, attempt: int) -> Wrapper:
    """A wrapper with the session that it has noted in its claim. Raises ``UnreadableRecord``."""
    text = claim_text(directory, attempt)
    claimed = wrapper if text is None else parse_claim(text).wrapper
    return claimed if claimed == wrapper else wrapper


def disown(directory: Path, attempt: int) -> None:
    """Mark a claim as copied with its run: the wrapper that has made it works elsewhere.

    Raises ``OSError`` if it cannot be written.
    """
    path = claim_path(directory, attempt)
    if path.exists():
        write_atomically(path, f"{_DISOWNED}\n")


def withdraw(directory: Path, attempt: int) -> None:
    """Remove the claim of an attempt of which nothing was started. Raises ``UnreadableRecord``."""
    try:
        claim_path(directory, attempt).unlink(missing_ok=True)
    except OSError as error:
        raise unreadable(directory, error) from error


def _works_elsewhere(wrapper: Wrapper, directory: Path) -> bool:
    """Whether a wrapper works in another directory. In its turn it stays, even if that is moved."""
    try:
        place = Path(f"/proc/{wrapper.pid}/cwd").stat()
        return not os.path.samestat(place, directory.stat()) and wrapper.alive
    except OSError:  # it has just ended, or is another user's
        return False


def may_go_on(directory: Path, attempt: int) -> bool:
    """Whether processes of an attempt may live on another host, as far as is known here.

    Raises ``UnreadableRecord``.
    """
    text = claim_text(directory, attempt)
    if text is None or read_exit(directory, attempt) is not None:
        return False
    # An empty claim is of a wrapper or job that is about to start the attempt, and still may.
    return not text or is_of_a_job(text) or parse_claim(text).where is Where.ELSEWHERE


def is_of_a_job(text: str) -> bool:
    """Whether a claim is a batch job's, by its text."""
    return text.startswith(f"{BATCH} ")


def parse_claim(text: str) -> Claim:
    """A claim from its file: what the wrapper has written there, a line each.

    These are: the boot, the wrapper's line of /proc, the host, the pid namespace, the turn, and the
    session that launch.sh has begun. Earlier versions wrote fewer: then the wrapper has one turn,
    and the host is taken to be this one.
    """
    boot, line, host, namespace, turn, session, *_ = [*text.split("\n"), *[""] * 6]
    pid = line.partition(" ")[0]
    fields = line.rpartition(")")[2].split()
    here = socket.gethostname()
    unknown = Wrapper(Identity(0, 0, boot_id(), here))
    if boot == _DISOWNED:
        return Claim(unknown, Where.COPIED)
    if not pid.isdigit() or len(fields) < 20 or boot.startswith("{"):
        # The wrapper was killed between making the file and writing it; or has ended, and the exit
        # record is in the file. The attempt was started, by a process that does not live any more.
        return Claim(unknown)
    process = Identity(int(pid), int(fields[19]), boot, host.strip() or here, namespace.strip())
    wrapper = Wrapper(
        process,
        int(turn) if turn.isdecimal() else 0,
        int(session) if session.isdecimal() else None,
    )
    if process.is_here:
        return Claim(wrapper)
    return Claim(wrapper, Where.ELSEWHERE if process.is_elsewhere else Where.REBOOTED)


def begun_for(directory: Path, attempt: int) -> float | None:
    """How long ago an attempt was started, in seconds; ``None`` if that is not known.

    Measured by the clock of the file system, not by those of the hosts.
    """
    try:
        return age(claim_path(directory, attempt))
    except OSError:
        return None


def read_exit(directory: Path, attempt: int) -> int | None:
    """The exit code of an attempt; ``None`` if it is not recorded, or not completely.

    Raises ``UnreadableRecord``.
    """
    return code_of(read_record(directory, attempt))


def code_of(record: Mapping[str, object] | None) -> int | None:
    """The exit code in an exit record."""
    code = record.get("code") if record is not None else None
    return code if isinstance(code, int) else None


def read_record(directory: Path, attempt: int) -> dict[str, object] | None:
    """The exit record of an attempt, or ``None`` if there is none. Raises ``UnreadableRecord``.

    On a full disk it was written over the claim.
    """
    for path in (
        _path(exit_path, directory, attempt),
        _path(earlier_exit_path, directory),
        _path(claim_path, directory, attempt),
    ):
        try:
            record = json.loads((_text_of(path) or "").partition("\n")[0])
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("attempt") == attempt:
            return record
    return None


def recorded_at(directory: Path, attempt: int) -> float | None:
    """When the exit of an attempt was recorded (seconds since 1970), if it was."""
    with contextlib.suppress(OSError):
        return exit_path(directory, attempt).stat().st_mtime
    with contextlib.suppress(OSError):
        return earlier_exit_path(directory).stat().st_mtime
    return None


def claim_text(directory: Path, attempt: int) -> str | None:
    """The text of an attempt's claim, or ``None`` if there is none. Raises ``UnreadableRecord``."""
    return _text_of(_path(claim_path, directory, attempt))


def _path(of: Callable[..., Path], directory: Path, *names: int) -> Path:
    try:
        return of(directory, *names)
    except OSError as error:
        raise unreadable(directory, error) from error


def _text_of(path: Path) -> str | None:
    try:
        data = contents(path)
    except OSError as error:
        raise unreadable(path, error) from error
    return None if data is None else data.decode(errors="replace")


def is_directory(path: Path) -> bool:
    """Whether a directory exists. Raises ``UnreadableRecord``."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> UnreadableRecord:
    """The error that says why a file cannot be read now."""
    return UnreadableRecord(
        f"{path} cannot be read now: {error.strerror or error}",
        hint=remedy(path)
        if isinstance(error, PermissionError)
        else "a file system that is shared may answer in a moment",
    )
