"""Writes logs: one line per event, in UTC, into files that are rotated when they are long.

``bus.log`` is the file that is written to, ``bus.log.1`` the one before it, and so on. The process
that writes a log also renames it, so nothing depends on another process. A descriptor that is still
open on a renamed file adds to that file.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import time
from pathlib import Path
from typing import Any

from motoko.host.durations import counted

_BARE = re.compile(r"[^\s\"=]+")
_OUTPUTS = (1, 2)


def fields(**values: object) -> dict[str, dict[str, object]]:
    """For ``extra=`` of a logging call: ``key=value`` at the end of the event's line."""
    return {"fields": values}


class LineFormatter(logging.Formatter):
    """``<UTC time>Z LEVEL <name> <message> key=value ...``; further lines are indented."""

    def __init__(self, name: str) -> None:
        # The name is put in later: in the format it would have to be quoted.
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s {} %(message)s", _TIME)
        self.converter = time.gmtime
        self._name = name

    def formatMessage(self, record: logging.LogRecord) -> str:
        text = super().formatMessage(record).replace("{}", self._name, 1)
        values: dict[str, Any] = getattr(record, "fields", {})
        first, newline, rest = text.partition("\n")
        return " ".join([first, *map(_pair, values.items())]) + newline + rest

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\n", "\n    ")


_TIME = "%Y-%m-%dT%H:%M:%S"


def _pair(item: tuple[str, object]) -> str:
    key, value = item
    text = str(value)
    return f"{key}={text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)}"


class LogFile(logging.Handler):
    """Appends to a file; a file that has become too long is renamed, and a fresh one begun.

    Standard output and standard error, if they go to the file, then go to the fresh one. Lines that
    cannot be written (because the disk is full) are counted, and their number is logged as soon as
    possible.
    """

    def __init__(self, path: Path, size: int, files: int) -> None:
        super().__init__()
        self._path, self._size, self._files = path, size, files
        self._descriptor = _open(path)
        self._lost = 0
        self._broken = False  # the last line was written in part

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 (arguments that do not fit their message, say)
            self.handleError(record)
            return
        try:
            self._write(line)
            self._rotate_if_long()
        except OSError:
            return  # the line was counted

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        super().close()

    def _write(self, line: str) -> None:
        text = "\n" if self._broken else ""
        if self._lost:
            moment = time.strftime(_TIME, time.gmtime())
            lost = counted(self._lost, "line")
            text += f"{moment}.000Z WARNING log {lost} could not be written\n"
        data = f"{text}{line}\n".encode(errors="backslashreplace")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
                self._broken = True
        except OSError:
            self._lost += 1
            raise
        self._lost, self._broken = 0, False

    def _rotate_if_long(self) -> None:
        held = os.fstat(self._descriptor)
        if held.st_nlink and held.st_size < self._size:
            return
        with contextlib.suppress(FileNotFoundError):
            # Another process may have renamed the file, or removed it.
            if os.path.samestat(held, self._path.stat()):
                rotate(self._path, self._files)
        fresh = _open(self._path)
        for output in _OUTPUTS:
            with contextlib.suppress(OSError):  # the output is closed
                if os.path.samestat(held, os.fstat(output)):
                    os.dup2(fresh, output)
        os.close(self._descriptor)
        self._descriptor = fresh


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)


def rotate(path: Path, files: int) -> None:
    """Rename a log to ``.1``, ``.1`` to ``.2`` and so on; ``files`` earlier files are kept."""
    free = 1  # there may be a gap: the last process that did this may have been killed meanwhile
    while free < files and older(path, free).exists():
        free += 1
    for number in range(free, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            older(path, number - 1).replace(older(path, number))


def rotate_if_long(path: Path, size: int, files: int) -> None:
    """Rotate a log that no process writes to any more, if it has become too long."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size >= size:
            rotate(path, files)


def older(path: Path, number: int) -> Path:
    """The file before the present one (1), the one before that (2), ...; 0 is the present one."""
    return path.with_name(f"{path.name}.{number}") if number else path


def log_to(handler: logging.Handler, name: str) -> None:
    """Log everything only to one handler, from the level ``MOTOKO_LOG_LEVEL`` upwards."""
    handler.setFormatter(LineFormatter(name))
    wanted = os.environ.get("MOTOKO_LOG_LEVEL", "INFO")
    level = logging.getLevelNamesMapping().get(wanted)
    logging.basicConfig(handlers=[handler], level=level or logging.INFO, force=True)
    logging.getLogger("ZEO").setLevel(logging.WARNING)
    if level is None:
        logging.warning("MOTOKO_LOG_LEVEL is no level, INFO is used instead: %r", wanted)
