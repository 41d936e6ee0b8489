"""Checking generators before anything is started: whether they exist, and nodes can reach us."""

from __future__ import annotations

from motoko.batch import registry
from motoko.config import StudyConfig, WorkflowConfig
from motoko.config.decoding import WrongValue
from motoko.errors import ConfigError
from motoko.host.addresses import addresses, is_loopback


def check_generators(config: WorkflowConfig, generator: str | None = None) -> None:
    """Raise ``ConfigError`` if launchers cannot hand runs to their generators.

    That is so if a generator does not exist, if a cluster's commands are not on PATH, or if nodes
    may not reach a study's database. A cluster that does not answer now is not an error.

    Args:
        config: the workflow.
        generator: used instead of motoko.yaml's generator; it may end with ``Coat``.
    """
    wanted: dict[str, list[StudyConfig]] = {}
    for study in config.studies.values():
        name = registry.generator(generator or study.generator)
        try:
            study.policy.refuse_contradictions(name)
        except WrongValue as error:
            raise ConfigError(f"study {study.name}: {error}") from None
        wanted.setdefault(name, []).append(study)
    available = registry.available()
    for name in wanted:
        if name not in registry.generators():
            raise ConfigError(
                f"there is no generator {generator!r}", hint=f"use {' or '.join(available)}"
            )
        if name not in available:
            others = " or ".join(f"`generator: {other}`" for other in reversed(available))
            raise ConfigError(
                f"{config.path}: generator: {name} is not there yet: {', '.join(available)} are",
                hint=f"use {others}, or supervise with --no-launchers",
            )
    for name, system in registry.systems().items():
        if studies := wanted.get(name):
            system.check(config.path)
            served_here_only = [s.name for s in studies if s.is_local and not _is_reachable(s)]
            if served_here_only and config.remote.wanted is False and system.other_host():
                raise ConfigError(
                    f"{config.path}: task_managers.{served_here_only[0]}: nodes are other hosts, "
                    f"such as {system.other_host()}, and `remote: false` keeps them from the "
                    "study's database",
                    hint="drop `remote: false`: nodes come in with the workflow's key alone",
                )


def _is_reachable(study: StudyConfig) -> bool:
    """Whether other hosts can connect to a study's server."""
    if study.tcp_address is None:
        return False
    return any(not is_loopback(address) for address in addresses(study.tcp_address[0]))
