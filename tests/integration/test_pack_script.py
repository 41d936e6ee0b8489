"""What the job of a pack executes, executed here by the shell that a node has."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from support import wait_until

from motoko.batch import registry
from motoko.runs import job_script, pack_members, packed_warm, packs
from motoko.runs.claims import read_record
from motoko.runs.earlier_layout import make_own_folder
from motoko.runs.job_script import Evidence
from motoko.workers.launcher import warm_template

# No other test process has such names: a job ends runs by them, wherever they are on the machine.
NAME = f"mult.{{}}.1-{os.getpid():020x}"
NUMBERS = (9, 12, 13, 20)
# The time at which each begins and ends, in the order in which that happens.
NOTE = 'printf "%s " $BLACKDYNAMITE_RUN_ID >> ../order\n'


@pytest.fixture
def pack(tmp_path):
    """Makes runs, of which the launch.sh is given, and their pack; returns its script's command."""
    (tmp_path / "spool").mkdir()

    def make(*texts, at_once=1):
        names = {}
        for number, text in zip(NUMBERS, texts, strict=False):
            directory = tmp_path / f"run-{number}"
            make_own_folder(directory)
            (directory / "launch.sh").write_text(
                f"#!/bin/bash\nexport BLACKDYNAMITE_RUN_ID={number}\n{NOTE}{text}\n"
            )
            names[number] = NAME.format(number)
            alone = job_script.arguments(
                directory, 1, (f"r.o{number}", ""), tmp_path / "spool", number, names[number]
            )
        packs.write(tmp_path, NAME.format(9), names)
        (tmp_path / packs.FOLDER / "slurm-17.out").touch()
        script = job_script.write(tmp_path, tmp_path / "channel", registry.named("slurm"))
        arguments = job_script.arguments_of_array(alone, 9)
        return ["/bin/bash", "-p", str(script), *arguments, str(at_once)]

    return make


def start(command, **variables):
    environment = {**os.environ, "SLURM_JOB_ID": "17", "SLURM_JOB_NODELIST": "n1", **variables}
    cwd = command[3].rpartition("/")[0]
    return subprocess.Popen(command, env=environment, cwd=f"{cwd}/{packs.FOLDER}")


def execute(command, **variables):
    return start(command, **variables).wait(20)


def seen(tmp_path):
    return [job_script.read(tmp_path / f"run-{number}", 1) for number in NUMBERS]


def order(tmp_path):
    return [int(number) for number in (tmp_path / "order").read_text().split()]


def test_one_after_another(pack, tmp_path):
    """Each has its own directory, output, exit record; a failure does not disturb the others."""
    command = pack('echo "$PWD $SLURM_SUBMIT_DIR"; cat', "exit 3", "kill -9 $$", "sleep 0.1")
    assert execute(command) == 0
    codes = [evidence.code for evidence in seen(tmp_path)]
    assert codes == [0, 3, 137, 0] and order(tmp_path) == [*NUMBERS]
    assert seen(tmp_path)[0] == Evidence(1, "17", "n1", 0)
    first = tmp_path / "run-9"
    assert (first / "r.o9").read_text() == f"{first} {first}\n"
    spool = {path.name for path in (tmp_path / "spool").iterdir()}
    assert spool == {f"{n}.1.{what}" for n in NUMBERS for what in ("started", "ended")}
    assert [path.name for path in (tmp_path / packs.FOLDER).iterdir()] == [NAME.format(9)]


def test_an_element_of_an_array(pack, tmp_path):
    """The pack is as far from the first one as the index says."""
    command = pack("true", "true")
    packs.write(tmp_path, NAME.format(13), {13: NAME.format(13), 20: NAME.format(20)})
    for number in (13, 20):
        directory = tmp_path / f"run-{number}"
        make_own_folder(directory)
        (directory / "launch.sh").write_text("#!/bin/bash\ntrue\n")
    variables = {"SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "4", "SLURM_JOB_ID": "30"}
    assert execute(command, **variables) == 0
    one = Evidence(1, "17_4", "n1", 0)
    assert seen(tmp_path) == [Evidence(), Evidence(), one, one]


def test_attempts(pack, tmp_path):
    """Each run has its own, which is in its name."""
    command = pack(*['echo "$MOTOKO_ATTEMPT"'] * 3)
    names = {number: NAME.format(number) for number in NUMBERS[:3]}
    names[12] = names[12].replace(".1-", ".2-")
    packs.write(tmp_path, NAME.format(9), names)
    assert execute(command) == 0
    assert [(tmp_path / f"run-{n}" / f"r.o{n}").read_text() for n in NUMBERS[:3]] == [
        *("1\n", "2\n", "1\n"),
    ]
    assert job_script.read(tmp_path / "run-12", 2).code == 0
    assert pack_members.has_begun(tmp_path / "run-9", 9, NAME.format(9), "17")
    assert pack_members.living(tmp_path / "run-9", 9, NAME.format(9)) == set()
    (tmp_path / "run-12" / ".motoko" / "exit-2.json").unlink()
    assert pack_members.living(tmp_path / "run-9", 9, NAME.format(9)) == {12}
    assert execute(command, SLURM_RESTART_COUNT="1") == 0
    assert (tmp_path / "run-12" / "r.o12").read_text() == "3\n", "it was cut off"
    assert [path.name for path in (tmp_path / "run-12").glob("r.o12.*")] == ["r.o12.2"]


def test_side_by_side(pack, tmp_path):
    """So many at once, and no more."""
    meet = "touch met; until [ -e ../run-{}/met ]; do sleep 0.01; done"
    command = pack(meet.format(12), meet.format(9), "sleep 0.2", "true", at_once=2)
    assert execute(command) == 0
    assert [evidence.code for evidence in seen(tmp_path)] == [0] * 4
    assert sorted(order(tmp_path)[2:]) == [13, 20]


def test_what_is_over_is_left_out(pack, tmp_path):
    """Runs that were settled meanwhile, and those that another job has claimed."""
    command = pack(*["true"] * 4)
    assert job_script.close(tmp_path / "run-9", 1, NAME.format(9))
    assert job_script.close(tmp_path / "run-20", 1, "another name")
    (tmp_path / "run-12" / ".motoko" / "attempt-1").write_text("batch 16 n2\nn2\n")
    assert execute(command) == 0
    assert order(tmp_path) == [13, 20]
    assert execute(command) == 0
    assert order(tmp_path) == [13, 20], "each is executed once"
    packs.remove(tmp_path, NAME.format(9))
    assert execute(command) == 121


def test_it_is_started_again(pack, tmp_path):
    """The requeued job leaves out what has ended; what was cut off is its next attempt."""
    command = pack("exit 5", *["true"] * 3)
    ended, cut, full, signalled = (tmp_path / f"run-{number}" / ".motoko" for number in NUMBERS)
    for place in (ended, cut, signalled):
        (place / "attempt-1").write_text("batch 17 n2\nn2\n")
    (ended / "exit-1.json").write_text('{"attempt": 1, "code": 5, "signal": "", "job": "17"}\n')
    (full / "attempt-1").write_text('{"attempt": 1, "code": 0, "signal": "", "job": "17"}\n')
    record = '{"attempt": 1, "code": 143, "signal": "TERM", "job": "17"}\n'
    (signalled / "exit-1.json").write_text(record)
    assert execute(command, SLURM_RESTART_COUNT="1") == 0
    assert order(tmp_path) == [12, 20]
    assert [evidence.attempt for evidence in seen(tmp_path)] == [1, 2, 1, 2]
    assert [evidence.code for evidence in seen(tmp_path)] == [5, 0, 0, 0]
    (signalled / "exit-2.json").write_text(record.replace("1,", "2,", 1))
    packs.end(tmp_path, NAME.format(9), 20)
    assert execute(command, SLURM_RESTART_COUNT="2") == 0
    assert order(tmp_path) == [12, 20], "it was ended on purpose"


@pytest.mark.parametrize("name", ["TERM", "USR1"])
def test_a_signal(pack, tmp_path, name):
    """Those that run get it; no more are started."""
    wait = f"trap 'exit 9' {name}; touch ready; while :; do sleep 0.05; done"
    job = start(pack(wait, wait, "true", "true", at_once=2))
    for number in NUMBERS[:2]:
        wait_until((tmp_path / f"run-{number}" / "ready").exists, "it has begun")
    job.send_signal(getattr(signal, f"SIG{name}"))
    assert job.wait(20) == 0
    assert [(e.code, e.signal) for e in seen(tmp_path)] == [(9, name)] * 2 + [(None, "")] * 2


def test_one_is_ended(pack, tmp_path):
    """With all of its processes, wherever they are; the others are not disturbed."""
    stubborn = "trap '' TERM; setsid sleep 1000 & echo $! > pid; touch ready; wait; wait"
    other = "touch ready; until [ -e go ]; do sleep 0.05; done"
    job = start(pack(stubborn, other, "sleep 1000", "true", at_once=3))
    for number in NUMBERS[:2]:
        wait_until((tmp_path / f"run-{number}" / "ready").exists, "it has begun")
    for number in (9, 13):
        packs.end(tmp_path, NAME.format(9), number)
    exits = [tmp_path / f"run-{number}" / ".motoko" / "exit-1.json" for number in (9, 13)]
    wait_until(exits[1].exists, "the one that handles signals has ended")
    assert seen(tmp_path)[2].code == 143 and seen(tmp_path)[2].signal == "TERM"
    wait_until(exits[0].exists, "the other one is killed")
    record = read_record(tmp_path / "run-9", 1)
    assert (record["code"], record["job"]) == (137, "17") and "killed" in record["problem"]
    (tmp_path / "run-12" / "go").touch()
    assert job.wait(20) == 0
    assert [evidence.code for evidence in seen(tmp_path)] == [137, 0, 143, 0]
    pid = (tmp_path / "run-9" / "pid").read_text().strip()

    def is_over():
        path = Path(f"/proc/{pid}/stat")
        return not path.exists() or path.read_text().split()[2] == "Z"

    wait_until(is_over, "what has left its session is killed as well")


class TestWarm:
    """Runs of a pack that a template forks."""

    DO_IT = """\
import json, os, sys, time
told = {"pid": os.getpid(), "parent": os.getppid(), "argv": sys.argv, "cwd": os.getcwd()}
told["modules"] = "fractions" in sys.modules
told["run"] = os.environ["BLACKDYNAMITE_RUN_ID"]
told["left"] = [name for name in os.environ if "WARM" in name or name.startswith("BASH_FUNC")]
with open("told.json", "w") as file:
    json.dump(told, file)
print("from doIt.py")
"""

    @pytest.fixture
    def warm(self, pack, tmp_path):
        """Makes a pack of warm runs with these lines at the end of doIt.py."""

        def make(*ends, last="python doIt.py 1 'a b'"):
            calls = ["python doIt.py 1 'a b'"] * (len(ends) - 1) + [last]
            command = pack(*[f"echo from launch.sh\n{call}" for call in calls])
            for number, end in zip(NUMBERS, ends, strict=False):
                (tmp_path / f"run-{number}" / "doIt.py").write_text(self.DO_IT + end)
            source = Path(warm_template.__file__).parent
            for name in packed_warm.FILES:
                shutil.copy(source / name, tmp_path / packs.FOLDER)
            names = {number: NAME.format(number) for number in NUMBERS[: len(ends)]}
            line = packed_warm.line(["fractions"], ["json"])
            packs.write(tmp_path, NAME.format(9), names, warm=line)
            return command

        return make

    def told(self, tmp_path, number):
        return json.loads((tmp_path / f"run-{number}" / "told.json").read_text())

    # The first run, which starts the template, waits until that is ready.
    WAIT = """
from pathlib import Path
while not (Path(os.environ["MOTOKO_WARM"]) / "ready").exists():
    time.sleep(0.01)
"""

    def test_as_cold_ones(self, warm, tmp_path):
        private = tmp_path / "tmp"
        private.mkdir()
        command = warm(
            self.WAIT, "sys.exit(3)", "raise ValueError('oh')", "os.kill(os.getpid(), 9)"
        )
        assert execute(command, TMPDIR=str(private)) == 0
        assert [evidence.code for evidence in seen(tmp_path)] == [0, 3, 1, 137]
        first, *others = [self.told(tmp_path, number) for number in NUMBERS]
        assert not first["modules"]
        assert len({told["parent"] for told in others}) == 1
        for number, told in zip(NUMBERS[1:], others, strict=True):
            assert told["modules"] and told["left"] == [] and told["run"] == str(number)
            assert told["argv"] == ["doIt.py", "1", "a b"]
            assert told["cwd"] == str(tmp_path / f"run-{number}")
            output = (tmp_path / f"run-{number}" / f"r.o{number}").read_text()
            assert output.startswith("from launch.sh\nfrom doIt.py\n")
        record = read_record(tmp_path / "run-12", 1)
        assert record["cpu_ticks"] >= 0
        assert list(private.iterdir()) == []

    def test_its_template_is_killed(self, warm, tmp_path):
        """The run that it has begun dies with it; the next one is cold."""
        kill = "import signal\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(60)"
        assert execute(warm(self.WAIT, kill, "")) == 0
        assert [evidence.code for evidence in seen(tmp_path)][:3] == [0, 137, 0]
        assert not self.told(tmp_path, 13)["modules"]

    def test_one_is_ended(self, warm, tmp_path):
        """Cancelled, with its shell: the others go on."""
        command = warm(self.WAIT, "open('met', 'w').close()\ntime.sleep(60)", "")
        process = start(command)
        wait_until((tmp_path / "run-12" / "met").exists, "it runs")
        packs.end(tmp_path, NAME.format(9), 12)
        assert process.wait(30) == 0
        codes = [evidence.code for evidence in seen(tmp_path)][:3]
        assert codes[0] == codes[2] == 0 and codes[1] in (143, 137)
        pid = self.told(tmp_path, 12)["pid"]
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), "its process is gone")

    @pytest.mark.parametrize(
        "call",
        [
            "python -u doIt.py",
            "export LC_ALL=C\npython doIt.py",
            "command python doIt.py",
            "exec python doIt.py",
            "python ../run-12/doIt.py",
        ],
        ids=["an option", "a variable", "no function", "exec", "another file"],
    )
    def test_what_does_not_fit_is_cold(self, warm, tmp_path, call):
        assert execute(warm(self.WAIT, "", last=call)) == 0
        assert [evidence.code for evidence in seen(tmp_path)][:2] == [0, 0]
        assert not self.told(tmp_path, 12)["modules"]
