"""Reads logs: their last lines, several logs in the order of time, and what is added to them."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from motoko.host.log_files import older

LAST = 20
POLL_S = 0.25
_BLOCK = 1 << 16
_FAR = 1 << 20
_LOOKS = 20
_TIMED = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z) ")
_Inode = tuple[int, int]


@dataclass(frozen=True)
class Event:
    """A line with a time and the lines without one below it. Sorted by time."""

    time: str
    name: str
    lines: tuple[str, ...]


class Log:
    """One daemon's log, read from its last lines on, and followed from file to file."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        self._descriptor = -1
        self._cut = b""  # the beginning of a line
        self._time = ""

    def last(self, count: int) -> list[Event]:
        """The last events, with at least ``count`` lines if the log has that many.

        :meth:`more` returns what is written later.
        """
        files = _files(self._path)
        while files and not self._open(*files[0]):
            files = _files(self._path)
        *lines, self._cut = _last(self._descriptor, count) if files else [b""]
        for path, _ in files[1:]:
            if len(lines) >= count:
                break
            with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                *earlier, cut = _last(file.fileno(), count - len(lines))
                lines = [*earlier, *([cut] if cut else []), *lines]
        return self._events(lines)

    def more(self, *, cut: bool = False) -> list[Event]:
        """What has been added: whole lines and, if ``cut``, the beginning of a line."""
        data = self._cut + self._rest()
        while newer := self._newer():
            # Lines that came between the two looks are in the file that was renamed.
            data += self._rest()
            if self._open(*newer[-1]):
                data += self._rest()
        *lines, self._cut = data.split(b"\n")
        if cut and self._cut:
            lines.append(self._cut)
            self._cut = b""
        return self._events(lines)

    def close(self) -> None:
        """Stop reading."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self, path: Path, inode: _Inode) -> bool:
        """Read a file from now on; ``False`` if the path has another file by now."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        if _inode(os.fstat(descriptor)) != inode:
            os.close(descriptor)
            return False
        self.close()
        self._descriptor = descriptor
        return True

    def _rest(self) -> bytes:
        rest = b""
        while self._descriptor >= 0 and (block := os.read(self._descriptor, _BLOCK)):
            rest += block
        return rest

    def _newer(self) -> list[tuple[Path, _Inode]]:
        """The files that were begun after the one that is being read, newest first."""
        if self._descriptor < 0:
            return _files(self._path)
        held = os.fstat(self._descriptor)
        with contextlib.suppress(FileNotFoundError):
            if _inode(held) == _inode(self._path.stat()):
                return []
        files: list[tuple[Path, _Inode]] = []
        for _ in range(_LOOKS):
            files = _files(self._path)
            inodes = [inode for _, inode in files]
            if _inode(held) in inodes:
                return files[: inodes.index(_inode(held))]
            if os.fstat(self._descriptor).st_nlink == 0:
                break  # it was removed; otherwise it was renamed again and again while we looked
        return files

    def _events(self, lines: Sequence[bytes]) -> list[Event]:
        groups: list[list[bytes]] = []
        for line in lines:
            if _TIMED.match(line) or not groups:
                groups.append([])
            groups[-1].append(line)
        times = [match[1].decode() for group in groups if (match := _TIMED.match(group[0]))]
        events = []
        for group in groups:
            if _TIMED.match(group[0]):
                # Clocks are sometimes set back; the order within a log is that of its lines.
                self._time = max(self._time, times.pop(0))
            time = self._time or (times[0] if times else self._changed())
            text = tuple(line.decode(errors="replace") for line in group)
            events.append(Event(time, self.name, text))
        return events

    def _changed(self) -> str:
        """When the log was written last."""
        with contextlib.suppress(FileNotFoundError):
            moment = datetime.fromtimestamp(self._path.stat().st_mtime, UTC)
            return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return ""


def _last(descriptor: int, count: int) -> list[bytes]:
    """The last lines of a file and, as the last item, what follows its last line break.

    They begin with a line that has a time, unless that line is far away.
    """
    size = os.fstat(descriptor).st_size
    start, lines = size, [b""]
    while start > 0:
        start = max(0, size - max(_BLOCK, 2 * (size - start)))
        lines = os.pread(descriptor, size - start, start).split(b"\n")[1 if start else 0 :]
        upper = lines[: len(lines) - count]
        if len(upper) > 0 and (size - start > _FAR or any(map(_TIMED.match, upper))):
            break
    os.lseek(descriptor, size, os.SEEK_SET)
    return lines or [b""]


def _inode(status: os.stat_result) -> _Inode:
    return status.st_dev, status.st_ino


def _files(path: Path) -> list[tuple[Path, _Inode]]:
    """A log's files, newest first, each once.

    In this order, a file that is renamed meanwhile may be seen twice, but is never missed.
    """
    files: dict[_Inode, Path] = {}
    number = missing = 0
    while missing < 2:
        try:
            files.setdefault(_inode(older(path, number).stat()), older(path, number))
            missing = 0
        except FileNotFoundError:
            missing += number > 0
        number += 1
    return [(path, inode) for inode, path in files.items()]


def additions(
    logs: dict[str, Log], look: Callable[[], Mapping[str, Path]] = dict
) -> Iterator[list[Event]]:
    """What is added to logs, look by look, for ever. Sleeps in between.

    Args:
        logs: the logs by name; their last lines were read. New logs from ``look`` are added here.
        look: returns the logs that exist by now; new ones are followed, too.
    """
    while True:
        time.sleep(POLL_S)
        for name, path in look().items():
            if name not in logs:
                logs[name] = Log(name, path)
        yield [event for log in logs.values() for event in log.more()]


def in_order(events: Iterable[Event]) -> list[tuple[str, str]]:
    """Lines of several logs, each with its log's name, in the order of time."""
    ordered = sorted(events, key=lambda event: event.time)
    return [(event.name, line) for event in ordered for line in event.lines]


def names_itself(line: str, name: str) -> bool:
    """Whether a line says which daemon has written it."""
    return bool(_TIMED.match(line.encode())) and line.split(" ", 3)[2:3] == [name]


def last_lines(path: Path, count: int = LAST) -> list[str]:
    """The last lines of a log; none if there is none."""
    log = Log("", path)
    try:
        events = [*log.last(count), *log.more(cut=True)]
    finally:
        log.close()
    lines = [line for event in events for line in event.lines]
    return lines[-count:] if count else []


def tail(path: Path, count: int = LAST) -> str:
    """The last lines of a log, indented; says so if there are none."""
    return "\n".join(f"    {line}" for line in last_lines(path, count)) or "    (its log is empty)"
