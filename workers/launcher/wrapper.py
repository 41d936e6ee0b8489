"""The wrapper around each local run: claims the attempt, runs launch.sh, records its exit.

A few lines of shell in a session of their own, so that a run survives its launcher, and a new
launcher finds out what became of it: from the claim (who runs it) and from the exit record.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from motoko.host.identity import pid_namespace
from motoko.runs import marks
from motoko.runs.launch_script import BECOME
from motoko.runs.paths import CLAIM, EXIT, own_folder
from motoko.runs.run_programs import missing_programs

# It is started before `launched` is committed, and waits for the word to go; if its launcher dies
# before, it ends without a trace. The claim is made with O_EXCL (set -C): whoever comes second
# leaves. It holds the boot, the wrapper's own line of /proc, the host and the pid namespace, for
# the launcher to recognise it by. On a full disk the exit record is written over that, which needs
# no more space. The slots' descriptors are inherited by launch.sh: a slot is held as long as
# anything of the run lives. Its own variables begin with _: others may be in the environment that
# launch.sh is to have. Where no process may be started for launch.sh, the shell exits by itself, as
# the trap says: it may not even start one that removes the claim.
SCRIPT = f"""\
read -r _go || exit 122
cd "$1" || exit 120
read -r _boot < /proc/sys/kernel/random/boot_id
read -r _stat < "/proc/$$/stat"
read -r _host < /proc/sys/kernel/hostname
set -C
true > "$6/{CLAIM}$2" || {{ [ -e "$6/{CLAIM}$2" ] && exit 121; exit 123; }}
set +C
printf '%s\\n' "$_boot" "$_stat" "$_host" "$5" > "$6/{CLAIM}$2" \\
    || {{ rm -f "$6/{CLAIM}$2"; exit 123; }}
true > "$3" && true > "$4" || {{ rm -f "$6/{CLAIM}$2"; exit 124; }}
export MOTOKO_ATTEMPT="$2"
{marks.SCRIPT.format(claim=f"$6/{CLAIM}$2")}trap 'exit 125' EXIT
(
{BECOME}) > "$3" 2> "$4" < /dev/null
_code=$?
trap - EXIT
_record='{{"attempt": '$2', "code": '$_code'}}'
printf '%s\\n' "$_record" > "$6/{EXIT}$2.json" \\
    || printf '%s\\n' "$_record" 1<> "$6/{CLAIM}$2"
exit "$_code"
"""

_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")
CLAIMED = 121  # what it exits with if the attempt has been claimed by another
UNCLAIMED = 123  # and if nobody could claim it
UNOPENED = 124  # and if its output cannot be opened
UNFORKED = 125  # and if it may start no process for launch.sh: the claim is still there
UNWRITABLE = "the attempt could not be claimed: the run directory cannot be written"


def start(
    directory: Path, attempt: int, stdout: str, stderr: str, slots: Sequence[int]
) -> subprocess.Popen[bytes]:
    """Start a wrapper for an attempt; ``slots`` are the descriptors that hold its slots.

    It waits for a line on its standard input, and ends if there comes none. If the attempt is
    claimed already, it ends with code 121 and starts nothing.
    """
    variables = environment()
    return subprocess.Popen(
        [*shell_for(variables), *arguments(directory, attempt, stdout, stderr)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=slots,
        env=variables,
    )


def arguments(directory: Path, attempt: int, stdout: str, stderr: str) -> Sequence[str]:
    """A wrapper's arguments for its shell. Raises ``OSError`` if the directory cannot be seen."""
    own = os.path.relpath(own_folder(directory), directory)
    words = (str(directory), str(attempt), stdout, stderr, pid_namespace(), own)
    return ("-c", SCRIPT, "motoko-run", *words)


@functools.cache
def environment() -> dict[str, str]:
    """A run's environment: ours, with the missing programs first on PATH."""
    path = os.environ.get("PATH", os.defpath)
    return {**os.environ, "PATH": os.pathsep.join([*missing_programs(path), path])}


def shell_for(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The shell of a wrapper: ``sh``, which starts fastest, if it passes on all of the variables.

    It drops those whose name it does not understand: the functions that bash exports. Bash keeps
    them, and with ``-p`` does not heed them itself.
    """
    if all(_VARIABLE.fullmatch(name) for name in variables):
        return ("/bin/sh",)
    return ("/bin/bash", "-p")
