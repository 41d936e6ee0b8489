"""The public motoko 0.1.4 with its BlackDynamite, from the package index by pip.

Nothing of them is kept in the repository: what is downloaded is below ``build/``, where it is used
again, by parallel tests, too.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from motoko.host.locks import locked

VERSION = "0.1.4"
BLACKDYNAMITE = "1.3.9"
CACHE = Path(__file__).parent.parent / "build" / f"public-{VERSION}"
# What pip says without an index, as opposed to what it says when something is wrong with it.
UNREACHABLE = (
    "NewConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "Could not find a version that satisfies",
    "No matching distribution found",
    "Temporary failure in name resolution",
    "ProxyError",
    "SSLError",
    "Max retries exceeded",
)


class Unreachable(Exception):
    """The package index does not answer."""


def download(package: str, version: str, directory: Path) -> Path:
    """Unpack a source distribution into a directory; returns its top level.

    Raises ``Unreachable``, and ``RuntimeError`` if pip fails otherwise.
    """
    options = ["--no-deps", "--no-binary", ":all:", "-d", str(directory)]
    _pip("download", *options, f"{package}=={version}")
    (archive,) = directory.glob(f"{package}-*.tar.gz")
    shutil.unpack_archive(archive, directory)
    return directory / f"{package}-{version}"


def public_venv() -> Path:
    """The virtual environment of motoko 0.1.4; its programs are in ``bin``.

    The first call makes it, which takes a minute. Where the index is out of reach the test is
    skipped.
    """
    directory = CACHE / "venv"
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / "lock"):
        if not (directory / "made").exists():
            shutil.rmtree(directory, ignore_errors=True)  # somebody was killed in the midst of it
            venv.create(directory, symlinks=True)
            python = ("--python", str(directory / "bin" / "python"))
            packages = (f"motoko=={VERSION}", f"blackdynamite=={BLACKDYNAMITE}")
            _pip_or_skip(*python, "install", *packages)
            (directory / "made").touch()
    return directory


def public_source(package: str, version: str) -> Path:
    """The unpacked source distribution of a package, not to be written to; skips likewise."""
    directory = CACHE / f"{package}-{version}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / "lock"):
        if not (directory / "made").exists():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            try:
                download(package, version, directory)
            except Unreachable as error:
                _skip(error)
            (directory / "made").touch()
    return directory / f"{package}-{version}"


def _pip_or_skip(*arguments: str) -> None:
    try:
        _pip(*arguments)
    except Unreachable as error:
        _skip(error)


def _skip(error: Unreachable) -> None:
    pytest.skip(f"no motoko {VERSION} with BlackDynamite from the package index: {error}")


def _pip(*arguments: str) -> None:
    """pip, in the Python that runs the tests unless ``--python`` comes first."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q"]
    done = subprocess.run(
        [*command, "--retries", "1", "--timeout", "20", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        if any(words in done.stderr for words in UNREACHABLE):
            raise Unreachable(done.stderr.strip().splitlines()[-1])
        raise RuntimeError(f"pip {' '.join(arguments)}:\n{done.stderr}")
