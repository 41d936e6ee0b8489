"""The first minute: from an empty directory to a result, by the command line alone."""

import pytest
from support import run_motoko


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
