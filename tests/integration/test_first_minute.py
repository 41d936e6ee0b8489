"""The first minute: from an empty directory to a result, by the command line alone."""

import shutil
import subprocess

import pytest
from support import run_motoko

PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
int main(int n, char **word) { printf("y = %g of %s\n", 2 * atof(word[1]), word[2]); return 0; }
"""
NASTY = "a b'c\"d; $(touch ../oh) `touch ../no` {x} * \\\\"


@pytest.mark.parametrize(
    ("template", "result"),
    [("minimal", "x = 3.0: y = 9.0"), ("python", "a stone flies furthest at 40 degrees")],
)
def test_init_and_run_end_with_a_result(tmp_path, template, result):
    done = run_motoko("init", "the demo", "--template", template, cwd=tmp_path)
    assert done.returncode == 0 and "cd 'the demo' && motoko run" in done.stdout
    done = run_motoko("run", cwd=tmp_path / "the demo")
    assert done.returncode == 0, done.stderr
    assert result in done.stdout and "warning" not in done.stderr


def test_init_twice_is_refused(tmp_path):
    assert run_motoko("init", cwd=tmp_path).returncode == 0
    done = run_motoko("init", cwd=tmp_path)
    assert done.returncode == 2 and "motoko.yaml" in done.stderr and "hint: " in done.stderr


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")
def test_add_and_run_end_with_a_result_of_a_compiled_program(tmp_path):
    (tmp_path / "twice.c").write_text(PROGRAM)
    subprocess.run(["gcc", "twice.c", "-o", "twice"], cwd=tmp_path, check=True)
    command = "./twice {x} {words}", "--param", "words:str"
    results = "--result", r"y=y = (\S+)", "--result", "of:str=of (.*)"
    done = run_motoko("add", "sim", "--command", *command, *results, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run_motoko("run", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout == "sim.1: y = 2.0, of = a\n", done.stderr
    # No text is anything else for the shell.
    orchestrator = tmp_path / "orchestrator.py"
    text = orchestrator.read_text().replace('["a"]', repr([NASTY])).replace("[1.0]", "[4]")
    orchestrator.write_text(text)
    done = run_motoko("run", cwd=tmp_path)
    assert done.stdout == f"sim.2: y = 8.0, of = {NASTY}\n", done.stderr
    assert not {"oh", "no"} & {path.name for path in tmp_path.rglob("*")}
