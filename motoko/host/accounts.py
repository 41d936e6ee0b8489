"""Accounts of this machine: their names, which a container or a directory service may not know."""

from __future__ import annotations

import getpass
import os
import pwd

from motoko.errors import MotokoError


class NamelessAccount(MotokoError):
    """BlackDynamite names studies by the user, and nobody knows how ours is called."""

    exit_code = 2


def own_name() -> str:
    """How our account is called. Raises ``NamelessAccount`` if nobody knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise NamelessAccount(
            f"this account (uid {os.getuid()}) has no name on this machine, and studies need one",
            hint="set it: export USER=<name>",
        ) from error


def name_of(uid: int) -> str:
    """How to call an account in messages: by its number, if it has no name."""
    try:
        return own_name() if uid == os.getuid() else pwd.getpwuid(uid).pw_name
    except (KeyError, NamelessAccount):
        return str(uid)
