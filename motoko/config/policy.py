"""How runs are executed: retries, time limit, slots, environment. Pure logic.

Policies are set in motoko.yaml, for all studies or below a study's name, and for single runs by
``createTask(run_params=...)``; of these three, the later wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from motoko.batch import registry
from motoko.batch.batch_system import BatchSystem, Options, WrongOption
from motoko.config import environment, result_rules
from motoko.config.decoding import Hint, Written, WrongValue, decoded
from motoko.config.quantities import Seconds
from motoko.config.result_rules import Rules
from motoko.config.yaml_document import Reading

ON_EXIT: Literal["on-exit"] = "on-exit"
SELF: Literal["self"] = "self"
LATER: Literal["later"] = "later"
AGAIN: Literal["again"] = "again"
FAIL: Literal["fail"] = "fail"
COLD: Literal["cold"] = "cold"
WARM: Literal["warm"] = "warm"
# Policies of studies only: a run's entry of such a name is the user's.
_OF_STUDIES = frozenset({"interrupted", "pack", "patience", "preload", "results"})
# For runs on other hosts: they lose their ZEO server whenever its host is down.
_PATIENCE_S = 600.0
_MODULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+@:-]*")


def _variable(content: Any) -> str:
    if content is None or isinstance(content, (dict, list)) or "\0" in str(content):
        raise ValueError
    return environment.as_text(content)


def _names(is_name: Callable[[str], Any]) -> Callable[[Any], tuple[str, ...]]:
    def read(names: Any) -> tuple[str, ...]:
        if not isinstance(names, (list, tuple)):
            raise ValueError
        for name in names:
            if not isinstance(name, str) or not is_name(name):
                raise ValueError
        return tuple(names)

    return read


def _is_importable(name: str) -> bool:
    return all(map(str.isidentifier, name.split(".")))


_VariableName = Annotated[
    str,
    Meta(pattern=rf"\A(?:{environment.NAME.pattern})\Z"),
    Written("a mapping of variables' names (letters, digits, _)"),
]
_Variable = Annotated[str, Written("a text or a number", '"" or "~" in quotes', _variable)]
_Modules = Annotated[
    tuple[str, ...],
    Written("a list of modules' names", "such as gcc/12.2", _names(_MODULE.fullmatch)),
]
_Imported = Annotated[
    tuple[str, ...],
    Written("a list of Python modules", "such as [numpy, scipy.sparse]", _names(_is_importable)),
]
# The options for a generator, as they are written.
OptionTexts = Annotated[
    list[Annotated[str, Written("a text such as time=30"), Hint("put it in quotes")]],
    Written("a list such as [time=30, --mem=1G, exclusive]"),
    Hint("write `{key}: [...]`"),
]


class Pack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many runs one batch job executes.

    Attributes:
        runs: the most runs of a job.
        at_once: how many of them are executed side by side.
    """

    runs: Annotated[int, Meta(ge=1)]
    at_once: Annotated[int, Meta(ge=1)] = 1


def _pack(value: Any) -> Any:
    return {"runs": value} if type(value) is int else value


class Policy(msgspec.Struct, frozen=True):
    """How a study's runs are executed.

    Attributes:
        retries: how often a failed run is tried again.
        timeout: how many seconds an attempt may take; ``None``: without limit.
        nproc: the slots that a run takes.
        environment: its environment variables, as :mod:`motoko.config.environment` reads them.
        finish: ``"self"``: the run says ``finish()`` itself; ``"on-exit"``: it is FINISHED when
            launch.sh ends with exit code 0; ``"later"``: it says so itself, perhaps when launch.sh
            has ended long before, with exit code 0.
        interrupted: what happens to a run that was ended by Motoko's own stop or by a reboot:
            ``"again"``: it is executed again, which is no retry; ``"fail"``: it has failed.
        batch_options: by batch system, the options that its job is submitted with.
        modules: the modules that the command ``module`` loads before launch.sh.
        patience: for how many seconds runs that have no ZEO server are kept; ``None``: as long as
            :attr:`patience_elsewhere` says on other hosts, and not at all on this one.
        python: ``"warm"``: doIt.py is executed by a process that is forked from a Python process
            which has loaded what doIt.py imports; ``"cold"``: launch.sh is executed.
        preload: further Python modules that this process loads.
        results: how its results are read when launch.sh has ended, by name.
        pack: how many runs one batch job executes; ``None``: one.
    """

    retries: Annotated[int, Meta(ge=0)] = 0
    timeout: Annotated[Seconds, Meta(gt=0)] | None = None
    nproc: Annotated[int, Meta(ge=1)] = 1
    environment: Mapping[_VariableName, _Variable] = field(default_factory=dict)
    finish: Literal["self", "on-exit", "later"] = SELF
    interrupted: Literal["again", "fail"] = AGAIN
    batch_options: Mapping[str, Options] = field(default_factory=dict)
    modules: _Modules = ()
    patience: Annotated[Seconds, Meta(ge=0)] | None = None
    python: Literal["cold", "warm"] = COLD
    preload: _Imported = ()
    results: Rules = field(default_factory=dict)
    pack: (
        Annotated[Pack, Written("a number of runs", "or {runs: 20, at_once: 4}", _pack)] | None
    ) = None

    @property
    def patience_here(self) -> float:
        """For how many seconds clients on this host that have no ZEO server are kept."""
        return self.patience or 0.0

    @property
    def patience_elsewhere(self) -> float:
        """For how many seconds clients on other hosts that have no ZEO server are kept."""
        return _PATIENCE_S if self.patience is None else self.patience

    @property
    def on_exit(self) -> bool:
        """Whether launch.sh's exit code alone says how a run ended."""
        return self.finish == ON_EXIT

    @property
    def is_warm(self) -> bool:
        """Whether runs on this host are forked from a warm Python process, without a shell."""
        return self.python == WARM

    @property
    def is_packed(self) -> bool:
        """Whether a batch job executes several runs."""
        return self.pack is not None and self.pack.runs > 1

    def changed(self, values: Mapping[str, Any]) -> Policy:
        """This policy with other values, which are checked; other names are left out.

        Environments and options are merged; ``None`` leaves a value as it is. Raises
        ``WrongValue``.
        """
        if "results" in values:
            values = {**values, "results": result_rules.written_out(values["results"])}
        changes: dict[str, Any] = {
            name: decoded(kind, values[name], name)
            for name, kind in _KINDS.items()
            if values.get(name) is not None
        }
        if "environment" in changes:
            changes["environment"] = _layered(self.environment, changes["environment"])
        if "results" in changes:
            result_rules.check(values["results"], changes["results"], "results", names())
        options = dict(self.batch_options)
        for name, system in registry.systems().items():
            key = registry.options_key(name)
            if (value := values.get(key)) is not None:
                options[name] = system.merge_options(
                    self.options_for(name), _options(key, value, system)
                )
        return msgspec.structs.replace(self, batch_options=options, **changes)

    def refuse_contradictions(self, generator: str) -> None:
        """Raise ``WrongValue`` for policies that contradict each other.

        There are two cases. Runs would be handed over twice, by ``generator`` and by launch.sh. Or
        results are wanted of runs that say themselves when they have finished: the results would
        be read too late.
        """
        if self.results and not self.on_exit:
            expected = f"{ON_EXIT} where results: are read: others have finished before"
            raise WrongValue.of("finish", self.finish, expected)
        if self.finish == LATER and generator != registry.LOCAL:
            expected = f"{SELF} or {ON_EXIT} where generator: {generator} hands runs over already"
            raise WrongValue.of("finish", LATER, expected)

    def options_for(self, system: str) -> Options:
        """The options for a batch system's jobs."""
        return self.batch_options.get(system, {})


# The policies whose keys are the fields' own names. Options have a key for each batch system.
_KINDS: Mapping[str, Any] = {
    setting.name: setting.type
    for setting in msgspec.structs.fields(Policy)
    if setting.name != "batch_options"
}


def names() -> frozenset[str]:
    """The keys that say how runs are executed and that a run's own parameters may have, too."""
    return keys() - _OF_STUDIES


def keys() -> frozenset[str]:
    """The keys that say how runs are executed, for the workflow or for a study."""
    return frozenset({*_KINDS, *map(registry.options_key, registry.systems())})


def reading(keys: tuple[str, ...]) -> Reading:
    """How a word is read, by the keys that lead to it from the mapping with the policies."""
    if len(keys) == 2 and keys[0] == "environment":
        return Reading.TEXT
    if keys[:1] == ("results",) and result_rules.is_text(keys[1:]):
        return Reading.TEXT
    return Reading.TIME if keys in (("timeout",), ("patience",)) else Reading.VALUE


def _options(name: str, value: Any, system: BatchSystem) -> Options:
    texts = decoded(OptionTexts, value, name)
    try:
        return system.read_options(texts)
    except WrongOption as error:
        expected = f"a list of {system.submit_command}'s options ({error})"
        raise WrongValue.of(name, texts, expected) from None


def _layered(earlier: Mapping[str, str], later: Mapping[str, str]) -> dict[str, str]:
    try:
        environment.check(later)
        both = environment.layered(earlier, later)
        environment.check(both)
    except environment.WrongVariable as error:
        value = later.get(error.name, earlier.get(error.name))
        raise WrongValue.of(f"environment.{error.name}", value, error.expected) from None
    return both
