"""What starting a run costs: by wrappers that take turns, beside a shell as wrapper for each run.

Both do what the wrapper of a local run does: wait to be let go, claim, open the outputs, execute
launch.sh (``bash``, with the header that Motoko writes, and ``true``), record the exit. A third way
only executes launch.sh: this cannot be saved. The processor time of all processes counts, also of
those that nobody waits for: a control group of the benchmark's own has it, which needs root, or a
group that was delegated to this user. The ways take turns. The starter has 50 MB of memory, as a
launcher. Nothing of a workflow is measured here: no database, no directories (see plain.py).
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from scratch import end_cleanly_when_terminated, machine, report

from motoko.config.policy import Policy
from motoko.runs import launch_script
from motoko.runs.run_directory import RunFile, write
from motoko.workers.launcher.spawner import Spawner, environment

SHARE = 0.8  # promised: at most this, of what the shell costs
BALLAST = 50_000_000
# The wrapper of local runs as it was before there was a spawner.
SHELL = """\
read -r _go || exit 122
cd "$1" || exit 120
read -r _boot < /proc/sys/kernel/random/boot_id
read -r _stat < "/proc/$$/stat"
read -r _host < /proc/sys/kernel/hostname
set -C
true > .motoko/attempt-1 || exit 121
set +C
printf '%s\\n' "$_boot" "$_stat" "$_host" > .motoko/attempt-1
true > out && true > err || exit 124
export MOTOKO_ATTEMPT=1
_ticks() { shift 19; _start=$1; }
_ticks ${_stat##*) }
export MOTOKO_RUN="$_boot $$ $_start $PWD/.motoko/attempt-1"
(
if [ -e .motoko/start.sh ]; then exec /bin/bash .motoko/start.sh; fi
read -r _interpreter _argument < launch.sh
exec "${_interpreter#??}" ${_argument:+"$_argument"} ./launch.sh
) > out 2> err < /dev/null
_code=$?
_note_used() { _ticks=$((${16} + ${17})); }
read -r _stat < "/proc/$$/stat" && _note_used $_stat
printf '%s\\n' "{\\"code\\": $_code, \\"cpu_ticks\\": $_ticks}" > .motoko/exit-1.json
exit "$_code"
"""

Execute = Callable[[Path], None]
"""Executes what is in a directory, and waits for its end."""


def by_spawner(spawner: Spawner) -> Execute:
    def execute(directory: Path) -> None:
        process = spawner.start(directory, 1, "out", "err", ())
        process.go()
        select.select([process.watched], [], [])
        process.listen()
        process.rest()

    return execute


def by_shell(directory: Path) -> None:
    process = subprocess.Popen(
        ["/bin/sh", "-c", SHELL, "run", directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment(),
    )
    pidfd = os.pidfd_open(process.pid)
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.close()
    process.returncode = 0  # it is waited for by its pidfd
    await_end(pidfd)


def bare(directory: Path) -> None:
    pid = os.posix_spawn("/bin/bash", ["bash", str(directory / "launch.sh")], environment())
    await_end(os.pidfd_open(pid))


def await_end(pidfd: int) -> None:
    select.select([pidfd], [], [])
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    os.close(pidfd)


class Accounts:
    """A control group, and this process in it."""

    def __init__(self) -> None:
        first = Path("/sys/fs/cgroup/cpuacct")
        parent = first if first.is_dir() else control_group()
        self._group = parent / f"motoko-benchmark-{os.getpid()}"
        self._group.mkdir()
        (self._group / "cgroup.procs").write_text(str(os.getpid()))
        self._parent = parent

    @property
    def cpu_ms(self) -> float:
        """What its processes have used."""
        if (usage := self._group / "cpuacct.usage").exists():
            return int(usage.read_text()) / 1e6
        return int((self._group / "cpu.stat").read_text().split()[1]) / 1e3

    def close(self) -> None:
        (self._parent / "cgroup.procs").write_text(str(os.getpid()))
        self._group.rmdir()


def control_group() -> Path:
    """Where this process is, of version 2."""
    name = Path("/proc/self/cgroup").read_text().strip().rpartition(":")[2]
    return Path("/sys/fs/cgroup") / name.lstrip("/")


def cost(accounts: Accounts, execute: Execute, directories: list[Path]) -> float:
    """Milliseconds of processor time a run."""
    before = accounts.cpu_ms
    for directory in directories:
        execute(directory)
    return (accounts.cpu_ms - before) / len(directories)


def prepared(top: Path, count: int) -> list[Path]:
    """Directories of runs."""
    client = launch_script.client_variables(host="zeo:///x", schema="u_s", run_id=7, user="u")
    texts = launch_script.files("true\n", client, Policy(finish="on-exit"))
    files = [RunFile(name, text.encode(), 0o700) for name, text in texts.items()]
    directories = [Path(tempfile.mkdtemp(dir=top)) for _ in range(count)]
    for directory in directories:
        write(directory, files)
    return directories


def main() -> None:
    """Measure all, print a table, and exit with 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100, help="a turn (default: 100)")
    parser.add_argument("--turns", type=int, default=7, help="(default: 7)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if min(options.runs, options.turns) < 1:
        parser.error("the numbers have to be positive")
    end_cleanly_when_terminated()

    try:
        accounts = Accounts()
    except OSError as error:
        print(f"no control group can be made: {error}")
        return
    ballast = bytearray(os.urandom(BALLAST))
    top = Path(tempfile.mkdtemp(prefix="mb-", dir="/tmp"))
    spawner = Spawner()
    ways = {"spawner": by_spawner(spawner), "a shell as wrapper": by_shell, "launch.sh alone": bare}
    costs: dict[str, list[float]] = {name: [] for name in ways}
    try:
        for execute in ways.values():
            cost(accounts, execute, prepared(top, 4))
        for _ in range(options.turns):
            for name, execute in ways.items():
                directories = prepared(top, options.runs)
                costs[name].append(round(cost(accounts, execute, directories), 2))
    finally:
        spawner.close()
        accounts.close()
        shutil.rmtree(top)
    del ballast
    pairs = zip(costs["spawner"], costs["a shell as wrapper"], strict=True)
    share = round(statistics.median(ours / shell for ours, shell in pairs), 3)
    passed = share <= SHARE
    result = {
        "machine": machine(),
        "runs": options.runs,
        "cpu_ms": costs,
        "of_the_shell_s": share,
        "passed": passed,
    }
    lines = [
        f"{options.runs} runs a turn, milliseconds of processor time a run, median of turns",
        *(
            f"  {name:<20}{statistics.median(turns):8.2f}   ({', '.join(map(str, turns))})"
            for name, turns in costs.items()
        ),
        f"  {'of the shell, pairs':<20}{share:8.2f}   (promised: at most {SHARE:g})",
        f"on {machine()}",
        "PASS" if passed else "FAIL",
    ]
    report(result, "\n".join(lines), as_json=options.json)


if __name__ == "__main__":
    main()
