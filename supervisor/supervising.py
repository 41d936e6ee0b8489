"""Being a workflow's supervisor: its lock, its record, its log, and cleaning up at the end."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from motoko.channel.relaying import send_away
from motoko.config import WorkflowConfig, snapshot
from motoko.config.workflow_format import note_format
from motoko.control.daemon_records import (
    SUPERVISOR,
    living_daemons,
    record_text,
    remove_leftovers,
    remove_sockets,
)
from motoko.control.heartbeat import Heartbeat
from motoko.control.runtime_directories import keep_for, prepare, unwritable
from motoko.control.supervisor_lock import supervisor_lock
from motoko.errors import MotokoError
from motoko.host.clock import started_at
from motoko.host.files import write_atomically
from motoko.host.identity import Identity
from motoko.host.log_files import LogFile, log_to
from motoko.host.process_limits import check_threads, raise_soft_limits
from motoko.layout import Runtime
from motoko.operations import remote_access
from motoko.operations.starting import check_startable
from motoko.runs.boots import note_boot
from motoko.supervisor import daemon_specs
from motoko.supervisor.listeners import Listener
from motoko.supervisor.making_way import make_way
from motoko.supervisor.other_host import forget_other_host
from motoko.supervisor.place import Lost, Place
from motoko.supervisor.shell import Supervisor

# How uncertain the start time of a process is, generously. The daemons of a killed supervisor may
# be hardly older than the next one.
CLOCK_GRAIN_S = 0.1
THREADS = 8  # the supervisor has to be able to start this many


class SupervisorFailed(MotokoError):
    """A fault of the supervisor's own has ended it; its daemons go on."""


class PlaceLost(MotokoError):
    """The workflow's directory was moved or deleted under its supervisor, which has ended."""


def supervise(
    config: WorkflowConfig,
    listener: Listener,
    *,
    launchers: bool = True,
    slots: int | None = None,
    generator: str | None = None,
    takeover: bool = False,
) -> None:
    """Be the workflow's supervisor until it is stopped; then all its daemons have ended.

    Raises ``AlreadySupervised`` if there is one, and a ``MotokoError`` if anything keeps it from
    starting; nothing was started then. Raises ``PlaceLost`` if the workflow is moved or deleted
    meanwhile, and ``SupervisorFailed`` if the supervisor fails later. In the latter case all
    daemons go on, as they do if this process is killed.
    """
    raise_soft_limits()
    check_threads(THREADS)
    check_startable(config, launchers, generator, takeover=takeover, watching=True)
    remote = remote_access.is_on(config, launchers=launchers, generator=generator)
    runtime = prepare(config, listener.line)
    with supervisor_lock(runtime):
        settings = config.supervision
        try:
            log_to(
                LogFile(runtime.log(SUPERVISOR), settings.log_size, settings.log_files), SUPERVISOR
            )
            make_way(config, takeover, partial(_say, listener))
            forget_other_host(config, runtime, partial(_say, listener))
            send_away(runtime.sockets)
            note_boot(config.directory, new=True)
            write_atomically(runtime.record(SUPERVISOR), record_text(runtime, name=SUPERVISOR))
            _keep_snapshot(config, runtime)
            _note_formats(config)
            remote_access.prepare(config, runtime, on=remote)
        except (MotokoError, OSError) as error:
            if not living_daemons(runtime):  # daemons of a killed supervisor still use the sockets
                remove_sockets(config, runtime)
            if isinstance(error, MotokoError):
                raise
            raise unwritable(runtime, error) from error
        for warning in config.warnings:
            logging.warning("%s", warning)
        options = daemon_specs.LauncherOptions(slots, generator)
        place = Place(runtime)
        try:
            lost = asyncio.run(
                _run(
                    config, runtime, listener, options if launchers else None, place, remote=remote
                )
            )
        except Exception as error:
            logging.exception("the supervisor has failed; its daemons go on")
            raise SupervisorFailed(
                f"the supervisor has failed: {error!r}",
                hint=f"its daemons go on, and `motoko supervise` takes them over; see "
                f"{runtime.log(SUPERVISOR)}",
            ) from error
        finally:
            place.close()
        if lost is not None:
            # What is at that path now belongs to another workflow, if anything is there.
            if not runtime.sockets.is_relative_to(runtime.directory):
                remove_sockets(config, runtime)
                if lost.now_at is not None:
                    # Runs that go on look for their server there, and must not find another's.
                    keep_for(lost.now_at, runtime)
            logging.error("stopped: %s", lost.why)
            raise PlaceLost(
                f"the supervisor has stopped: {lost.why}",
                hint=""
                if lost.is_deleted
                else lost.hint
                or "its runs go on: `motoko supervise` where it is now takes them over",
            )
        remove_leftovers(config, runtime)
        runtime.snapshot.unlink(missing_ok=True)
        Heartbeat(runtime).end()
        logging.info("stopped")


def _say(listener: Listener, line: str) -> None:
    logging.info("%s", line)
    listener.line(line)


def _note_formats(config: WorkflowConfig) -> None:
    """Note this version's format in the studies; a study that cannot be written does not matter.

    Its server is given up, and says why; the other studies are served.
    """
    for name in config.local_studies:
        place = config.studies[name].database.directory
        try:
            note_format(place)
        except OSError as error:
            logging.warning("cannot write into %s: %s", place, error.strerror)


def _keep_snapshot(config: WorkflowConfig, runtime: Runtime) -> None:
    """Have daemons read this configuration from now on.

    If there are earlier ones, an earlier supervisor was killed: its daemons still use those.
    """
    before = snapshot.read(runtime.snapshot, config.path)
    since = started_at(Identity.mine()) - CLOCK_GRAIN_S
    snapshot.write(runtime.snapshot, snapshot.extended(before, config, since))


async def _run(
    config: WorkflowConfig,
    runtime: Runtime,
    listener: Listener,
    launchers: daemon_specs.LauncherOptions | None,
    place: Place,
    *,
    remote: bool,
) -> Lost | None:
    return await Supervisor(config, runtime, listener, launchers, place, remote=remote).run()
