"""What a batch job executes: it claims the attempt, runs launch.sh, and records its end.

The batch brother of :mod:`motoko.workers.wrapper`, with the same files in the run directory, which
nodes and head node share. Nothing here needs Motoko, Python or the database on the node.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from motoko.runtime import write_atomically
from motoko.workers import wrapper

# Arguments: run directory, attempt, standard output and error (empty: the scheduler's), a
# directory in which it says that something has happened, the run, the submission's name.
#
# The claim is made with O_EXCL (set -C), whoever comes second leaves: a job that was submitted
# twice starts once. A job that the scheduler starts again (a requeue) is the next attempt, unless
# the submission has been closed: settled without it. The claim comes before that look, as closing
# does it the other way round.
#
# The shell is the one that is signalled before the time limit; signals go on to launch.sh, and
# what launch.sh makes of them is waited for. It is bash, as launch.sh is: others lose functions
# that the environment holds (`module`).
_SCRIPT = """\
#!/bin/bash
export PATH={programs}"${{PATH:+:$PATH}}"
directory=$1 attempt=$2 out=$3 err=$4 spool=$5 run=$6 name=$7
job={job} restarts={restarts} nodes={nodes}
cd "$directory" || exit 120
if [ "${{restarts:-0}}" -gt 0 ]; then
    while [ -e "attempt-$attempt" ]; do attempt=$((attempt + 1)); done
fi
set -C
true > "attempt-$attempt" || {{ [ -e "attempt-$attempt" ] && exit 121; exit 123; }}
set +C
[ -e "closed-$name" ] && {{ rm -f "attempt-$attempt"; exit 121; }}
printf 'batch %s %s\\n' "$job" "$nodes" > "attempt-$attempt" \\
    || {{ rm -f "attempt-$attempt"; exit 123; }}
if [ "$attempt" -gt "$2" ]; then
    for each in "$out" "$err"; do
        [ -n "$each" ] && [ -e "$each" ] && mv -f "$each" "$each.$((attempt - 1))"
    done
fi
[ -n "$out" ] && exec > "$out"
[ -n "$err" ] && exec 2> "$err"
say() {{ true > "$spool/$run.$attempt.$1"; }} 2> /dev/null
say started
told= child=
for each in HUP INT TERM USR1 USR2; do
    trap "told=$each; [ -n \\"\\$child\\" ] && kill -$each \\"\\$child\\" 2> /dev/null" $each
done
./launch.sh < /dev/null &
child=$!
while :; do
    wait "$child"
    code=$?
    kill -0 "$child" 2> /dev/null || break
done
# If a signal has cut the last wait short, launch.sh's own code is still to be had.
wait "$child" 2> /dev/null
again=$?
[ "$again" -eq 127 ] || code=$again
child=
record='{{"attempt": '$attempt', "code": '$code', "signal": "'$told'", "job": "'$job'"}}'
{{ printf '%s\\n' "$record" > exit.json.new && mv -f exit.json.new exit.json; }} \\
    || printf '%s\\n' "$record" 1<> "attempt-$attempt"
say ended
exit "$code"
"""
# What a batch system tells a job about itself, as its shell sees it.
VARIABLES = {"slurm": ("$SLURM_JOB_ID", "$SLURM_RESTART_COUNT", "$SLURM_JOB_NODELIST")}


def write(directory: Path, system: str) -> Path:
    """Write the script of a workflow's jobs for a batch system, and return its path.

    Schedulers keep a copy of their own with each job: it may be replaced at any time.
    """
    job, restarts, nodes = VARIABLES[system]
    programs = shlex.quote(os.pathsep.join(wrapper.programs()))
    path = directory / f"{system}-job.sh"
    directory.mkdir(parents=True, exist_ok=True)
    text = _SCRIPT.format(programs=programs, job=job, restarts=restarts, nodes=nodes)
    if not path.exists() or path.read_text() != text:
        write_atomically(path, text)
    return path


def arguments(
    directory: Path, attempt: int, outputs: tuple[str, str], spool: Path, run_id: int, name: str
) -> Sequence[str]:
    """The script's arguments; an empty output is left to the scheduler."""
    return [str(directory), str(attempt), *outputs, str(spool), str(run_id), name]


@dataclass(frozen=True)
class Evidence:
    """What a run directory tells of a submission's attempts.

    Attributes:
        attempt: the last one that was started, or ``None`` if none was.
        job: the job that has started it; empty if that is not known.
        nodes: where it was started, likewise.
        code: launch.sh's exit code, or ``None`` if no end of this attempt is recorded.
        signal: the last signal that the job was sent, without ``SIG``.
    """

    attempt: int | None = None
    job: str = ""
    nodes: str = ""
    code: int | None = None
    signal: str = ""

    @property
    def ended(self) -> bool:
        """Whether launch.sh has ended."""
        return self.code is not None


def read(directory: Path, attempt: int) -> Evidence:
    """What the directory of a run tells of a submission for an attempt, and its restarts."""
    last = attempt - 1
    while (directory / f"attempt-{last + 1}").exists():
        last += 1
    if last < attempt:
        return Evidence()
    first, _, _ = _text(directory / f"attempt-{last}").partition("\n")
    words = first.split(" ")
    job, nodes = (words[1], words[2]) if len(words) == 3 and words[0] == "batch" else ("", "")
    for name in ("exit.json", f"attempt-{last}"):
        try:
            record = json.loads(_text(directory / name).partition("\n")[0])
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("attempt") == last:
            code = record.get("code")
            if isinstance(code, int):
                job = str(record.get("job") or job)
                return Evidence(last, job, nodes, code, str(record.get("signal") or ""))
    return Evidence(last, job, nodes)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def started_at(directory: Path, attempt: int) -> float | None:
    """When an attempt was started (seconds since 1970), if it was."""
    try:
        return (directory / f"attempt-{attempt}").stat().st_mtime
    except OSError:
        return None


def close(directory: Path, attempt: int, name: str) -> bool:
    """See to it that a submission starts nothing any more; whether it had started nothing yet.

    An attempt that runs goes on; what is closed is another start. Raises ``OSError`` if that
    cannot be made sure. A directory that is gone is no place to start in.
    """
    try:
        (directory / f"closed-{name}").touch()
        (directory / f"attempt-{attempt}").touch(exist_ok=False)
    except FileExistsError:
        return False
    except (FileNotFoundError, NotADirectoryError):
        return True
    # Ours: nobody else may take it. But an attempt is an execution, and this was none.
    (directory / f"attempt-{attempt}").unlink(missing_ok=True)
    return True
