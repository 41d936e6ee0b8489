"""What a batch job executes: it claims the attempt, runs launch.sh, and records its end.

It does for batch jobs what :mod:`motoko.workers.launcher.wrapper` does for local runs, with the
same files in the run directory, which the nodes share with the head node. The script needs no
Motoko, Python or database on the node.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from motoko.batch import job_names
from motoko.batch.batch_system import BatchSystem
from motoko.host.files import write_atomically
from motoko.runs import job_relay, pack_script, packed_warm
from motoko.runs.claims import BATCH, UnreadableRecord, claim_text, read_record
from motoko.runs.fences import FENCED
from motoko.runs.launch_script import BECOME
from motoko.runs.paths import CLAIM, CLOSED, EXIT, claim_path, closed_path, own_folder_in
from motoko.runs.run_programs import first_on_path
from motoko.runs.used import SHELL, TICKS, UNKNOWN, Used

# The arguments are the run directory, the attempt, the files of standard output and error (empty:
# the scheduler's), the spool directory in which the job says that something has happened, the run's
# number, the submission's name, and the folder of Motoko's files.
#
# All elements of an array have the same arguments. The number of an element's run is the number in
# the arguments plus the element's index. This number is appended to the directory and to the
# outputs, and in the submission's name it precedes the ninth argument. The file that the scheduler
# itself writes for an element is moved into its run's directory.
#
# A pack has one argument more: see pack_script.py.
#
# The claim is made with O_EXCL (set -C), and the second job of an attempt exits: so a run whose job
# was submitted twice starts once. A job that the scheduler starts again (a requeue) is the next
# attempt, unless the submission has been closed, because the run was settled meanwhile. The script
# claims first and looks for the closing file then; closing does both in the opposite order. The
# previous attempt may still be executed, on a node that was cut off: it is fenced if it has not
# recorded its end.
#
# The scheduler signals this shell before the time limit. The shell passes signals on to launch.sh,
# and waits for its end. It is bash, since other shells drop functions that the environment holds
# (`module`). With -p, bash itself ignores these functions, and $BASH_ENV. The script's own
# variables begin with _: any other name may be in the environment of launch.sh.
_SCRIPT = """\
#!/bin/bash -p
{path}
{pack}_attempt=$2 _spool=$5 _run=$6 _own=$8 _each=
[ -n "${{9-}}" ] && _run=$(($6 + {element})) && _each=$_run
_directory=$1$_each _out=${{3:+$3$_each}} _err=${{4:+$4$_each}} _name=$7$_each${{9-}}
_job={job} _restarts={restarts} _nodes={nodes}
{of_array}cd "$_directory" || exit 120
if [ "${{_restarts:-0}}" -gt 0 ]; then
    while [ -e "$_own/{claim}$_attempt" ]; do _attempt=$((_attempt + 1)); done
fi
set -C
true > "$_own/{claim}$_attempt" || {{ [ -e "$_own/{claim}$_attempt" ] && exit 121; exit 123; }}
set +C
[ -e "$_own/{closed}$_name" ] && {{ rm -f "$_own/{claim}$_attempt"; exit 121; }}
read -r _host < /proc/sys/kernel/hostname
printf '{batch} %s %s\\n%s\\n' "$_job" "$_nodes" "$_host" > "$_own/{claim}$_attempt" \\
    || {{ rm -f "$_own/{claim}$_attempt"; exit 123; }}
export MOTOKO_ATTEMPT=$_attempt
if [ "$_attempt" -gt "$2" ]; then
    for _each in "$_out" "$_err"; do
        [ -n "$_each" ] && [ -e "$_each" ] && mv -f "$_each" "$_each.$((_attempt - 1))"
    done
    _before=$((_attempt - 1)) _fences={fences}/${{_spool##*/}}
    if [ -d {channel} ] && [ ! -e "$_own/{exit}$_before.json" ] && mkdir -p "$_fences"; then
        set -C
        printf 'the scheduler has started job %s again\n' "$_job" > "$_fences/$_run-$_before"
        set +C
    fi 2> /dev/null
fi
[ -n "$_out" ] && exec > "$_out"
[ -n "$_err" ] && exec 2> "$_err"
say() {{ true > "$_spool/$_run.$_attempt.$1"; }} 2> /dev/null
say started
_told= _child= _passed=
pass_on() {{ [ -n "$_child" ] && _passed=yes && kill -"$_told" "$_child" 2> /dev/null; }}
for _each in HUP INT TERM USR1 USR2; do
    trap "_told=$_each; pass_on" $_each
done
_code={unrelayed} _problem=
{relay}if [ -z "$_problem" ]; then
    (
{become}    ) < /dev/null &
    _child=$!
    # A signal may have come before launch.sh was started: it is passed on now.
    [ -n "$_told" ] && [ -z "$_passed" ] && pass_on
    while :; do
        wait "$_child"
        _code=$?
        kill -0 "$_child" 2> /dev/null || break
    done
    # If a signal has cut the last wait short, this wait returns launch.sh's own code.
    wait "$_child" 2> /dev/null
    _again=$?
    [ "$_again" -eq 127 ] || _code=$_again
    # bash may say -1 if several signals come at once.
    [ "$_code" -ge 0 ] || _code=$((128 + $(kill -l "$_told")))
    _child=
fi
{used}_record='{{"attempt": '$_attempt', "code": '$_code', "signal": "'$_told'", "job": "'$_job'"'
_record=$_record', "{ticks}": '${{_ticks:-null}}
[ -n "$_problem" ] && _record=$_record', "problem": '$_problem
_record=$_record}}
_exit=$_own/{exit}$_attempt.json
{{ printf '%s\\n' "$_record" > "$_exit.new" && mv -f "$_exit.new" "$_exit"; }} \\
    || printf '%s\\n' "$_record" 1<> "$_own/{claim}$_attempt"
say ended
{relay_end}exit "$_code"
"""


# The lines for an element, before it enters its run's directory.
_OF_ARRAY = """\
if [ -n "$_each" ]; then
    export {directory}=$_directory
    mv -f "{output}" "$_directory" 2> /dev/null
fi
"""


def write(directory: Path, channel: Path, system: BatchSystem) -> Path:
    """Write the script of a workflow's jobs for a batch system, and return its path.

    Schedulers keep their own copy of it with each job: the file may be replaced at any time.

    Args:
        directory: the workflow's directory for batch jobs.
        channel: the channel's directory, which may not exist yet.
        system: the batch system.
    """
    variables = system.shell_variables
    path = directory / f"{system.name}-job.sh"
    directory.mkdir(parents=True, exist_ok=True)
    text = _SCRIPT.format(
        path=first_on_path(),
        become=BECOME,
        element=variables.element or "0",
        of_array=(
            _OF_ARRAY.format(directory=variables.directory, output=variables.output)
            if variables.element
            else ""
        ),
        job=variables.job,
        restarts=variables.restarts,
        nodes=variables.nodes,
        batch=BATCH,
        channel=shlex.quote(str(channel)),
        fences=shlex.quote(str(channel / FENCED)),
        claim=CLAIM,
        closed=CLOSED,
        exit=EXIT,
        pack=pack_script.lines(variables),
        relay=job_relay.begin(channel, variables),
        relay_end=job_relay.END,
        used=SHELL + packed_warm.USED,
        ticks=TICKS,
        unrelayed=job_relay.UNRELAYED,
    )
    if not path.exists() or path.read_text() != text:
        write_atomically(path, text)
    return path


def arguments(
    directory: Path, attempt: int, outputs: tuple[str, str], spool: Path, run_id: int, name: str
) -> Sequence[str]:
    """The script's arguments; an empty output is left to the scheduler.

    Raises ``OSError`` if the directory cannot be read now.
    """
    own = own_folder_in(directory)
    return [str(directory), str(attempt), *outputs, str(spool), str(run_id), name, own]


def arguments_of_array(arguments: Sequence[str], first: int) -> Sequence[str] | None:
    """The arguments of an array of runs from ``first`` on, with a run of these arguments in it.

    Runs for which they are the same may be in one array. ``None`` if the run can be in none.
    """
    directory, attempt, out, err, spool, run, name, own = arguments
    own_parts = job_names.parts(name)
    if own_parts is None or str(own_parts[1]) != run:
        return None
    if not all(text.endswith(run) for text in (directory, out, err) if text):
        return None
    places = (text.removesuffix(run) for text in (directory, out, err))
    before, _, after = own_parts
    return [next(places), attempt, *places, spool, str(first), before, own, after]


@dataclass(frozen=True)
class Evidence:
    """What a run directory tells of a submission's attempts.

    Attributes:
        attempt: the last attempt that was started, or ``None`` if none was.
        job: the job that has started it; empty if that is not known.
        nodes: where it was started; empty if that is not known.
        code: launch.sh's exit code, or ``None`` if no end of this attempt is recorded.
        signal: the last signal that was sent to the job, without ``SIG``.
        problem: why launch.sh was not started, although the attempt was; else empty.
        unreadable: why the directory cannot be read now; then nothing else is known.
        used: what it has used, if its end is recorded.
    """

    attempt: int | None = None
    job: str = ""
    nodes: str = ""
    code: int | None = None
    signal: str = ""
    problem: str = ""
    unreadable: str = ""
    used: Used = field(default=UNKNOWN, compare=False)

    @property
    def ended(self) -> bool:
        """Whether launch.sh has ended."""
        return self.code is not None


def read(directory: Path, attempt: int) -> Evidence:
    """What the directory of a run tells of a submission for an attempt, and its restarts."""
    try:
        return _read(directory, attempt)
    except UnreadableRecord as error:
        return Evidence(unreadable=str(error))


def _read(directory: Path, attempt: int) -> Evidence:
    claim, last = "", attempt - 1
    while (text := claim_text(directory, last + 1)) is not None:
        claim, last = text, last + 1
    if last < attempt:
        return Evidence()
    first, _, _ = claim.partition("\n")
    words = first.split(" ")
    job, nodes = (words[1], words[2]) if len(words) == 3 and words[0] == BATCH else ("", "")
    record = read_record(directory, last) or {}
    code = record.get("code")
    if isinstance(code, int):
        job = str(record.get("job") or job)
        signal, problem = (str(record.get(key) or "") for key in ("signal", "problem"))
        used = Used.recorded(record)
        return Evidence(last, job, nodes, code, signal, problem, used=used)
    return Evidence(last, job, nodes)


def close(directory: Path, attempt: int, name: str) -> bool:
    """Keep a submission from starting an attempt; returns whether it had started none yet.

    An attempt that runs goes on; only another start is prevented. Raises ``OSError`` if that is
    impossible. In a directory that is gone nothing can start.
    """
    try:
        closed_path(directory, name).touch()
        claim_path(directory, attempt).touch(exist_ok=False)
    except FileExistsError:
        return False
    except (FileNotFoundError, NotADirectoryError):
        return True
    # The claim was ours: no job could make it meanwhile, and the closing file keeps jobs away now.
    # A claim means that the attempt was started, so it must not stay.
    claim_path(directory, attempt).unlink(missing_ok=True)
    return True
