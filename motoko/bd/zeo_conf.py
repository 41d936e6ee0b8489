"""``.bd/zeo.conf``: the ZEO server's configuration, by which every client finds the server."""

from __future__ import annotations

import re
from pathlib import Path


def render(bd_dir: Path, address: Path | tuple[str, int]) -> str:
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
  path {quoted(bd_dir / "bd.zeo")}
  blob-dir {quoted(bd_dir / "zeo.blob")}
</filestorage>

<eventlog>
  level WARN
  <logfile>
    path STDERR
    format %(asctime)s %(message)s
  </logfile>
</eventlog>
"""


def read_address(bd_dir: Path) -> str | None:
    """The server's address that a study's zeo.conf names, or ``None`` if there is none."""
    try:
        text = (bd_dir / "zeo.conf").read_text()
    except FileNotFoundError:
        return None
    found = re.search(r"<zeo>\s*address\s+(.+)", text)
    return found[1].strip().replace("$$", "$") if found else None
