"""What a shell reads otherwise than it looks."""

import pytest

from motoko.runs.shell_texts import is_shell_script, line_with_crlf, unquoted_texts

TYPES = {"s": str, "x": float}


@pytest.mark.parametrize(
    ("name", "text", "is_script"),
    [
        ("launch.sh", "true\n", True),
        ("launch.sh", "#!/bin/dash\n", True),
        ("launch.sh", "#!/usr/bin/env -S bash -e\n", True),
        ("launch.sh", "#!/usr/bin/env python3\n", False),
        ("run", "#!/bin/sh\n", True),
        ("sub/run.sh", "", True),
        ("in.dat", "", False),
        ("launch.sh", "#!/bin/bash\r\n", False),
    ],
)
def test_is_shell_script(name, text, is_script):
    assert is_shell_script(name, text.encode()) == is_script


@pytest.mark.parametrize(
    ("line", "warned"),
    [
        ("echo __BLACKDYNAMITE__s__", True),
        ("echo __BLACKDYNAMITE__S__", True),
        ('echo "__BLACKDYNAMITE__s__"', True),
        ('echo "it\'s" __BLACKDYNAMITE__s__', True),
        ("echo 'a' __BLACKDYNAMITE__s__ 'b'", True),
        ("echo 'a __BLACKDYNAMITE__s__'", False),
        ("echo __BLACKDYNAMITE__s:sh__", False),
        ("echo __BLACKDYNAMITE__x__", False),
        ("# __BLACKDYNAMITE__s__", False),
        ("cat << END\n__BLACKDYNAMITE__s__\nEND", True),
        ("cat <<'END'\n__BLACKDYNAMITE__s__\nEND", False),
        ('cat <<-"END"\n\t__BLACKDYNAMITE__s__\n\tEND', False),
        ("cat <<'END'\nEND\necho __BLACKDYNAMITE__s__", True),
    ],
)
def test_unquoted(line, warned):
    found = unquoted_texts("launch.sh", f"true\n{line}\n".encode(), TYPES)
    assert [each.name.lower() for each in found] == ["s"] * warned
    assert not unquoted_texts("doIt.py", line.encode(), TYPES)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("launch.sh", "a\r\nb\n", 1),
        ("sub/x.sh", "a\nb\r\n", 2),
        ("launch.sh", "#!/usr/bin/env python3\na\r\n", None),
        ("in.dat", "a\r\n", None),
        ("launch.sh", "a\n\rb", None),
    ],
)
def test_line_ends(name, text, line):
    assert line_with_crlf(name, text.encode()) == line
