"""What a batch job executes, executed here by the shell that a node has."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import wait_until

from motoko.batch import registry
from motoko.runs import job_script
from motoko.runs.claims import begun_for, read_exit
from motoko.runs.earlier_layout import make_own_folder


@pytest.fixture
def place(tmp_path):
    """A run directory, and beside it what all jobs share."""
    directory = tmp_path / "run 1"
    make_own_folder(directory)
    (tmp_path / "spool").mkdir()
    return directory


def launch(place, text):
    path = place / "launch.sh"
    path.unlink(missing_ok=True)  # a shell may be reading it
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o700)


def start(place, attempt=1, restarts="", outputs=("r.o1", "r.e1")):
    script = job_script.write(place.parent, place.parent / "channel", registry.named("slurm"))
    arguments = job_script.arguments(place, attempt, outputs, place.parent / "spool", 1, "name")
    environment = {
        **os.environ,
        **{"SLURM_JOB_ID": "17", "SLURM_RESTART_COUNT": restarts, "SLURM_JOB_NODELIST": "n[1-2]"},
    }
    return subprocess.Popen(["/bin/bash", str(script), *arguments], env=environment, cwd="/")


def execute(place, **options):
    return start(place, **options).wait(20)


def test_an_execution(place):
    launch(place, "pwd; cat; echo bad >&2; exit 3")
    assert execute(place) == 3
    assert job_script.read(place, 1) == job_script.Evidence(1, "17", "n[1-2]", 3, "")
    assert (place / "r.o1").read_text() == f"{place}\n"
    assert (place / "r.e1").read_text() == "bad\n"
    spool = sorted(path.name for path in (place.parent / "spool").iterdir())
    assert spool == ["1.1.ended", "1.1.started"]
    assert json.loads((place / ".motoko" / "exit-1.json").read_text())["attempt"] == 1


def test_its_python_comes_first(place):
    launch(place, 'command -v python > "$PWD/python"')
    execute(place)
    assert Path((place / "python").read_text()).parent == Path(sys.executable).parent


def test_outputs_that_the_user_wants_elsewhere(place, capfd):
    launch(place, "echo out")
    execute(place, outputs=("", "r.e1"))
    assert capfd.readouterr().out == "out\n" and not (place / "r.o1").exists()


def test_no_attempt_starts_twice(place):
    launch(place, "echo again >> executions")
    assert (execute(place), execute(place)) == (0, 121)
    assert (place / "executions").read_text() == "again\n"


def test_a_requeue_is_the_next_attempt(place):
    launch(place, "echo $$; exit ${#SLURM_RESTART_COUNT}")
    assert (execute(place), execute(place, restarts="1"), execute(place, restarts="2")) == (0, 1, 1)
    assert job_script.read(place, 1) == job_script.Evidence(3, "17", "n[1-2]", 1, "")
    outputs = [(place / name).read_text() for name in ("r.o1.1", "r.o1.2", "r.o1")]
    assert len(set(outputs)) == 3


def test_a_requeue_fences_an_attempt_that_may_go_on(place):
    """The earlier attempt is fenced before launch.sh starts, without a launcher."""
    launch(place, "true")
    (place / ".motoko" / "attempt-1").write_text("batch 17 n1\nn1\n")
    assert execute(place, restarts="1") == 0
    assert not (place.parent / "channel").exists(), "without a channel there is nobody to be fenced"
    (place.parent / "channel").mkdir()
    fences = place.parent / "channel" / "fenced" / "spool"
    launch(place, f"cp '{fences}/1-3' seen")
    (place / ".motoko" / "attempt-3").write_text("batch 17 n1\nn1\n")
    assert execute(place, restarts="2") == 0
    assert (place / "seen").read_text() == "the scheduler has started job 17 again\n"
    assert execute(place, restarts="3") == 0
    assert [path.name for path in fences.iterdir()] == ["1-3"], "attempt 4 has recorded its end"


def test_a_requeue_before_it_has_started_is_not(place):
    launch(place, "true")
    assert execute(place, restarts="1") == 0
    assert job_script.read(place, 1).attempt == 1


def test_an_element_of_an_array(tmp_path):
    """An element's index gives its run; Slurm's output goes into that run's directory."""
    name = "mult.{}.1-0123456789abcdef0123"
    places = {number: tmp_path / f"run {number}" for number in (9, 12)}
    (tmp_path / "spool").mkdir()
    (tmp_path / "slurm-17_3.out").write_text("words of Slurm\n")
    shared = []
    for number, directory in places.items():
        make_own_folder(directory)
        launch(directory, 'echo "$SLURM_SUBMIT_DIR"')
        outputs, spool = (f"r.o{number}", ""), tmp_path / "spool"
        own = name.format(number)
        alone = job_script.arguments(directory, 1, outputs, spool, number, own)
        shared.append(job_script.arguments_of_array(alone, 9))
    assert shared[0] == shared[1]
    assert job_script.arguments_of_array([*alone[:5], "13", *alone[6:]], 9) is None
    script = job_script.write(tmp_path, tmp_path / "channel", registry.named("slurm"))
    variables = {"SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "3", "SLURM_JOB_ID": "20"}
    command = ["/bin/bash", str(script), *shared[0]]

    def run(**more):
        environment = {**os.environ, **variables, "SLURM_JOB_NODELIST": "n1", **more}
        return subprocess.run(command, env=environment, cwd=tmp_path, check=False).returncode

    assert run() == 0 and job_script.read(places[9], 1) == job_script.Evidence()
    assert job_script.read(places[12], 1) == job_script.Evidence(1, "17_3", "n1", 0)
    assert (places[12] / "r.o12").read_text() == f"{places[12]}\n"
    assert (places[12] / "slurm-17_3.out").exists() and not (tmp_path / "slurm-17_3.out").exists()
    spool = sorted(path.name for path in (tmp_path / "spool").iterdir())
    assert spool == ["12.1.ended", "12.1.started"]
    job_script.close(places[12], 2, name.format(12))
    assert run(SLURM_RESTART_COUNT="1") == 121


def test_closed(place):
    """A closed submission starts nothing, before its start or after its end."""
    launch(place, "echo again >> executions")
    assert job_script.close(place, 1, "name") is True
    assert execute(place) == 121
    assert job_script.read(place, 1) == job_script.Evidence()
    (place / ".motoko" / "closed-name").unlink()
    assert execute(place) == 0
    assert job_script.close(place, 1, "name") is False
    assert execute(place, restarts="1") == 121
    assert job_script.read(place, 1).attempt == 1
    assert (place / "executions").read_text() == "again\n"


def test_a_directory_that_is_gone(place):
    assert job_script.close(place / "gone", 1, "name") is True
    assert job_script.read(place / "gone", 1) == job_script.Evidence()
    shutil.rmtree(place)
    assert execute(place) == 120


@pytest.mark.parametrize(
    ("trap", "code"), [("", 143), ("trap 'exit 0' TERM", 0), ("trap 'exit 7' TERM", 7)]
)
def test_signals_go_on_to_launch_sh(place, trap, code):
    """launch.sh gets the signals; its exit is awaited and recorded with the signal."""
    launch(place, f"{trap}\ntouch ready\nwhile :; do sleep 0.05; done")
    job = start(place)
    wait_until((place / "ready").exists, "it runs")
    job.send_signal(signal.SIGTERM)
    assert job.wait(20) == code
    evidence = job_script.read(place, 1)
    assert (evidence.code, evidence.signal) == (code, "TERM")


def test_a_signal_that_is_no_end(place):
    launch(place, "trap 'touch told' USR1\ntouch ready\nuntil [ -e told ]; do sleep 0.05; done")
    job = start(place)
    wait_until((place / "ready").exists, "it runs")
    job.send_signal(signal.SIGUSR1)
    assert job.wait(20) == 0
    assert job_script.read(place, 1).code == 0


def test_an_attempt_that_ends_after_the_next_one(place):
    """The attempt goes on at a node that was cut off, after its job was requeued."""
    launch(place, 'touch "ready 1"\nuntil [ -e "go 1" ]; do sleep 0.05; done')
    first = start(place)
    wait_until((place / "ready 1").exists, "it runs")
    launch(place, "exit 3")
    assert execute(place, restarts="1") == 3
    assert job_script.read(place, 1) == job_script.Evidence(2, "17", "n[1-2]", 3)
    (place / "go 1").touch()
    assert first.wait(20) == 0
    assert job_script.read(place, 1) == job_script.Evidence(2, "17", "n[1-2]", 3)
    assert read_exit(place, 1) == 0


def test_killed(place):
    launch(place, "echo $$ > pid; exec sleep 100")
    job = start(place)
    pid = wait_until(lambda: int((place / "pid").read_text()), "it runs")
    job.kill()
    job.wait()
    os.kill(pid, signal.SIGKILL)
    assert job_script.read(place, 1) == job_script.Evidence(1, "17", "n[1-2]")


def test_a_record_that_is_cut_short(place):
    launch(place, "true")
    execute(place)
    (place / ".motoko" / "exit-1.json").write_text('{"attempt": 1, "co')
    assert not job_script.read(place, 1).ended
    # On a full disk it is in the claim's place.
    record = '{"attempt": 1, "code": 0, "signal": "", "job": "17"}'
    (place / ".motoko" / "attempt-1").write_text(f"{record}\nn1\n")
    assert job_script.read(place, 1).code == 0


def test_begun_for(place):
    launch(place, "true")
    assert begun_for(place, 1) is None
    before = time.monotonic()
    execute(place)
    assert 0 <= begun_for(place, 1) <= time.monotonic() - before + 1
