"""`motoko completion`, and what the shells then ask for."""

import os
import shutil
import subprocess
import sys

import pytest
from support import run_motoko, write_workflow

from motoko.cli.completion import INSTALL
from motoko.cli.main import COMMANDS

HEAVY = ("BlackDynamite", "ZODB", "ZEO", "numpy", "BTrees", "zmq", "psutil", "rich")


@pytest.fixture
def wf(tmp_path):
    flow = write_workflow(tmp_path / "wf", ("add", "mult"))
    (flow.directory / "orchestrator.py").write_text("def main(:\n")
    return flow


def completed(words, cwd):
    """What bash is told for a command line, the last word of which is being typed."""
    code = (
        "import sys\n"
        "from motoko.cli.main import main\n"
        "try:\n"
        "    main([])\n"
        "finally:\n"
        "    print(*sys.modules, file=sys.stderr)\n"
    )
    line = " ".join(["motoko", *words])
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=cwd,
        env={
            **os.environ,
            "_MOTOKO_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    modules = set(done.stderr.split())
    assert "motoko.cli.main" in modules and not modules.intersection(HEAVY)
    return [text.partition(",")[2] for text in done.stdout.splitlines()], modules


@pytest.mark.parametrize("shell", list(INSTALL))
def test_script(tmp_path, shell):
    done = run_motoko("completion", shell, cwd=tmp_path)
    assert done.returncode == 0 and not done.stderr
    first, _, script = done.stdout.partition("\n")
    assert first == f"# To install: {INSTALL[shell]}"
    assert f"_MOTOKO_COMPLETE={shell}_complete" in script
    if program := shutil.which(shell):
        check = [program, "-n"] if shell != "fish" else [program, "--no-execute"]
        subprocess.run(check, input=done.stdout, text=True, check=True, timeout=30)


def test_bash_uses_it(wf, tmp_path):
    """The installed function fills COMPREPLY."""
    motoko = tmp_path / "bin" / "motoko"
    motoko.parent.mkdir()
    motoko.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m motoko "$@"\n')
    motoko.chmod(0o700)
    script = (
        'eval "$(motoko completion bash)"\n'
        "COMP_WORDS=(motoko ret) COMP_CWORD=1\n"
        "_motoko_completion motoko\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=wf.directory,
        env={**os.environ, "PATH": f"{motoko.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.split() == ["retry"], done.stderr


def test_unknown_shell(tmp_path):
    done = run_motoko("completion", "tcsh", cwd=tmp_path)
    assert done.returncode == 2 and "bash" in done.stderr


def test_commands(wf):
    found, modules = completed([""], wf.directory)
    assert found == list(COMMANDS)
    # No command is imported for its name, or for its help.
    assert not modules.intersection(module for module, _ in COMMANDS.values())
    assert completed(["ret"], wf.directory)[0] == ["retry"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--ver"], {"--verbose", "--version"}),
        (["clean", "--"], {"--delete", "--bd_study", "--constraints", "--yes", "--help"}),
        (["kill", "--bd_study", ""], {"add", "mult"}),
        (["kill", "-bd", "m"], {"mult"}),
        (["orchestrator", ""], {"start", "stop", "status"}),
        (["orchestrator", "start", "--r"], {"--run_name", "--retry-failed"}),
        (["completion", ""], {"bash", "zsh", "fish"}),
        (["restart", ""], {"zeo:add", "zeo:mult", "bus", "watcher", "launcher:add"}),
        (["stop", "bus", "launcher:m"], {"launcher:mult"}),
        (["start", "w"], {"watcher"}),
        (["logs", ""], {"supervisor", "zeo:add", "bus", "watcher", "launcher:mult"}),
    ],
)
def test_options(wf, words, expected):
    found = set(completed(words, wf.directory)[0])
    assert found >= expected


def test_without_a_workflow(tmp_path):
    assert completed(["kill", "-bd", ""], tmp_path)[0] in ([], [""])
