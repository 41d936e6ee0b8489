"""Runs that a version before has prepared or started: its files are beside the user's."""

import subprocess

import transaction
from launching import GATE, deadline, go, place, start, stop
from runs import study_base
from support import wait_until

from motoko.host.identity import pid_namespace
from motoko.runs.paths import EARLIER_ENVIRONMENT

# The shell script that was the wrapper of local runs.
WRAPPER = """\
read -r _go || exit 122
cd "$1" || exit 120
read -r _boot < /proc/sys/kernel/random/boot_id
read -r _stat < "/proc/$$/stat"
read -r _host < /proc/sys/kernel/hostname
set -C
true > "$6/attempt-$2" || { [ -e "$6/attempt-$2" ] && exit 121; exit 123; }
set +C
printf '%s\\n' "$_boot" "$_stat" "$_host" "$5" > "$6/attempt-$2" \\
    || { rm -f "$6/attempt-$2"; exit 123; }
true > "$3" && true > "$4" || { rm -f "$6/attempt-$2"; exit 124; }
export MOTOKO_ATTEMPT="$2"
_ticks() { shift 19; _start=$1; }
_ticks ${_stat##*) }
export MOTOKO_RUN="$_boot $$ $_start $PWD/$6/attempt-$2"
trap 'exit 125' EXIT
(
if [ -e .motoko/start.sh ]; then exec /bin/bash .motoko/start.sh; fi
if [ -e .motoko/environment.sh ]; then exec /bin/bash .motoko/environment.sh; fi
_interpreter= _argument=
read -r _interpreter _argument < launch.sh
[ -n "$_interpreter" ] || exit 127
exec "${_interpreter#??}" ${_argument:+"$_argument"} ./launch.sh
) > "$3" 2> "$4" < /dev/null
_code=$?
trap - EXIT
_note_used() { _ticks=$((${16} + ${17})); }
read -r _stat < "/proc/$$/stat" && _note_used $_stat
_record='{"attempt": '$2', "code": '$_code', "cpu_ticks": '${_ticks:-null}'}'
printf '%s\\n' "$_record" > "$6/exit-$2.json" \\
    || printf '%s\\n' "$_record" 1<> "$6/attempt-$2"
exit "$_code"
"""
COUNT = "echo $MOTOKO_ATTEMPT >> executions\n"


def prepared(flow, run, text, executor=""):
    """A run's directory as such a version has written it, and the run says so."""
    directory = place(flow, run)
    directory.mkdir(parents=True)
    (directory / "launch.sh").write_text(f"#!/bin/bash\n{text}\n")
    if executor:
        path = directory / EARLIER_ENVIRONMENT
        path.parent.mkdir()
        path.write_text(executor)
    with study_base(flow) as base:
        entries = {"state": "launched", "run_path": str(directory), "motoko.attempt": 1}
        base.runs.entries[run.id].entries.update(entries)
        transaction.commit()
    return directory


def started(directory, run):
    """The wrapper by which such a version has started a run; its launcher has gone."""
    words = (directory, "1", f"r.o{run.id}", f"r.e{run.id}", pid_namespace(), ".")
    process = subprocess.Popen(
        ["/bin/sh", "-c", WRAPPER, "motoko-run", *words],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    process.stdin.write(b"\n")
    process.stdin.close()
    wait_until(lambda: (directory / "attempt-1").exists(), "it is claimed")
    return process


def test_they_are_adopted_or_started_and_end_truly(supervised):
    with deadline(120):
        flow, session = supervised("--slots", "4")
        stop(flow, "launcher:mult")
        running, ended, waiting, no_shell = runs = [session.create(f"#{n}") for n in range(4)]
        directories = [
            prepared(flow, running, f"{COUNT}{GATE}exit 3"),
            prepared(flow, ended, f"{COUNT}exit 4"),
            prepared(flow, waiting, f"{COUNT}exit 5"),
            prepared(flow, no_shell, "", f"{COUNT}exit 6"),
        ]
        process = started(directories[0], running)
        started(directories[1], ended).wait(20)
        assert (directories[1] / "exit-1.json").exists()
        start(flow, "launcher:mult")
        failures = session.ends(ended, waiting, no_shell)
        go(flow, running)
        process.wait(20)
        failures = [*session.ends(running), *failures]
        for code, run, failure, directory in zip(
            range(3, 7), runs, failures, directories, strict=True
        ):
            assert failure is not None and f"exit code {code}" in failure.reason
            session.until(run, state="FAILED", exit_code=code, attempt=1)
            assert (directory / "executions").read_text() == "1\n"
            assert (directory / "attempt-1").exists() and (directory / "exit-1.json").exists()

        # The next attempt has Motoko's files in their folder, and the user's as they were.
        (directories[0] / "attempt-7").mkdir()
        assert flow.motoko("retry", *(f"mult.{run.id}" for run in runs)).returncode == 0
        for run, directory in zip(runs, directories, strict=True):
            session.until(run, state="FAILED", attempt=2)
            own = {path.name for path in (directory / ".motoko").iterdir()}
            assert own == {"attempt-1", "attempt-2", "exit-1.json", "exit-2.json"}
            left = {path.name for path in directory.iterdir()}
            assert not left & {"attempt-1", "exit-1.json"}
        assert (directories[0] / "attempt-7").exists()
