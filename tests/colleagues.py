"""Another account, which executes our interpreter, and reads what it is let."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hosts.first_process import closed_above

ROOT = Path(__file__).parents[1]
ACCOUNT = 61235
GROUP = 61236
# Makes what lies below closed directories, such as root's interpreter, seen by all in a namespace
# of its own; and a directory unwritable, if one is given.
_SEEN = """\
set -e
layers=$1; readonly=$2; shift 2
mount -t tmpfs -o mode=755 none "$layers"
while [ "$1" != -- ]; do
    mkdir -p "$layers/up$1" "$layers/work$1"; chmod 755 "$layers/up$1"
    mount -t overlay none "$1" -o "lowerdir=$1,upperdir=$layers/up$1,workdir=$layers/work$1"
    shift
done
shift
if [ "$readonly" ]; then
    mount --bind "$readonly" "$readonly"
    mount -o remount,ro,bind "$readonly"
fi
exec "$@"
"""
# Each command is forked from a process that has imported what most of them need.
_COMMANDS = """\
import json, os, sys
sys.path[:] = [path for path in sys.path if path]
import motoko.cli.main, motoko.reports.results, motoko.reports.run_counts, motoko.store.base
answers = []
for number, arguments in enumerate(json.loads(sys.argv[1])):
    ends = [os.memfd_create("out"), os.memfd_create("err")]
    if not (child := os.fork()):
        os.dup2(ends[0], 1)
        os.dup2(ends[1], 2)
        motoko.cli.main.main(arguments)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    texts = [os.pread(end, 10**7, 0).decode() for end in ends]
    answers.append([code, *texts])
print(json.dumps(answers))
"""


@dataclass(frozen=True)
class Shown:
    """What a command has printed, and its exit code."""

    code: int
    out: str
    err: str


@contextlib.contextmanager
def open_place() -> Iterator[Path]:
    """A directory that others can reach, unlike pytest's own; ``home`` in it is theirs, too."""
    place = Path(tempfile.mkdtemp(prefix="mc-", dir="/tmp"))
    place.chmod(0o755)
    (home := place / "home").mkdir()
    home.chmod(0o777)
    yield place
    subprocess.run(["chmod", "-R", "u+w", place], check=True)
    shutil.rmtree(place)


def as_colleague(
    *command: str,
    cwd: Path,
    place: Path,
    group: int | None = None,
    user: int = ACCOUNT,
    readonly: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Execute a command as another account, which is in no group of ours.

    Args:
        command: the command.
        cwd: where.
        place: a directory that everybody can read and write: its HOME, and its TMPDIR.
        group: its group; by default one that owns nothing.
        user: its uid.
        readonly: a directory that nobody can write into.
    """
    kept = [str(Path(sys.executable).resolve()), sys.prefix, str(ROOT)]
    (layers := place / "layers").mkdir(exist_ok=True)
    become = (f"--reuid={user}", f"--regid={group or ACCOUNT}", "--clear-groups")
    return subprocess.run(
        [
            *("unshare", "-m", "sh", "-c", _SEEN, "seen", str(layers), str(readonly or "")),
            *(*closed_above(kept), "--", "setpriv", *become, *command),
        ],
        cwd=cwd,
        env=_surroundings(place),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def commands(
    *lines: Sequence[str], cwd: Path, place: Path, **options: object
) -> dict[tuple[str, ...], Shown]:
    """What commands of ``motoko`` show another account; options as of :func:`as_colleague`."""
    code = (sys.executable, "-P", "-c", _COMMANDS, json.dumps([list(line) for line in lines]))
    done = as_colleague(*code, cwd=cwd, place=place, **options)  # type: ignore[arg-type]
    assert done.returncode == 0, done.stderr
    answers = [Shown(*answer) for answer in json.loads(done.stdout)]
    return dict(zip(map(tuple, lines), answers, strict=True))


def _surroundings(place: Path) -> Mapping[str, str]:
    # Without PYTHONDONTWRITEBYTECODE: Python would write __pycache__ where it can.
    own = {"HOME": str(place), "TMPDIR": str(place), "USER": "colleague", "LANG": "C.UTF-8"}
    return {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}", **own}


def why_impossible() -> str | None:
    """Why this machine does not let us be another account; ``None`` if it does."""
    if os.getuid():
        return "only root can be another account"
    done = subprocess.run(
        ["unshare", "-m", "setpriv", "--reuid=1", "true"], capture_output=True, check=False
    )
    return None if done.returncode == 0 else "this machine does not let us be another account"
