"""Packs what is needed to help a user into one file, without secrets."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from motoko.config.run_files import LAUNCH
from motoko.errors import CannotWrite
from motoko.health.examination import examine
from motoko.health.hidden_secrets import hidden
from motoko.health.installation import machine, versions
from motoko.health.known_secrets import known_secrets
from motoko.health.looked_at import Place

LOG_BYTES = 500_000  # the end of each log that is packed


def write(place: Place, output: Path | None = None) -> Path:
    """Write the archive, which only its owner can read; returns its path.

    Args:
        place: the place that it is about. Nothing there is changed.
        output: the archive; by default one in the current directory, named by the time.

    Raises ``CannotWrite`` if the archive cannot be written, or exists already.
    """
    path = output or Path(f"motoko-bug-report-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    secrets = known_secrets(place.directory, place.config, os.environ)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, text in contents(place):
                data = hidden(text, secrets).encode(errors="replace")
                member = tarfile.TarInfo(f"{path.name.partition('.')[0]}/{hidden(name, secrets)}")
                member.size, member.mtime, member.mode = len(data), int(time.time()), 0o600
                archive.addfile(member, io.BytesIO(data))
    except OSError as error:
        raise CannotWrite(
            f"{path} cannot be written: {error.strerror}", hint="name another file: --output"
        ) from error
    return path


def contents(place: Place) -> Iterator[tuple[str, str]]:
    """The names and contents of the archive's files, still with secrets."""
    about = {"versions": versions(), "machine": machine()}
    yield "versions.json", json.dumps(about, indent=2)
    yield "doctor.json", _as_json(lambda: msgspec.to_builtins(examine(place)))
    if (config := place.config) is not None:
        from motoko.reports.status import collect

        yield "ps.json", _as_json(lambda: msgspec.to_builtins(collect(config)))
    for file in _files(place):
        if (text := _text(file)) is not None:
            yield str(file.relative_to(place.directory)), text


def _as_json(answer: Any) -> str:
    try:
        return json.dumps(answer(), indent=2)
    except Exception:  # noqa: BLE001 (the report is about what does not work)
        return traceback.format_exc()


def _files(place: Place) -> Iterator[Path]:
    """Configuration and logs, without files that hold secrets by their nature."""
    yield from sorted(place.directory.glob("*.y*ml"))
    for file in sorted(place.directory.glob("*/bd.yaml")):
        yield file
        yield file.parent / LAUNCH
    yield place.directory / ".wf" / "restarts.json"
    yield from sorted((place.directory / ".wf" / "log").glob("*.log*"))


def _text(file: Path) -> str | None:
    """The end of a file as text, or why it cannot be read; ``None`` if there is no file."""
    try:
        if not file.is_file():
            return None
        with file.open("rb") as opened:
            size = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, size - LOG_BYTES))
            return opened.read().decode(errors="replace")
    except OSError as error:
        return f"cannot be read: {error.strerror}"
