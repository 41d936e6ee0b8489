"""A launch.sh in a run's directory: whose first line counts, and what stands before the rest."""

import pytest

from motoko.config.policy import Policy
from motoko.errors import ConfigError
from motoko.host.interpreters import Interpreter, WrongFirstLine
from motoko.runs import launch_script
from motoko.runs.launch_script import files, refuse_wrong_first_line, users_part
from motoko.runs.paths import ENVIRONMENT

CLIENT = launch_script.client_variables(host="h", schema="s", run_id=7, user="u")


class TestInterpreter:
    @pytest.mark.parametrize(
        ("line", "path", "argument", "program"),
        [
            ("#!/bin/bash", "/bin/bash", "", "bash"),
            ("#! /bin/bash\t-l ", "/bin/bash", "-l", "bash"),
            ("#!/bin/sh -e -u", "/bin/sh", "-e -u", "sh"),  # one argument, as the kernel has it
            ("#!/usr/bin/env bash", "/usr/bin/env", "bash", "bash"),
            ("#!/usr/bin/env -S bash -eu", "/usr/bin/env", "-S bash -eu", "bash"),
            ("#!/usr/bin/env -S A=b /opt/bin/python3 -u", "/usr/bin/env", None, "python3"),
            ("#!/usr/bin/env", "/usr/bin/env", "", "env"),
            ("#!/usr/bin/python3.11", "/usr/bin/python3.11", "", "python3.11"),
            ("#!relative/tcsh -f", "relative/tcsh", "-f", "tcsh"),
        ],
    )
    def test_first_line(self, line, path, argument, program):
        found = Interpreter.of(f"{line}\necho\n")
        assert (found.path, found.program) == (path, program)
        assert argument is None or found.argument == argument

    @pytest.mark.parametrize("text", ["", "\n#!/bin/sh\n", "# !/bin/sh\n", "#!\n", "#! \t\n", "x"])
    def test_none(self, text):
        assert Interpreter.of(text) is None

    def test_windows(self):
        with pytest.raises(WrongFirstLine, match=r"CRLF.*'/bin/bash\\r'"):
            Interpreter.of("#!/bin/bash\r\necho\r\n")
        assert Interpreter.of("echo\r\n") is None


class TestFiles:
    @pytest.mark.parametrize(
        "line", ["", "#!/bin/bash -l\n", "#!/bin/sh\n", "#!/usr/bin/env zsh\n"]
    )
    def test_shells(self, line):
        """Their own first line, what Motoko says, and all that the user has written."""
        script = f"{line}#SBATCH --x\ntrue\n"
        made = files(script, CLIENT, Policy(environment={"BLACKDYNAMITE_USER": "no", "A": "b c"}))
        assert [*made] == ["launch.sh"]
        text = made["launch.sh"]
        assert text.startswith(line or "#!/bin/bash\n") and text.endswith(f"\n{script}")
        assert "export A='b c'\n" in text and users_part(text) == script

    @pytest.mark.parametrize(
        "line", ["#!/usr/bin/env python3", "#!/bin/tcsh -f", "#!/usr/bin/perl"]
    )
    def test_others(self, line):
        """A launch.sh for another interpreter is untouched; a shell script beside it starts it."""
        script = f"{line}\nimport sys\n"
        made = files(script, CLIENT, Policy(environment={"A": "b"}, finish="on-exit"))
        assert [*made] == ["launch.sh", ENVIRONMENT]
        assert made["launch.sh"] == script == users_part(script)
        assert "export A=b\n" in made[ENVIRONMENT] and "set -e" not in made[ENVIRONMENT]
        assert made[ENVIRONMENT].endswith(" ./launch.sh\n")

    def test_a_failing_line(self):
        """A failing line ends launch.sh with `finish: on-exit`."""
        ended = {
            line: "\n".join(files(f"{line}\n", CLIENT, Policy(finish="on-exit")).values())
            for line in ("", "#!/bin/bash", "#!/bin/sh")
        }
        assert (
            "\nset -eo pipefail\n" in ended[""] and "\nset -eo pipefail\n" in ended["#!/bin/bash"]
        )
        assert "\nset -e\n" in ended["#!/bin/sh"]
        assert "\nset -e" not in files("", CLIENT, Policy())["launch.sh"]

    def test_windows(self):
        with pytest.raises(WrongFirstLine, match=r"launch\.sh: .*CRLF"):
            files("#!/bin/sh\r\n", CLIENT, Policy())

    def test_is_refused_before(self, tmp_path):
        path = tmp_path / "launch.sh"
        for first in (b"#!/bin/bash\r\ntrue\r\n", b"#!/bin/bash -l\rtrue\r", b"#!/bin/b\xff\r\n"):
            with pytest.raises(ConfigError, match=r"launch\.sh, line 1: .*CRLF"):
                refuse_wrong_first_line(path, first)
        for first in (b"", b"true\r\n", b"#!/bin/sh\ntrue\r\n", b"#!\xff"):
            refuse_wrong_first_line(path, first)
