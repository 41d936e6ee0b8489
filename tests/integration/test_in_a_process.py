"""What a process of its own shows of a part: its output, imports, and several at once."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import run_motoko, write_workflow

from motoko.config.policy import Policy
from motoko.host.log_files import older
from motoko.runs import launch_script
from motoko.store.workflow_vars import WorkflowVars

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")
COUNTS = """
import sys
from motoko import ChangeConflict
from motoko.store.workflow_vars import WorkflowVars

vars = WorkflowVars(sys.argv[1])
conflicts = 0
for _ in range(25):
    while True:
        try:
            vars.count += 1
            break
        except ChangeConflict:
            conflicts += 1
print(conflicts)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bus.log"


def test_outputs_go_along(path):
    """What libraries print goes to the present file, too."""
    code = (
        "import os, sys, logging\n"
        "from pathlib import Path\n"
        "from motoko.host.log_files import LogFile, log_to\n"
        "log_to(LogFile(Path(sys.argv[1]), 100, 3), 'bus')\n"
        "logging.info('x' * 200)\n"
        "os.write(1, b'out\\n')\n"
        "os.write(2, b'err\\n')\n"
    )
    with open(path, "ab") as output:
        command = [sys.executable, "-P", "-c", code, str(path)]
        subprocess.run(command, stdout=output, stderr=output, check=True, timeout=30)
    assert path.read_text() == "out\nerr\n"
    assert "x" * 200 in older(path, 1).read_text()


def test_another_s_output_stays_where_it_is(path, tmp_path):
    code = (
        "import os, sys, logging\n"
        "from pathlib import Path\n"
        "from motoko.host.log_files import LogFile, log_to\n"
        "log_to(LogFile(Path(sys.argv[1]), 100, 3), 'bus')\n"
        "logging.info('x' * 200)\n"
        "print('said')\n"
    )
    command = [sys.executable, "-P", "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert (done.stdout, done.stderr) == ("said\n", "")


def test_a_full_disk_is_survived_and_said(path):
    """With a limit on the size of files in place of a disk that is full."""
    code = (
        "import logging, resource, signal, sys\n"
        "from pathlib import Path\n"
        "from motoko.host.log_files import LogFile, log_to\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "log_to(LogFile(Path(sys.argv[1]), 10**6, 3), 'bus')\n"
        "logging.info('before')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60, resource.RLIM_INFINITY))\n"
        "for number in range(3): logging.info('lost %d', number)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, resource.RLIM_INFINITY))\n"
        "logging.info('after')\n"
    )
    command = [sys.executable, "-P", "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert done.stderr == ""
    lines = path.read_text().splitlines()
    assert lines[0].endswith("INFO bus before") and lines[-1].endswith("INFO bus after")
    assert lines[-2].endswith("WARNING log 3 lines could not be written")
    assert STAMP.match(lines[-2])


def test_a_count_of_several_processes(path):
    WorkflowVars(path).count = 0
    command = [sys.executable, "-P", "-c", COUNTS, str(path)]
    counting = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    for process in counting:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert WorkflowVars(path).count == 75


def test_imports_little(tmp_path):
    code = (
        "import sys, motoko.config as c\n"
        "assert 'yaml' not in sys.modules\n"
        "c.load(sys.argv[1])\n"
        "heavy = {'BlackDynamite', 'ZODB', 'ZEO', 'numpy', 'difflib'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(write_workflow(tmp_path / "wf").path)], check=True
    )


def test_the_module_is_the_command(tmp_path):
    program = Path(sys.executable).parent / "motoko"
    if not program.exists():
        pytest.skip("motoko is not installed as a program here")
    done = subprocess.run([program, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == run_motoko("--help", cwd=tmp_path).stdout != ""


class TestHeader:
    NAMES = ("HOST", "STUDY", "SCHEMA", "RUN_ID", "USER")

    def exported(self, text):
        script = text + "".join(f'printf "%s\\n" "$BLACKDYNAMITE_{n}"\n' for n in self.NAMES)
        script += "env | grep -c ^BLACKDYNAMITE_\n"
        done = subprocess.run(
            ["bash", "-u"], input=script, capture_output=True, text=True, check=True, env={}
        )
        return done.stdout.splitlines()

    @pytest.mark.parametrize("host", ["zeo:///a/b", 'zeo:///a b/it\'s $HOME "q" `id`\\n/s'])
    def test_exports(self, host):
        environment = {"OTHER": "a b", "BLACKDYNAMITE_HOST": "nobody may change it"}
        client = launch_script.client_variables(host=host, schema="me_mult", run_id=7, user="me")
        text = launch_script.files("", client, Policy(environment=environment))["launch.sh"]
        assert "export OTHER='a b'\n" in text
        assert text.startswith("#!/bin/bash\n") and text.endswith("\n")
        assert self.exported(text) == [host, "me_mult", "me_mult", "7", "me", "5"]
