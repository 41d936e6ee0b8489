"""The commands that motoko 0.1.4 has, and their options, are all there."""

from importlib.metadata import entry_points

import pytest

from motoko.cli import main as cli


class TestCommands:
    def test_installed_as_motoko(self):
        (script,) = entry_points(group="console_scripts", name="motoko")
        assert script.load() is cli.main

    @pytest.mark.parametrize(
        ("command", "options"),
        [
            ("create", "--validated"),
            ("launcher", "--generator --log -l --do_not_detach --bd_study -bd"),
            ("orchestrator status", "--logs -l --follow -f"),
            ("orchestrator stop", ""),
            ("info", "--verbose --bd_study -bd"),
            ("kill", "--bd_study -bd --reset --verbose"),
            ("clean", "--delete --bd_study -bd --constraints"),
        ],
    )
    def test_options_of_old(self, command, options):
        name, _, below = command.partition(" ")
        found = cli.cli.get_command(None, name)
        found = found.commands[below] if below else found
        known = {each for parameter in found.params for each in parameter.opts}
        assert known >= set(options.split())
