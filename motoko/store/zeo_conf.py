"""``.bd/zeo.conf``: the ZEO server's configuration, by which all clients find the server."""

from __future__ import annotations

import re
from pathlib import Path

from motoko.config.database_files import DatabaseFiles
from motoko.host.files import write_atomically


def render(files: DatabaseFiles, address: Path | tuple[str, int]) -> str:
    """The text of a study's zeo.conf. The address is a socket's path, or a TCP host and port.

    BlackDynamite's clients read it too: they take the first line of the ``zeo`` section, after the
    word ``address``, as the server's address.
    """

    def quoted(path: Path) -> str:
        return str(path).replace("$", "$$")  # ZConfig substitutes $names

    where = quoted(address) if isinstance(address, Path) else f"{address[0]}:{address[1]}"
    return f"""\
<zeo>
  address {where}
  invalidation-queue-size 10000
</zeo>

<filestorage>
  path {quoted(files.transactions)}
  blob-dir {quoted(files.blobs)}
</filestorage>

<eventlog>
  level WARN
  <logfile>
    path STDERR
    format %(asctime)s %(message)s
  </logfile>
</eventlog>
"""


def read_address(conf: Path) -> str | None:
    """The server's address that a zeo.conf names; ``None`` if it names none.

    The address in a zeo.conf that came with a copy of the database is the original's: ``None``.
    """
    try:
        text = conf.read_text()
    except FileNotFoundError:
        return None
    entry = re.search(r"<zeo>\s*address\s+(.+)", text)
    if entry is None:
        return None
    address = _unquoted(entry[1])
    return address if _is_of(text, conf, is_local=address.startswith("/")) else None


def forget_foreign(files: DatabaseFiles) -> None:
    """Remove a zeo.conf that leads BlackDynamite's commands to the server of another database.

    Without a zeo.conf they start a server of their own. Raises ``OSError`` if it cannot be removed.
    """
    if files.server_config.exists() and read_address(files.server_config) is None:
        files.server_config.unlink(missing_ok=True)


def _is_of(text: str, conf: Path, *, is_local: bool) -> bool:
    """Whether a server's configuration is that of the database beside it.

    If its path does not exist here, it may still be right for a TCP server, on another host.
    """
    entry = re.search(r"<filestorage>\s*path\s+(.+)", text)
    if entry is None:
        return True
    try:
        return Path(_unquoted(entry[1])).samefile(conf.parent / "bd.zeo")
    except OSError:
        return not is_local


def _unquoted(text: str) -> str:
    return text.strip().replace("$$", "$")


class ServerConfig:
    """The zeo.conf of a running server, by which its clients find it.

    Args:
        files: the database's files.
        address: where the server listens.
    """

    def __init__(self, files: DatabaseFiles, address: Path | tuple[str, int]) -> None:
        self._path = files.server_config
        self._text = render(files, address)
        self._written: tuple[int, int, int] | None = None

    def write(self) -> None:
        """Write the zeo.conf, so that clients come here from now on."""
        write_atomically(self._path, self._text)
        self._written = self._stat()

    @property
    def is_ours(self) -> bool:
        """Whether the file is as it was written: some of BlackDynamite's commands overwrite it."""
        return self._stat() == self._written

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            info = self._path.stat()
        except OSError:
            return None
        return info.st_ino, info.st_mtime_ns, info.st_size
