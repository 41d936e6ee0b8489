"""BlackDynamite's own launchers, which were at work before ours."""

import pytest

from motoko.config.policy import Policy
from motoko.host.identity import Identity
from motoko.host.proc_files import boot_id
from motoko.store.blackdynamite_daemons import LAUNCHER, ForeignDaemon, is_launcher
from motoko.workers.launcher.hindrances import Hindered, Rivals
from motoko.workers.launcher.recovery import FOREIGN, ON_SLURM, examine


def test_nothing_is_started_while_one_lives():
    mine = Identity.mine()
    ended = Identity(mine.pid, mine.start_ticks + 1, boot_id(), mine.host)
    looked = []
    with pytest.raises(Hindered, match=r"launch daemon .* of study mult is at work"):
        Rivals([ForeignDaemon(LAUNCHER, "mult", mine, False)], looked.clear).check()
    rivals = Rivals([ForeignDaemon(LAUNCHER, "mult", ended, False)], lambda: looked.append(1))
    rivals.check()
    rivals.check()
    assert looked == [1], "the runs that it has started are looked at, once"


@pytest.mark.parametrize(
    ("script", "reason"),
    [("python doIt.py\n", FOREIGN), ("#SBATCH --job-name=1_r\npython doIt.py\n", ON_SLURM)],
)
def test_a_run_that_one_has_started(tmp_path, script, reason):
    """A run without a visible process is gone, unless it is a job on another node."""
    (tmp_path / "launch.sh").write_text(f"#!/bin/bash\n{script}")
    run = {"id": 1, "state": "START", "run_name": "r", "run_path": str(tmp_path)}
    situation = examine(run, lambda entries: Policy())
    assert (situation.end.reason if situation.end else situation.again) == reason


@pytest.mark.parametrize(
    ("words", "is_one"),
    [
        ("runs launch", True),
        ("runs launch --nruns 3", True),
        ("launch_daemon --start -d", True),
        ("launch_daemon --status", False),
        ("runs info", False),
        ("jobs create", False),
    ],
)
def test_what_launches_runs(words, is_one):
    assert is_launcher(["/usr/bin/python", "/venv/bin/canYouDigIt", *words.split()]) is is_one
    assert not is_launcher(["/usr/bin/python", "/venv/bin/other", *words.split()])
