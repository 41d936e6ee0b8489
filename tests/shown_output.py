"""Whether a command has printed what a page shows of it.

``...`` on a line of its own stands for any lines, within a line for any text. What differs from one
time to the next does not count: process ids, times, memory, the home directory, and how much blank
there is. Nor does the order in which daemons become ready (where all of them are shown),
or how often progress is told.
"""

from __future__ import annotations

import re
import socket

_VOLATILE = (
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?Z?", "TIME"),
    (r"(?<![\w.])\d+(?:\.\d+)? ?(?:ms|[smh])\b(?: \d+ ?s\b)?", "DURATION"),
    (r"\b\d+ MB\b", "MEMORY"),
    (r"\bpid \d+", "pid N"),
    # Of runs side by side, which one was the first to fail.
    (r"\b(run|retry) ([a-z]+)\.\d+(?: \([^)]*\))?(?= is FAILED|`)", r"\1 \2.N"),
    (r"/run-\d+$", "/run-N"),
    (r"(?<= )\d{3,}(?= +DURATION)", "N"),  # the pid in `motoko ps`
    (r"\d+ (connections?|calls|transitions?)\b", r"N \1"),
    (r"\btransaction [0-9a-f]{16}\b", "transaction TID"),
    (r"\s+", " "),
    (r"-{3,}", "---"),
)
_PROGRESS = re.compile(r"[\w-]+: \d+ created, \d+ running, \d+ finished, \d+ failed")
_READY = re.compile(r"\S+ (?:ready|stopped).*")


def differs(shown: list[str], printed: str, home: str) -> str:
    """Both, if a command has not printed what the page shows; empty if all is well."""
    expected = _normal("\n".join(shown), "/home/me")
    actual = _normal(printed, home)
    if "..." not in expected:
        expected, actual = _in_order(expected), _in_order(actual)
    return (
        ""
        if _match(expected, actual)
        else "\n".join(["shown:", *expected, "", "printed:", *actual])
    )


def _normal(text: str, home: str) -> list[str]:
    text = text.replace(home, "/home/me").replace(socket.gethostname(), "head")
    lines = []
    for line in text.splitlines():
        for pattern, replacement in _VOLATILE:
            line = re.sub(pattern, replacement, line)
        lines.append(line.strip())
    return [line for line in lines if line]


def _in_order(lines: list[str]) -> list[str]:
    """Neighbouring lines about daemons that become ready, or stop, in the order of the alphabet."""
    sorted_lines: list[str] = []
    ready: list[str] = []
    for line in lines:
        if _READY.fullmatch(line):
            ready.append(line)
            continue
        sorted_lines += [*sorted(ready), line]
        ready = []
    return sorted_lines + sorted(ready)


def _match(expected: list[str], actual: list[str]) -> bool:
    if not expected:
        return all(_PROGRESS.fullmatch(line) for line in actual)
    first, *rest = expected
    if first == "...":
        return any(_match(rest, actual[n:]) for n in range(len(actual) + 1))
    if not actual:
        return False
    pattern = ".*".join(re.escape(part) for part in first.split("..."))
    if re.fullmatch(pattern, actual[0]) and _match(rest, actual[1:]):
        return True
    return bool(_PROGRESS.fullmatch(actual[0])) and _match(expected, actual[1:])
