"""Which requests are refused, and what a token is good for."""

import pytest

from motoko.cli.render.web.guard import SCHEME, Guard, refusal


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000"])
def test_own_page(host):
    assert refusal("GET", {"host": host}) is None
    assert refusal("GET", {"host": host, "origin": f"http://{host}"}) is None
    assert refusal("POST", {"host": host, "origin": f"http://{host}"}) is None
    assert refusal("POST", {"host": host}) is not None


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil", "127.0.0.1.evil.example", "localhost@evil", "a@localhost", "localhost/x"),
        *("localhost:0", "localhost:x", "[::1", "127.0.0.2", "0.0.0.0", "localhost#", "localhost?"),
    ],
)
def test_foreign_hosts(host):
    assert refusal("GET", {"host": host}) is not None


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9"},
        {"origin": "https://localhost:8"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_foreign_pages(headers):
    assert refusal("GET", {"host": "localhost:8", **headers}) is not None


def test_a_token_is_good_once():
    tokens = []
    guard = Guard(tokens.append)
    assert guard.exchange("") is None
    assert guard.exchange("wrong \u20ac") is None
    key = guard.exchange(tokens[0])
    assert guard.knows(f"{SCHEME}{key}")
    assert guard.exchange(tokens[0]) is None
    assert len(set(tokens)) == 2
    other = guard.exchange(tokens[1])
    assert guard.knows(f"{SCHEME}{key}")
    assert guard.knows(f"{SCHEME}{other}")
    for wrong in ("", SCHEME, f"{SCHEME}x", f"{SCHEME}{tokens[2]}", "\u20ac"):
        assert not guard.knows(wrong)
