"""How a run is executed, from its study's policies and its own parameters. Pure logic."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from motoko.config import StudyConfig
from motoko.config.decoding import WrongValue
from motoko.config.policy import Policy, names

# Policies even if a study declares a parameter of the name: BlackDynamite has it as its own.
_BOTH = frozenset({"nproc"})


def policy_of(study: StudyConfig, entries: Mapping[str, Any]) -> Policy:
    """How a run is executed; raises ``WrongValue`` if its parameters for that are wrong.

    A name that the study declares below ``run:`` in its bd.yaml is a parameter of the study's own,
    and no policy.

    Args:
        study: the run's study.
        entries: the run's entries, or the parameters that it is created with.
    """
    policy = study.policy
    for name in _sorted(names()):
        if name in entries and (name in _BOTH or name not in study.runs):
            if _says_nothing_new(policy, name, entries[name]):
                continue
            try:
                policy = policy.changed({name: entries[name]})
            except WrongValue:
                raise
            except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
                # The value cannot even be compared: an array, for instance.
                kind = type(entries[name]).__name__
                raise WrongValue.of(name, kind, "something else than that") from error
    policy.refuse_contradictions(study.generator)
    return policy


def _says_nothing_new(policy: Policy, name: str, value: Any) -> bool:
    """Whether a policy has a run's value already; in doubt not. Most runs only have an `nproc`."""
    return value is None or (type(value) is int and value == getattr(policy, name, None))


@functools.cache
def _sorted(names: frozenset[str]) -> Sequence[str]:
    return sorted(names)
