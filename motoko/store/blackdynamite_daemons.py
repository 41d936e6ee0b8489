"""BlackDynamite's own daemons of a workflow: what ``canYouDigIt`` and motoko 0.1.4 have started.

BlackDynamite's commands start a ZEO server if none answers, and leave it running; motoko 0.1.4
also starts launch daemons and orchestrators. zdaemon looks after each of these processes, and
restarts it when it dies.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from motoko.config import StudyConfig, WorkflowConfig
from motoko.config.database_files import DatabaseFiles
from motoko.host.identity import Identity
from motoko.host.living_processes import loads, own_commands, working_directory

SERVER = "ZEO server"
LAUNCHER = "launch daemon"
ORCHESTRATOR = "orchestrator"
_SERVER_PROGRAM = "runzeo"
# zdaemon's programs, by its version. A zdaemon must be stopped before the process it keeps.
_KEEPERS = {"zdaemon", "zdrun.py"}
# These tell an orchestrator of motoko 0.1.4 from one of this Motoko: their commands are the same.
_DATABASE_LIBRARY, _OUR_LIBRARY = "/BTrees/", "/msgspec/"


@dataclass(frozen=True)
class ForeignDaemon:
    """A process that BlackDynamite, or motoko 0.1.4, has started for a workflow.

    Attributes:
        kind: ``SERVER``, ``LAUNCHER`` or ``ORCHESTRATOR``.
        study: the study that it serves; ``None`` of an orchestrator.
        identity: the process.
        keeps: whether it is a zdaemon, which restarts the process that it keeps.
    """

    kind: str
    study: str | None
    identity: Identity
    keeps: bool

    def __str__(self) -> str:
        whose = "BlackDynamite" if self.study else "0.1.4"
        where = f" of study {self.study}" if self.study else ""
        return f"{whose}'s {self.kind} (pid {self.identity.pid}){where}"


def foreign_daemons(
    config: WorkflowConfig, studies: Iterable[StudyConfig] | None = None
) -> list[ForeignDaemon]:
    """This user's foreign daemons on this host: of these studies, or of the whole workflow.

    The zdaemons come first. Orchestrators are left out if ``studies`` are given.
    """
    places = dict(_files(config, config.studies.values() if studies is None else studies))
    if studies is None:
        wf = os.path.realpath(config.directory / ".wf")
        places |= dict.fromkeys((wf, f"{wf}/wf.conf"), (ORCHESTRATOR, None))
    daemons = [
        daemon
        for identity, command in own_commands()
        if (daemon := _recognised(identity, command, places))
    ]
    return sorted(daemons, key=lambda daemon: not daemon.keeps)


def _files(
    config: WorkflowConfig, studies: Iterable[StudyConfig]
) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """The configuration files that such daemons are started with."""
    for study in studies:
        if study.is_local:
            directory = DatabaseFiles.of(Path(os.path.realpath(study.directory))).directory
            yield str(directory / "zeo.conf"), (SERVER, study.name)
            yield str(directory / "zdaemon.conf"), (SERVER, study.name)
            yield str(directory / "launch.conf"), (LAUNCHER, study.name)


def is_launcher(command: Sequence[str]) -> bool:
    """Whether a command line is that of a launcher of BlackDynamite's."""
    if not any(word.rpartition("/")[2] == "canYouDigIt" for word in command[:2]):
        return False
    by_hand = ("runs", "launch") in itertools.pairwise(command)
    return by_hand or {"launch_daemon", "--start"} <= {*command}


def _recognised(
    identity: Identity, command: Sequence[str], places: dict[str, tuple[str, str | None]]
) -> ForeignDaemon | None:
    programs = {Path(word).name for word in command[:2]}  # the interpreter comes first
    keeps = bool(programs & _KEEPERS)
    cwd = working_directory(identity.pid) or "/"
    files: list[str] = []
    if keeps or _SERVER_PROGRAM in programs:
        files = [after for word, after in itertools.pairwise(command) if word == "-C"]
    elif is_launcher(command):
        # It changes to the directories of the runs that it launches.
        files = [f"{above}/.bd/launch.conf" for above in (cwd, *Path(cwd).parents)]
    elif "motoko" in programs and {"orchestrator", "start"} <= {*command}:
        # It changes to its studies' directories now and then.
        is_old = loads(identity, _DATABASE_LIBRARY) and not loads(identity, _OUR_LIBRARY)
        files = [f"{above}/.wf" for above in (cwd, Path(cwd).parent)] if is_old else []
    known = (places.get(os.path.realpath(Path(cwd, file))) for file in files)
    place = next(filter(None, known), None)
    return None if place is None else ForeignDaemon(*place, identity, keeps)
