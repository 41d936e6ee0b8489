"""What keeps this account from reading a file, in words."""

from __future__ import annotations

import os
from pathlib import Path

from motoko.host.accounts import name_of


def remedy(path: Path) -> str:
    """What to do so that this account can read a file that it may not read."""
    place = Path(os.path.abspath(path))  # noqa: PTH100 (links that cannot be followed stay)
    for part in (*reversed(place.parents), place):
        try:
            part.stat()
        except OSError:
            break
        wanted = os.X_OK if part != place else os.R_OK
        if not os.access(part, wanted, effective_ids=True):
            return _how(part)
    return f"check its permissions: this account ({name_of(os.geteuid())}) may not do that here"


def _how(path: Path) -> str:
    rights = "rx" if path.is_dir() else "r"
    info, me = path.stat(), os.geteuid()
    closed = f"{path} is closed to this account ({name_of(me)})"
    if info.st_uid == me:
        return f"{closed}: chmod u+{rights} {path}"
    who = "g" if info.st_gid in (os.getegid(), *os.getgroups()) else "o"
    return f"{closed}; {name_of(info.st_uid)} can open it: chmod {who}+{rights} {path}"
