"""``.bd/zeo.conf``: the ZEO server's configuration, by which every client finds the server."""

from __future__ import annotations

import re
from pathlib import Path


def render(bd_dir: Path, address: Path) -> str:
    """The text of a study's zeo.conf.

    BlackDynamite's clients read it too: they take the first line of the ``zeo`` section, after the
    word ``address``, as the server's address.
    """

    def quoted(path: Path) -> str:
        return str(path).replace("$", "$$")  # ZConfig substitutes $names

    return f"""\
<zeo>
  address {quoted(address)}
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
    """The server's socket that a study's zeo.conf names, or ``None`` if there is none."""
    try:
        text = (bd_dir / "zeo.conf").read_text()
    except FileNotFoundError:
        return None
    found = re.search(r"<zeo>\s*address\s+(.+)", text)
    return found[1].strip().replace("$$", "$") if found else None
