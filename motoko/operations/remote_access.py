"""Whether other hosts can reach the workflow, and at which address of this host."""

from __future__ import annotations

from motoko.batch import registry
from motoko.channel import endpoint, keys, listening
from motoko.channel.endpoint import Endpoint, NoChannel
from motoko.channel.key_file import key_path
from motoko.config import WorkflowConfig
from motoko.config.daemon_kinds import GATE
from motoko.control.daemon_records import living_daemons, records
from motoko.control.runtime_directories import unwritable
from motoko.host.addresses import is_loopback, own_addresses
from motoko.layout import Runtime, channel_directory, owns_wf


def is_on(config: WorkflowConfig, *, launchers: bool = True, generator: str | None = None) -> bool:
    """Whether other hosts must reach the workflow: as motoko.yaml says, or if they execute runs.

    Without launchers, or while the cluster does not answer, remote access stays as it was.

    Args:
        config: the workflow.
        launchers: whether the workflow has launchers.
        generator: the launchers' generator, instead of motoko.yaml's.
    """
    if config.remote.wanted is not None:
        return config.remote.wanted
    if _gate_lives(config):
        return True
    key = key_path(channel_directory(config.directory))
    was_on = key.exists() and owns_wf(config.directory)
    if not launchers:
        return was_on
    local = (s for s in config.studies.values() if s.is_local)
    names = {registry.generator(generator or study.generator) for study in local}
    systems = [system for name, system in registry.systems().items() if name in names]
    others = [system.other_host() for system in systems]
    return any(others) or (was_on and None in others)


def prepare(config: WorkflowConfig, runtime: Runtime, *, on: bool) -> None:
    """Create or remove the files that other hosts need. The caller holds the supervisor's lock.

    Raises ``MotokoError`` if the files cannot be written.
    """
    try:
        if on:
            keys.ensure(runtime.channel)
        else:
            for name in (endpoint.FILE_NAME, key_path(runtime.channel).name):
                (runtime.channel / name).unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(runtime, error) from error


def gate_address(config: WorkflowConfig, before: Endpoint | None) -> tuple[str, int | None]:
    """The address at which the gate must listen, and the port if motoko.yaml names one.

    If motoko.yaml names no address, it is the previous one as long as this host has it, else the
    one towards the nodes. Raises ``ConfigError`` if there is none.
    """
    port = config.remote.port
    if config.remote.address is not None:
        listening.check_address(config.remote.address)
        return config.remote.address, port
    for address in before.hosts[:1] if before is not None else ():
        if address in own_addresses() and not is_loopback(address):
            return address, port
    for system in registry.systems().values():
        if (node := system.other_host()) and (towards := listening.address_towards(node)):
            return towards, port
    return listening.default_address(), port


def check_address(config: WorkflowConfig) -> None:
    """Raise ``MotokoError`` if the gate could not listen at its address."""
    runtime = records(config)
    try:
        before: Endpoint | None = endpoint.read(runtime.channel)
    except NoChannel:
        before = None
    address, port = gate_address(config, before)
    if port is None or not _gate_lives(config):
        for one in listening.bound(address, port or 0):
            one.close()


def _gate_lives(config: WorkflowConfig) -> bool:
    return any(daemon.name == GATE for daemon in living_daemons(records(config)))
