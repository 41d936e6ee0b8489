"""How runs are executed: retries, time limit, slots, environment. Pure logic.

Set in motoko.yaml, for all studies or under a study's name, and by ``createTask(run_params=...)``
for single runs; the later wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from motoko import batch_options
from motoko.batch_options import Options, WrongOption

ON_EXIT = "on-exit"
SELF = "self"
FINISH = (SELF, ON_EXIT)
# What a run's own parameters may say.
NAMES = frozenset(
    {"retries", "timeout", "nproc", "environment", "finish", "slurm_options", "modules"}
)

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d*)?)\s*(min|[smhd])")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?")
_MODULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+@:-]*")
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")


class WrongPolicy(ValueError):
    """A policy's value that cannot be.

    Attributes:
        name, expected, value: which, what it must be, and what it is.
    """

    def __init__(self, name: str, expected: str, value: Any) -> None:
        super().__init__(f"{name} must be {expected}, and is {value!r}")
        self.name, self.expected, self.value = name, expected, value


@dataclass(frozen=True)
class Policy:
    """How a study's runs are executed.

    Attributes:
        retries: how often a failed run is tried again.
        timeout: seconds that an attempt may take, or ``None``: any.
        nproc: the slots that a run takes.
        environment: variables that are set for it.
        finish: ``"self"``: the run says ``finish()`` itself; ``"on-exit"``: it is FINISHED when
            launch.sh ends with exit code 0.
        slurm_options: sbatch's options for its job.
        modules: what is loaded before launch.sh, by the command ``module``.
    """

    retries: int = 0
    timeout: float | None = None
    nproc: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    finish: str = SELF
    slurm_options: Options = field(default_factory=dict)
    modules: tuple[str, ...] = ()

    @property
    def on_exit(self) -> bool:
        """Whether launch.sh's exit code alone says how a run ended."""
        return self.finish == ON_EXIT

    def changed(self, values: Mapping[str, Any]) -> Policy:
        """With other values, checked; names that are no policy are left out.

        Environments and options add up; ``None`` leaves a policy as it is. Raises ``WrongPolicy``.
        """
        found: dict[str, Any] = {}
        for name, check in _CHECKS.items():
            if (value := values.get(name)) is not None:
                found[name] = check(name, value)
        if "environment" in found:
            found["environment"] = {**self.environment, **found["environment"]}
        if "slurm_options" in found:
            later = found["slurm_options"]
            found["slurm_options"] = batch_options.merge(self.slurm_options, later)
        return replace(self, **found)


def seconds(value: Any) -> float:
    """A duration: a number of seconds, ``90s``, ``1h30m``, ``2h``, ``1d`` or ``[d-]hh:mm[:ss]``.

    Raises ``ValueError`` for anything else.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    text = str(value).strip().lower()
    if clock := _CLOCK.fullmatch(text):
        days, hours, minutes, rest = (float(each or 0) for each in clock.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + rest
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip():
        raise ValueError(f"{value!r} is no duration")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _whole(least: int) -> Any:
    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise WrongPolicy(name, f"an integer of at least {least}", value)
        return value

    return check


def _timeout(name: str, value: Any) -> float:
    try:
        found = seconds(value)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise WrongPolicy(name, "a duration such as 90s, 2h or 1h30m", value)
    return found


def _environment(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise WrongPolicy(name, "a mapping of variables to values", value)
    for variable, content in value.items():
        if not _VARIABLE.fullmatch(str(variable)):
            raise WrongPolicy(name, "a mapping of variables' names (letters, digits, _)", variable)
        if isinstance(content, (dict, list)) or content is None or "\0" in str(content):
            raise WrongPolicy(f"{name}.{variable}", "a text or a number", content)
    return {str(variable): _text(content) for variable, content in value.items()}


def _text(value: Any) -> str:
    # YAML reads `yes` and `true` as a bool; shells and Fortran know these words.
    return str(value).lower() if isinstance(value, bool) else str(value)


def _finish(name: str, value: Any) -> str:
    if value not in FINISH:
        raise WrongPolicy(name, f"one of {', '.join(FINISH)}", value)
    return str(value)


def _options(name: str, value: Any) -> Options:
    if not isinstance(value, (list, tuple)):
        raise WrongPolicy(name, "a list such as [time=30, --mem=1G, exclusive]", value)
    for position, item in enumerate(value):
        if not isinstance(item, str):
            raise WrongPolicy(
                f"{name}[{position}]", "a text such as time=30: put it in quotes", item
            )
    try:
        return batch_options.read(value)
    except WrongOption as error:
        raise WrongPolicy(name, f"a list of sbatch's options ({error})", list(value)) from None


def _modules(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise WrongPolicy(name, "a list of modules' names", value)
    for item in value:
        if not isinstance(item, str) or not _MODULE.fullmatch(item):
            raise WrongPolicy(name, "a list of modules' names, such as gcc/12.2", item)
    return tuple(value)


_CHECKS = {
    "retries": _whole(0),
    "nproc": _whole(1),
    "timeout": _timeout,
    "environment": _environment,
    "finish": _finish,
    "slurm_options": _options,
    "modules": _modules,
}
