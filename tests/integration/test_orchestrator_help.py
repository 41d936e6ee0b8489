"""What the command line says of itself and of a workflow's own options."""

import os
import re
from importlib.metadata import version

import pytest
from support import Flow, run_motoko, write_workflow

# What orchestrator.py may be like, and what its help then says is missing, and why.
UNHELPFUL = {
    "syntax error": ("def main(:\n", "orchestrator.py, line 1"),
    "raises": ("raise LookupError('mine')\n", "LookupError: mine"),
    "exits": ("import sys\nsys.exit('gone')\n", "SystemExit: gone"),
    "not there": (None, "there is no"),
    "options that raise": (
        "def populate_arg_parser(parser):\n"
        "    parser.add_argument('--half')\n"
        "    raise LookupError('mine')\n",
        "LookupError: mine",
    ),
    "options that clash": (
        "def populate_arg_parser(parser):\n    parser.add_argument('--run_name')\n",
        "--run_name",
    ),
    "help that is none": (
        "def populate_arg_parser(parser):\n    parser.add_argument('--half', help='100 % (all)')\n",
        "its orchestrator cannot be asked",
    ),
}
BOTH = pytest.mark.parametrize("command", [("orchestrator", "start"), ("run",)], ids=" ".join)


@pytest.fixture
def flow(tmp_path):
    flow = write_workflow(tmp_path / "wf", ("mult", "add"))
    with open(flow.path, "a") as file:
        file.write("aliases:\n  product: mult\n  vars: add\nmy_own:\n  depth: [1, 2]\n")
    return flow


def test_version(tmp_path):
    names = ("motoko", "BlackDynamite", "ZEO", "pyzmq")
    expected = "".join(f"{name} {version(name)}\n" for name in names)
    assert run_motoko("--version", cwd=tmp_path).stdout == expected


def test_options_of_start(tmp_path):
    text = run_motoko("orchestrator", "start", "--help", cwd=tmp_path).stdout
    # Python 3.13 writes RUN_NAME once.
    assert re.search("--run_name( RUN_NAME)?, -n RUN_NAME", text) and "--detach, -d" in text


class TestHelpOfWhatRunsTheOrchestrator:
    @BOTH
    @pytest.mark.parametrize("option", ["--help", "-h"])
    def test_outside_a_workflow(self, tmp_path, command, option):
        done = run_motoko(*command, option, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"usage: motoko {' '.join(command)}")
        assert "--run_name" in done.stdout
        assert f"options are missing here: {tmp_path}/motoko.yaml" in done.stdout

    @BOTH
    @pytest.mark.parametrize("case", UNHELPFUL)
    def test_no_use_of_its_orchestrator(self, flow, command, case):
        text, why = UNHELPFUL[case]
        (flow.directory / "orchestrator.py").unlink()
        if text is not None:
            (flow.directory / "orchestrator.py").write_text(text)
        done = flow.motoko(*command, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert "--run_name" in done.stdout and "--half" not in done.stdout
        _, missing, reason = done.stdout.partition("The workflow's own options are missing here: ")
        assert missing and why in reason

    @BOTH
    def test_wrong_motoko_yaml(self, flow, command):
        flow.path.write_text("task_managers: [\n")
        done = flow.motoko(*command, "-h")
        assert (done.returncode, done.stderr) == (0, "")
        assert "options are missing here: " in done.stdout and "motoko.yaml" in done.stdout

    @BOTH
    def test_with_its_options(self, flow, command):
        with open(flow.directory / "orchestrator.py", "a") as file:
            file.write(
                "def populate_arg_parser(parser):\n"
                "    parser.add_argument('--depth', help='how deep')\n"
            )
        done = flow.motoko(*command, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert "--depth" in done.stdout and "how deep" in done.stdout
        assert "options are missing" not in done.stdout

    def test_options_of_the_same_name(self, flow, tmp_path):
        """The workflow's own is there instead of ours, or an error names it."""
        program = flow.directory / "orchestrator.py"
        text = program.read_text()
        for option, code, words in (
            ("'--wait', action='store_true', help='sit still'", 0, "sit still"),
            ("'--fresh', help='of today'", 0, "of today"),
            ("'--detach'", 2, "orchestrator.py: populate_arg_parser(): argument --detach"),
        ):
            program.write_text(f"{text}def populate_arg_parser(p): p.add_argument({option})\n")
            done = flow.motoko("orchestrator", "start", "--help")
            assert words in done.stdout
            done = flow.motoko("orchestrator", "start", "-n", "a", "--depth")
            assert done.returncode == 2 and "Traceback" not in done.stderr
            assert code == 0 or words in done.stderr

    def test_of_a_directory(self, flow, tmp_path):
        with open(flow.directory / "orchestrator.py", "a") as file:
            file.write("def populate_arg_parser(parser): parser.add_argument('--depth')\n")
        done = run_motoko("run", str(flow.directory), "--help", cwd=tmp_path)
        assert done.returncode == 0 and "--depth" in done.stdout


def test_only_what_runs_the_orchestrator_imports_it(tmp_path):
    flow: Flow = write_workflow(tmp_path / "wf")
    (flow.directory / "orchestrator.py").write_text(
        "from pathlib import Path\n"
        "Path(__file__).with_name('imported').touch()\n"
        "async def main(workflow, **params): ...\n"
    )
    imported = flow.directory / "imported"
    environment = {"TMPDIR": os.fspath(tmp_path)}
    for arguments in (
        *(["--help"], ["--version"], ["completion", "zsh"], ["create"], ["ps"], ["info"]),
        *(["info", "--verbose"], ["clean", "--yes"], ["retry", "-bd", "mult"]),
        *(["orchestrator", "--help"],),
        *(["orchestrator", "status"], ["orchestrator", "stop"], ["kill"], ["kill", "--reset"]),
    ):
        done = flow.motoko(*arguments, **environment)
        assert done.returncode in (0, 3), (arguments, done.stderr)
        assert not imported.exists(), arguments
    assert flow.motoko("orchestrator", "start", "--help").returncode == 0
    assert imported.exists()
