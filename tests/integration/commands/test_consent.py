"""Commands that destroy: what is chosen is done; all is asked about, or refused."""

import os
import pty
import subprocess

import pytest
from runs import ended, make_runs, states
from support import motoko_command

MADE = {1: "FINISHED", 2: "FAILED", 3: "CREATED"}


@pytest.fixture
def filled(flow):
    make_runs(flow, ended(flow, 1, "FINISHED"), ended(flow, 2, "FAILED"), {})
    return flow


def answered(flow, answer, *arguments):
    """A command's exit code on a terminal where somebody answers, and all that is shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        motoko_command(*arguments), cwd=flow.directory, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, answer.encode())
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:
        pass  # nobody writes to it any more
    os.close(ours)
    return process.wait(30), shown.decode()


def test_without_a_terminal(filled):
    for arguments, held in (
        (["clean"], "all of these would be reset:\n  mult: 1 CREATED, 1 FAILED, 1 FINISHED\n"),
        (["clean", "--delete"], "would be deleted:\n  mult: 1 CREATED, 1 FAILED, 1 FINISHED\n"),
        (["clean", "-bd", "all"], "all of these would be reset:\n"),
        (["cancel"], "all of these would be cancelled:\n  mult: 1 CREATED\n"),
        (["retry"], "all of these would be retried:\n  mult: 1 FAILED\n"),
        (["create"], "mult: 3 jobs, 3 runs\nnothing was changed\n"),
    ):
        done = filled.motoko(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert done.stderr.count(" [not-confirmed]\n") == 1
        said = done.stderr.replace(" [not-confirmed]", "")
        assert held in said and "nothing was changed\nhint: " in said
        assert "--yes" in done.stderr
        assert states(filled) == MADE
    for constraints in ("", " "):
        done = filled.motoko("clean", "--delete", "--yes", "--constraints", constraints)
        assert done.returncode == 2 and states(filled) == MADE
    assert filled.motoko("retry", "--yes").stdout == "mult.2: CREATED again, attempt 2\n"
    assert "mult.3: cancelled" in filled.motoko("cancel", "-y").stdout
    assert states(filled) == {1: "FINISHED", 2: "FAILED", 3: "FAILED"}


def test_on_a_terminal(filled):
    for answer in ("n\n", "\n"):
        code, shown = answered(filled, answer, "clean", "--delete")
        assert code == 130 and "mult: 1 CREATED, 1 FAILED, 1 FINISHED" in shown
        assert "Are all of them to be deleted? [y/N]" in shown
        assert states(filled) == MADE
    code, shown = answered(filled, "y\n", "clean")
    assert code == 0 and "mult: reset 2 runs, 1 was never started" in shown
    # What is chosen is what is meant.
    code, shown = answered(filled, "", "clean", "--delete", "mult.1")
    assert code == 0 and "[y/N]" not in shown and states(filled) == {2: "CREATED", 3: "CREATED"}


def test_named_runs_are_cleaned(filled):
    done = filled.motoko("clean", "mult.1", "mult.7")
    assert done.returncode == 1 and "study mult has no run 7" in done.stderr
    assert states(filled) == MADE
    assert filled.motoko("clean", "mult.1").stdout == "mult: reset 1 run\n"
    assert states(filled) == {**MADE, 1: "CREATED"}
