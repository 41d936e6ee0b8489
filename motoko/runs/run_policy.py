"""How a run is executed, from its study's policies and its own parameters. Pure logic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from motoko.config import StudyConfig
from motoko.config.decoding import WrongValue
from motoko.config.policy import Policy, names

# What is declared under these names is a policy all the same: BlackDynamite's own parameter.
_BOTH = frozenset({"nproc"})


def policy_of(study: StudyConfig, entries: Mapping[str, Any]) -> Policy:
    """How a run is executed; ``WrongValue`` if what its parameters say of that is not right.

    A name that the study declares below ``run:`` in its bd.yaml is a parameter of the study's own,
    and no policy.

    Args:
        study: the run's study.
        entries: the run's entries, or the parameters that it is created with.
    """
    policy = study.policy
    for name in sorted(names()):
        if name in entries and (name in _BOTH or name not in study.runs):
            try:
                policy = policy.changed({name: entries[name]})
            except WrongValue:
                raise
            except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
                # Something that cannot even be compared, such as an array.
                kind = type(entries[name]).__name__
                raise WrongValue.of(name, kind, "something else than that") from error
    policy.refuse_contradictions(study.generator)
    return policy
