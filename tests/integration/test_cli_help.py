"""Every command explains itself, without a workflow and without its databases."""

import pytest
from support import run_motoko, start_motoko

from motoko.cli.main import COMMANDS

OURS = (
    *("kill", "info", "launcher", "orchestrator", "clean", "retry", "logs", "start", "stop"),
    *("cancel", "explain"),
)


@pytest.mark.parametrize("command", list(COMMANDS))
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(tmp_path, command, option):
    call = start_motoko if option == "--help" else run_motoko  # each starts by itself
    done = call(command, option, cwd=tmp_path)
    assert done.returncode == 0 and not done.stderr
    assert done.stdout.lower().startswith("usage: motoko ")
    if command in OURS:
        assert "Examples:" in done.stdout and f"motoko {command}" in done.stdout


def test_the_lines_of_the_table_are_those_of_the_commands(tmp_path):
    text = run_motoko("--help", cwd=tmp_path).stdout
    for name, (_, line) in COMMANDS.items():
        assert f"  {name} " in text and line in " ".join(text.split())


def test_start_is_the_workflow_s(tmp_path):
    done = run_motoko("orchestrator", "--help", cwd=tmp_path)
    assert all(f"  {name} " in done.stdout for name in ("start", "stop", "status"))
    done = run_motoko("orchestrator", "start", "--help", cwd=tmp_path)
    assert done.returncode == 0 and "own options are missing" in done.stdout


def test_versions(tmp_path):
    lines = run_motoko("--version", cwd=tmp_path).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["motoko", "BlackDynamite", "ZEO", "pyzmq"]
    assert all(line.split()[1][0].isdigit() for line in lines)


@pytest.mark.parametrize(
    ("typed", "hint"), [("rum", "did you mean 'run'?"), ("xyzzy", "`motoko --help` lists them")]
)
def test_a_misspelt_command(tmp_path, typed, hint):
    done = run_motoko(typed, cwd=tmp_path)
    assert done.returncode == 2 and f"there is no command {typed!r}" in done.stderr
    assert hint in done.stderr
