"""Of a traceback the user's lines are shown."""

import asyncio
import textwrap
from types import SimpleNamespace

import pytest

from motoko.api.users_traceback import hint_at, users_line, users_traceback
from motoko.errors import MotokoError
from motoko.runs.references import in_words

FRAMEWORK = "motoko/", "asyncio/"


class Raising:
    def __repr__(self):
        raise ValueError("of the value")


def users_module(tmp_path, text):
    """The functions of a module of the user's."""
    path = tmp_path / "orchestrator.py"
    path.write_text(textwrap.dedent(text))
    names = {"in_words": in_words, "asyncio": asyncio, "MotokoError": MotokoError}
    exec(compile(path.read_text(), path, "exec"), names)
    return names


def raised(function, *arguments):
    with pytest.raises(Exception) as info:
        asyncio.run(function(*arguments))
    return info.value


def test_what_called_and_was_called_is_left_out(tmp_path):
    main = users_module(
        tmp_path,
        """\
        async def main(value):
            return in_words({"x": value})
        """,
    )["main"]
    text = users_traceback(raised(main, Raising()))
    # The class of this file is the user's, too.
    assert 'orchestrator.py", line 2, in main\n    return in_words({"x": value})' in text
    assert not any(place in text for place in FRAMEWORK), text
    assert text.endswith("ValueError: of the value\n")


def test_of_groups_and_causes_as_well(tmp_path):
    main = users_module(
        tmp_path,
        """\
        async def one():
            try:
                {}["a"]
            except KeyError as error:
                raise ValueError("b") from error

        async def main():
            async with asyncio.TaskGroup() as group:
                group.create_task(one())
        """,
    )["main"]
    text = users_traceback(raised(main))
    assert "KeyError: 'a'" in text and "ValueError: b" in text and "line 9, in main" not in text
    assert "line 8, in main" in text and not any(place in text for place in FRAMEWORK), text


def test_where_nothing_is_the_users_all_is_shown():
    async def main():
        raise AssertionError

    error = raised(main)
    error.__traceback__ = None
    assert "AssertionError" in users_traceback(error)


def test_an_error_of_motokos_names_the_line_that_called(tmp_path):
    main = users_module(
        tmp_path,
        """\
        async def main():
            raise MotokoError("no")
        """,
    )["main"]
    line = 'orchestrator.py, line 2, in main: raise MotokoError("no")'
    assert users_line(raised(main)) == line
    assert users_line(MotokoError("never raised")) == ""


def test_a_pair_that_is_taken_for_a_run():
    run = SimpleNamespace(entries={})
    with pytest.raises(AttributeError) as info:
        (run, run).y  # noqa: B018
    assert "run, job = runs[0]" in hint_at(info.value)
    assert not hint_at(AttributeError("y"))
