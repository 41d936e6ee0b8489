"""A command with names of parameters becomes a line of launch.sh, and no text becomes code."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motoko.errors import ConfigError
from motoko.runs.command_line import line, names, parsed
from motoko.runs.placeholders import fill

VALUES = {"x": 1.5, "mesh": "a b'; $(touch no) \n#"}


def executed(command, values=VALUES):
    """The words that the program gets."""
    return shlex.split(fill(line(parsed(command)).encode(), values, "launch.sh").decode())


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("./sim -x {x} --mesh {mesh}", ["./sim", "-x", "1.5", "--mesh", VALUES["mesh"]]),
        ("sim --x={x}", ["sim", "--x=1.5"]),
        ("sim {x}{mesh}_{x}", ["sim", f"1.5{VALUES['mesh']}_1.5"]),
        ("sim 'two words' \"it's\" ''", ["sim", "two words", "it's", ""]),
        ("sim {{x}} #no-comment", ["sim", "{x}", "#no-comment"]),
        ("sim a\\ b ümlaut", ["sim", "a b", "ümlaut"]),
    ],
)
def test_words(command, words):
    assert executed(command) == words


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_value_is_one_word(text):
    assert executed("sim pre{x}post", {"x": text}) == ["sim", f"pre{text}post"]


def test_names_once_in_their_order():
    assert names(parsed("sim {b} {a}{b}")) == ["b", "a"]


@pytest.mark.parametrize(
    "command",
    [
        *("sim {x} > out", "sim | tee out", "sim; rm x", "sim && sim", "sim & x", "(sim)", "a<b"),
        *("sim $HOME", "sim `date`", "sim *.dat", "sim ?", "sim {x", "sim x}", "sim {}", "sim {0}"),
        *("sim {x:.3f}", "sim {x!r}", "sim {x.y}", "sim 'open", "", "  ", "sim {é}"),
    ],
)
def test_what_only_a_shell_understands_is_refused_with_a_remedy(command):
    with pytest.raises(ConfigError) as info:
        parsed(command)
    assert repr(command) in str(info.value) and info.value.hint
