"""The wrapper around each local run: claims the attempt, runs launch.sh, records its exit.

A few lines of shell in a session of their own, so that a run survives its launcher, and a new
launcher finds out what became of it: from the claim (who runs it) and from the exit record.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from motoko.identity import Identity, boot_id, session_members

# It is started before `launched` is committed, and waits for the word to go; if its launcher dies
# before, it ends without a trace. The claim is made with O_EXCL (set -C): whoever comes second
# leaves. It holds the boot and the wrapper's own line of /proc, for the launcher to recognise it
# by. On a full disk the exit record is written over that, which needs no more space. The slots'
# descriptors are inherited by launch.sh: a slot is held as long as anything of the run lives.
SCRIPT = """\
read -r go || exit 122
cd "$1" || exit 120
read -r boot < /proc/sys/kernel/random/boot_id
read -r stat < "/proc/$$/stat"
set -C
true > "attempt-$2" || { [ -e "attempt-$2" ] && exit 121; exit 123; }
set +C
printf '%s\\n%s\\n' "$boot" "$stat" > "attempt-$2" || { rm -f "attempt-$2"; exit 123; }
./launch.sh > "$3" 2> "$4" < /dev/null
code=$?
record='{"attempt": '$2', "code": '$code'}'
printf '%s\\n' "$record" > exit.json || printf '%s\\n' "$record" 1<> "attempt-$2"
exit "$code"
"""


CLAIMED = 121  # what it exits with if the attempt has been claimed by another
UNCLAIMED = 123  # and if nobody could claim it
UNWRITABLE = "the attempt could not be claimed: the run directory cannot be written"
KILLED = "its wrapper was killed before it could record the exit"


@dataclass(frozen=True)
class Claim:
    """Who has started an attempt."""

    wrapper: Identity

    @property
    def since_reboot(self) -> bool:
        """Whether the host has not been rebooted since."""
        return self.wrapper.boot_id == boot_id()


def start(
    directory: Path, attempt: int, stdout: str, stderr: str, slots: Sequence[int]
) -> subprocess.Popen[bytes]:
    """Start a wrapper for an attempt; ``slots`` are the descriptors that hold its slots.

    It waits for a line on its standard input, and ends if there comes none. If the attempt is
    claimed already, it ends with code 121 and starts nothing.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", SCRIPT, "motoko-run", str(directory), str(attempt), stdout, stderr],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=slots,
        env=environment(),
    )


@functools.cache
def environment() -> dict[str, str]:
    """A run's environment: ours, with :func:`programs` first on PATH."""
    path = os.pathsep.join([*programs(), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path}


def programs() -> list[str]:
    """Where a run finds programs first: what it must not start, then this Python's, canYouDigIt.

    BlackDynamite's client that misses its server for a moment, since it is being restarted, would
    start one of its own, beside ours and on the same database.
    """
    return [str(Path(__file__).parent / "in_runs"), str(Path(sys.executable).parent)]


def read_claim(directory: Path, attempt: int) -> Claim | None:
    """The claim of an attempt, or ``None`` if it was never started."""
    try:
        text = (directory / f"attempt-{attempt}").read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None
    boot, _, stat = text.partition("\n")
    pid = stat.partition(" ")[0]
    fields = stat.rpartition(")")[2].split()
    if not pid.isdigit() or len(fields) < 20 or boot.startswith("{"):
        # Killed between making the file and writing it, or at the end (the exit record is in it):
        # started, by nobody that still lives.
        return Claim(Identity(0, 0, boot_id(), socket.gethostname()))
    return Claim(Identity(int(pid), int(fields[19]), boot, socket.gethostname()))


def claimed_at(directory: Path, attempt: int) -> float:
    """When an attempt was started (seconds since 1970); now, if that is not known."""
    try:
        return (directory / f"attempt-{attempt}").stat().st_mtime
    except OSError:
        return time.time()


def survivors(*sessions: int) -> list[Identity]:
    """The living processes of runs whose wrappers have ended, by sessions: the wrappers' pids.

    While one lives, no other process gets that pid. If somebody has it, all of them are gone.
    """
    found = session_members(*sessions)
    reused = {member.pid for member, session in found if member.pid == session}
    return [member for member, session in found if session not in reused]


def group_lives(session: int) -> bool:
    """Whether anybody is left in the process group that a run begins with. It is cheap."""
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def read_exit(directory: Path, attempt: int) -> int | None:
    """The exit code of an attempt, or ``None`` if none is recorded (completely)."""
    for name in ("exit.json", f"attempt-{attempt}"):
        try:
            record = json.loads((directory / name).read_text().partition("\n")[0])
        except (FileNotFoundError, NotADirectoryError, ValueError):
            continue
        if isinstance(record, dict) and record.get("attempt") == attempt:
            code = record.get("code")
            return code if isinstance(code, int) else None
    return None
