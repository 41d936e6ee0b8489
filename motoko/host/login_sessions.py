"""What happens to a user's processes at logout: systemd's KillUserProcesses, and lingering."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

# A file replaces one of the same name in an earlier place; drop-ins are read after the file itself.
_PLACES = ("usr/lib/systemd", "usr/local/lib/systemd", "run/systemd", "etc/systemd")
_SETTING = re.compile(r"^\s*(KillUserProcesses|KillOnlyUsers|KillExcludeUsers)\s*=\s*(.*?)\s*$")
_YES = ("yes", "true", "on", "1")


def are_ended(user: str, root: Path = Path("/")) -> bool:
    """Whether systemd ends a user's processes at logout, according to its files.

    Args:
        user: the account's name.
        root: the root of the machine's file system.
    """
    texts = []
    for file in _files(root):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            texts.append(file.read_text())
    if not (root / "run/systemd/system").is_dir():  # another init, or a container
        return False
    return ends(user, texts) and not (root / "var/lib/systemd/linger" / user).exists()


def ends(user: str, texts: Iterable[str]) -> bool:
    """Whether a user's processes are ended at logout, by the texts of logind's configuration.

    Lingering is not considered. Later settings replace earlier ones.
    """
    settings: dict[str, str] = {}
    for text in texts:
        for line in text.splitlines():
            if match := _SETTING.match(line):
                settings[match[1]] = match[2]
    if settings.get("KillUserProcesses", "no").lower() not in _YES:
        return False
    only = settings.get("KillOnlyUsers", "").split()
    if user in settings.get("KillExcludeUsers", "root").split():
        return False
    return not only or user in only


def _files(root: Path) -> list[Path]:
    main = [root / place / "logind.conf" for place in _PLACES]
    dropped: dict[str, Path] = {}
    for place in _PLACES:
        for file in (root / place / "logind.conf.d").glob("*.conf"):
            dropped[file.name] = file
    present = [file for file in main if file.exists()][-1:]
    return [*present, *(dropped[name] for name in sorted(dropped))]
