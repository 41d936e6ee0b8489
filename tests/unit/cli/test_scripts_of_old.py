"""The modules of motoko 0.1.4 that were its commands."""

import argparse

import pytest

from motoko import scripts
from motoko.bd_study import remote_launch
from motoko.cli.main import cli
from motoko.errors import MotokoError


def test_its_modules_are_there():
    import motoko.scripts.kill
    from motoko.scripts import clean, info, launcher, main, orchestrator

    for module in (clean, info, launcher, main, orchestrator, motoko.scripts.kill):
        assert callable(module.main)


@pytest.mark.parametrize(
    ("command", "args", "words"),
    [
        ("kill", {"bd_study": "all", "reset": False}, ["--bd_study", "all"]),
        ("kill", {"aggressive": True, "verbose": False}, ["--aggressive"]),
        ("clean", {"delete": True, "constraints": "x = 1"}, ["--delete", "--constraints", "x = 1"]),
        ("launcher", {"generator": "bash", "do_not_detach": True, "command": "launcher"}, None),
        ("info", {"verbose": True}, ["--verbose"]),
        (
            "orchestrator",
            {"what": "start", "run_name": "a", "detach": False, "wait": 5},
            ["start", "--run_name", "a", "--wait", "5"],
        ),
    ],
)
def test_their_arguments_are_options_of_today_s_commands(command, args, words):
    line = scripts.arguments_of(command, argparse.Namespace(**args))
    assert words is None or line == [command, *words]
    today = cli.get_command(None, command)
    with today.make_context(command, line[1:], obj=None, resilient_parsing=True):
        pass


def test_what_is_gone_says_what_to_do():
    with pytest.raises(MotokoError) as raised:
        remote_launch("mult", "/home/me/mult", [], "host", None, None)
    assert "host:" in raised.value.hint
