"""The wrapper around each local run: claims the attempt, runs launch.sh, records its exit.

A few lines of shell in a session of their own. So a run survives its launcher, and a new launcher
finds out what became of it: from the claim (which process runs it) and from the exit record.
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
from motoko.runs.used import SHELL, TICKS

# The wrapper is started before `launched` is committed, and waits for a line that lets it go. If
# its launcher dies before that, it ends without a trace. The claim is made with O_EXCL (set -C):
# the second wrapper of an attempt exits. The claim holds the boot id, the wrapper's own line of
# /proc, the host and the pid namespace: by these a launcher recognises the wrapper. On a full disk
# the exit record is written over the claim, which needs no more space. launch.sh inherits the
# descriptors of the slots: a slot is held as long as any process of the run lives. The script's own
# variables begin with _: any other name may be in the environment of launch.sh. If no process can
# be started for launch.sh, the shell exits with the trap's code: it cannot even start `rm` to
# remove the claim.
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
{SHELL}_record='{{"attempt": '$2', "code": '$_code', "{TICKS}": '${{_ticks:-null}}'}}'
printf '%s\\n' "$_record" > "$6/{EXIT}$2.json" \\
    || printf '%s\\n' "$_record" 1<> "$6/{CLAIM}$2"
exit "$_code"
"""

_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")
# Exit codes of a wrapper that has not started launch.sh.
CLAIMED = 121  # another wrapper has claimed the attempt
UNCLAIMED = 123  # the claim could not be written
UNOPENED = 124  # an output file could not be opened
UNFORKED = 125  # no process could be started for launch.sh: the claim is still there
UNWRITABLE = "the attempt could not be claimed: the run directory cannot be written"


def start(
    directory: Path, attempt: int, stdout: str, stderr: str, slots: Sequence[int]
) -> subprocess.Popen[bytes]:
    """Start a wrapper for an attempt; ``slots`` are the descriptors that hold its slots.

    It waits for a line on its standard input, and ends if the input ends without one. If the
    attempt is claimed already, it ends with code 121 and starts nothing.
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
    """The arguments of a wrapper's shell. Raises ``OSError`` if the directory cannot be read."""
    own = os.path.relpath(own_folder(directory), directory)
    words = (str(directory), str(attempt), stdout, stderr, pid_namespace(), own)
    return ("-c", SCRIPT, "motoko-run", *words)


@functools.cache
def environment() -> dict[str, str]:
    """A run's environment: ours, with the missing programs first on PATH."""
    path = os.environ.get("PATH", os.defpath)
    return {**os.environ, "PATH": os.pathsep.join([*missing_programs(path), path])}


def shell_for(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The shell of a wrapper: ``sh``, which starts fastest, if it passes on all variables.

    ``sh`` drops variables whose names are not identifiers: the functions that bash exports. Bash
    passes them on, and with ``-p`` does not define them itself.
    """
    if all(_VARIABLE.fullmatch(name) for name in variables):
        return ("/bin/sh",)
    return ("/bin/bash", "-p")
