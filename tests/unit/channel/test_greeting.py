"""The lines before the protocol."""

import pytest

from motoko.channel.greeting import (
    LINE_MAX,
    WELCOME,
    BadGreeting,
    Greeting,
    NotWelcome,
    check_answer,
    read_greeting,
    refusal,
)


@pytest.mark.parametrize(
    "greeting",
    [Greeting(), Greeting(3, "mult", 2, "17_3", "node-ä"), Greeting(host="a\nb")],
)
def test_it_is_read_as_it_was_sent(greeting):
    line = greeting.line()
    assert line.count(b"\n") == 1
    assert read_greeting(line) == greeting


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"M5",
        b"[]\n",
        b'"text"\n',
        b"\xff\xfe\n",
        b'{"run": "3"}\n',
        b'{"run": true}\n',
        b'{"run": 1.5}\n',
        b'{"study": 3}\n',
        b'{"study": null}\n',
        b"[" * 2000,
        b'{"host": "' + b"x" * LINE_MAX + b'"}\n',
    ],
)
def test_what_is_none(line):
    with pytest.raises(BadGreeting):
        read_greeting(line)


def test_what_is_missing_is_nothing():
    assert read_greeting(b'{"later": "more"}\n') == Greeting()


def test_answers():
    check_answer(WELCOME)
    with pytest.raises(NotWelcome, match="lost: node n1") as caught:
        check_answer(refusal("lost: node n1", fenced=True))
    assert caught.value.fenced
    with pytest.raises(NotWelcome) as caught:
        check_answer(refusal("x" * 10_000, fenced=False))
    assert not caught.value.fenced
    for line in (b"", b"{}\n", b"M5", b'{"welcome": false}\n'):
        with pytest.raises(BadGreeting):
            check_answer(line)
