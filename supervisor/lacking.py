"""The daemons that are not there or not able to work, while orchestrators wait. Pure logic."""

from __future__ import annotations

from collections.abc import Mapping

from motoko.bus.messages import Lacking
from motoko.config.daemon_kinds import LAUNCHER, ORCHESTRATOR, ZEO, daemon_of
from motoko.supervisor.member import Member
from motoko.supervisor.table import State


def lacking(members: Mapping[str, Member]) -> Lacking:
    """The daemons that do not work, with a message for the user about each."""
    absent, hindered, given_up = {}, {}, []
    for name, member in members.items():
        kind, study, state = member.spec.kind, member.spec.study, member.entry.state
        if kind == ORCHESTRATOR:
            continue
        if state is State.FAILED:
            given_up.append(name)
            absent[name] = (
                f"{name} was given up ({member.entry.last_exit}): `motoko logs {name}` says why, "
                "`motoko supervise` starts it again"
            )
        elif state is State.STOPPED:
            absent[name] = f"{name} is stopped: `motoko start {name}` starts it again"
        elif member.entry.hindered and state in (State.BACKOFF, State.STARTING):
            hindered[name] = (
                f"{name} cannot be started now ({member.entry.hindered}): it is tried again by "
                "itself"
            )
        elif kind == LAUNCHER and state is State.READY and member.trouble:
            hindered[name] = (
                f"{name} can start nothing more now ({member.trouble}): mend that, it tries again "
                "by itself"
            )
        elif kind == ZEO and study and (launcher := daemon_of(LAUNCHER, study)) not in members:
            absent[launcher] = (
                f"there is no {launcher}: `motoko launcher --bd_study {study}` starts it"
            )
    return Lacking(absent, hindered, given_up)
