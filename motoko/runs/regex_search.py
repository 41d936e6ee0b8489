"""Searching for a user's regular expression, in a process that can be ended.

Some regular expressions need hours for a short text, and Python cannot interrupt itself reliably
while it searches. So a child process searches, which the kernel ends if that takes too long. The
child executes this file, and must not import other parts of Motoko: it has to start fast.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
from typing import IO, Any, Protocol

# CPU time in seconds for one search. It is shorter than the silence that the supervisor allows a
# launcher.
LIMIT_S = 3.0
LIMIT_LEAST_S = 0.02


class NotSearched(Exception):
    """A search was ended before it was done; the text says why."""


class Search(Protocol):
    """Finds a regular expression in a text: the first or last match's group, or ``None``."""

    def __call__(self, regex: str, text: str, *, last: bool) -> str | None:
        """Raises ``NotSearched``."""


def searched(regex: str, text: str, *, last: bool) -> str | None:
    """A ``Search`` in this process, without a limit. ``^`` and ``$`` match at the ends of lines."""
    wanted = re.compile(regex, re.MULTILINE)
    match = wanted.search(text)
    if match is not None and last:
        for match in wanted.finditer(text):  # noqa: B007 (the last one)
            pass
    return None if match is None else match[1]


class Searcher:
    """A ``Search`` with a limit, in a child process, which is started at the first search."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        # Regular expressions that were too slow get less and less time: many runs may use them.
        self._limits: dict[str, float] = {}

    def __call__(self, regex: str, text: str, *, last: bool) -> str | None:
        """See ``Search``."""
        limit = self._limits.get(regex, LIMIT_S)
        encoded = text.encode("utf-8", "surrogatepass")
        question = {"regex": regex, "last": last, "limit": limit, "size": len(encoded)}
        answer = self._ask(json.dumps(question).encode() + b"\n" + encoded)
        if not answer:
            code = self._end()
            if code != -signal.SIGVTALRM:
                # Such as for lack of memory.
                raise NotSearched(f"made the process fail that searches (exit code {code})")
            self._limits[regex] = max(limit / 2, LIMIT_LEAST_S)
            raise NotSearched(
                "took too long: write a simpler regular expression, in which no two parts that "
                "repeat can match the same text"
            )
        group: str | None = json.loads(answer)
        return group

    def _ask(self, question: bytes) -> bytes:
        """The child's answer; empty if it has ended."""
        if self._child is None or self._child.poll() is not None:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        assert self._child.stdin is not None and self._child.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.write(question)
            self._child.stdin.flush()
        return self._child.stdout.readline()

    def _end(self) -> int:
        """The exit code of the child, which has ended."""
        assert self._child is not None
        self._close()
        code = self._child.wait()
        self._child = None
        return code

    def _close(self) -> None:
        for pipe in (self._child.stdin, self._child.stdout) if self._child else ():
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._end()


def _answer(questions: IO[bytes], answers: IO[bytes]) -> None:
    """What the child does: search until there are no more questions."""
    while line := questions.readline():
        question: dict[str, Any] = json.loads(line)
        text = questions.read(question["size"]).decode("utf-8", "surrogatepass")
        # The signal's default action ends this process.
        signal.setitimer(signal.ITIMER_VIRTUAL, question["limit"])
        group = searched(question["regex"], text, last=question["last"])
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        answers.write(json.dumps(group).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _answer(sys.stdin.buffer, sys.stdout.buffer)
