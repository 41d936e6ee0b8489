"""The names of this machine's accounts, which a container or directory service may not know."""

from __future__ import annotations

import getpass
import os
import pwd

from motoko.errors import MotokoError


class NamelessAccount(MotokoError):
    """This account has no name, and BlackDynamite needs the user's name to name studies."""

    exit_code = 2


def own_name() -> str:
    """The name of this account. Raises ``NamelessAccount`` if it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise NamelessAccount(
            f"this account (uid {os.getuid()}) has no name on this machine, and studies need one",
            hint="set it: export USER=<name>",
        ) from error


def name_of(uid: int) -> str:
    """The name of an account for messages: its number, if it has no name."""
    try:
        return own_name() if uid == os.getuid() else pwd.getpwuid(uid).pw_name
    except (KeyError, NamelessAccount):
        return str(uid)
