"""The batch systems that Motoko supports: one line each.

A generator is what a study's runs are handed to: this host, which is named ``bash``, or a batch
system. BlackDynamite calls them ``bashCoat``, ``slurmCoat`` and so on.
"""

from __future__ import annotations

from motoko.batch.batch_system import BatchSystem
from motoko.batch.slurm.slurm import Slurm
from motoko.errors import MotokoError

SYSTEMS: list[BatchSystem] = [
    Slurm(),
]
LOCAL = "bash"
# Systems that BlackDynamite supports and Motoko does not yet.
MISSING = ("pbs", "sge")
_COAT = "Coat"


class UnknownSystem(MotokoError):
    """A batch system that is not registered: another version of Motoko may know it."""


def systems() -> dict[str, BatchSystem]:
    """The batch systems by name."""
    return {system.name: system for system in SYSTEMS}


def named(name: object) -> BatchSystem:
    """The batch system of a name; ``UnknownSystem`` if there is none."""
    system = systems().get(str(name))
    if system is None:
        raise UnknownSystem(f"there is no batch system {name!r}: {', '.join(systems())} are")
    return system


def title(name: object) -> str:
    """A batch system's name for people; its plain name if the system is not registered."""
    system = systems().get(str(name))
    return str(name) if system is None else system.title


def options_key(name: str) -> str:
    """The key in motoko.yaml that sets the options of a generator."""
    return f"{name}_options"


def available() -> tuple[str, ...]:
    """The generators that runs can be handed to."""
    return (LOCAL, *systems())


def is_available(name: object) -> bool:
    """Whether runs can be handed to a generator, in any spelling of its name."""
    return isinstance(name, str) and generator(name) in available()


def generators() -> tuple[str, ...]:
    """All generators that motoko.yaml may name, including those that are not supported yet."""
    return tuple(dict.fromkeys((*available(), *MISSING)))


def generator(name: str) -> str:
    """A generator's own name: ``slurm`` for ``slurmCoat``."""
    return name.removesuffix(_COAT)


def spellings() -> tuple[str, ...]:
    """All ways to name a generator."""
    return (*generators(), *(f"{name}{_COAT}" for name in generators()))
