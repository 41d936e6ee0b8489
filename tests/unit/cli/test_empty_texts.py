"""An empty text on the command line, an unset variable of a shell, never means everything."""

import argparse

import pytest
from click.testing import CliRunner

from motoko.api.orchestrator_arguments import start_parser
from motoko.cli.main import Options, cli
from motoko.config import load
from motoko.errors import ConfigError, MotokoError
from motoko.workflow import Workflow

CHANGING = ("clean", "cancel", "retry")
DIRECTORIES = ("create", "supervise", "kill", "ps", "events", "run")


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
@pytest.mark.parametrize(
    "arguments",
    [
        *([name, "--constraints", ...] for name in CHANGING),
        *([name, "--constraints", "x > 1", "--constraints", ...] for name in CHANGING),
        *([name, "--bd_study", ...] for name in (*CHANGING, "kill", "launcher", "info")),
        *([name, ...] for name in (*CHANGING, *DIRECTORIES, "explain")),
        ["clean", "--yes", "--constraints", ...],
        ["launcher", "--generator", ...],
        ["info", "--run_name", ...],
        ["events", "--since", ...],
        ["orchestrator", "stop", "--run_name", ...],
        ["run", "--run_name", ...],
        ["orchestrator", "start", "--run_name", ...],
        ["stop", ...],
        ["restart", ...],
    ],
    ids=lambda arguments: "-".join("blank" if each is ... else each for each in arguments),
)
def test_refused(tmp_path, monkeypatch, arguments, blank):
    (tmp_path / "motoko.yaml").write_text(
        "task_managers:\n  mult:\norchestrator: orchestrator.main\n"
    )
    (tmp_path / "orchestrator.py").write_text("async def main(workflow, **params): ...\n")
    (tmp_path / "mult").mkdir()
    (tmp_path / "mult" / "bd.yaml").write_text("study: mult\njob:\n  x: float\n")
    (tmp_path / "mult" / "launch.sh").write_text("")
    (tmp_path / "mult" / "doIt.py").write_text("")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    given = [blank if each is ... else each for each in arguments]
    done = CliRunner().invoke(cli, given, obj=Options())
    code = getattr(done.exception, "exit_code", done.exit_code)
    assert code == 2, (done.output, done.exception)
    assert [path for path in sorted(tmp_path.rglob("*")) if "pycache" not in str(path)] == before


def test_no_workflow_is_named_by_nothing():
    for blank in ("", " "):
        with pytest.raises(ConfigError):
            load(blank)


def test_a_run_name_of_nothing(tmp_path):
    with pytest.raises(SystemExit):
        start_parser().parse_args(["--run_name", ""])
    (tmp_path / "motoko.yaml").write_text("task_managers:\n  mult:\norchestrator: o.main\n")
    (tmp_path / "mult").mkdir()
    (tmp_path / "mult" / "bd.yaml").write_text("study: mult\njob:\n  x: float\n")
    (tmp_path / "mult" / "launch.sh").write_text("")
    (tmp_path / "mult" / "doIt.py").write_text("")
    workflow = Workflow(tmp_path)
    with pytest.raises(MotokoError, match="empty"):
        workflow.run_name = " "
    with pytest.raises(AttributeError):  # no study has that name, and all are not meant
        workflow.start_launcher_daemons(argparse.Namespace(bd_study=""))
