"""What Motoko writes to a run's entries: names, meanings, and where it is stored. Pure logic.

Motoko's own entries have documented names, such as ``attempt``, and are stored in the run's entries
under keys that no attribute, parameter or constraint can spell: ``motoko.attempt``. An entry
``attempt`` of the user's is another one.

Runs that an earlier version has executed have Motoko's entries under the plain names. They are read
and written there as long as that version's launcher may look after the runs: see
:meth:`OwnEntries.convert`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, cast

from motoko.runs.entry_table import OWN, PREFIX
from motoko.runs.states import (
    FAILED_STATES,
    WAITING_STATES,
    state_of,
)

_MARK = f"{PREFIX}attempt"  # this key is there whenever another key with the prefix is
# Values of ``files_wanted``.
PRESENT_FILES, SAME_FILES = "present", "same"
# Also stored under its plain name, for doIt.py, which only knows BlackDynamite. Motoko never reads
# that.
_SHOWN = "attempt"
_CREATED_NPROC = "created_nproc"


def as_created(entries: Mapping[str, Any], name: str) -> Any:
    """A run's parameter as it was at its creation, even if ``motoko retry`` has changed it."""
    if name == "nproc" and (_CREATED_NPROC in entries or PREFIX + _CREATED_NPROC in entries):
        nproc = OwnEntries(entries).created_nproc
        if nproc is not None:
            return nproc
    return entries.get(name)


class OwnEntries:
    """What Motoko has written to a run's entries: a view of these.

    Attributes read what is stored. A stored value of a wrong type counts as none.

    Args:
        entries: the run's entries; a mutable mapping if the caller wants to write.
    """

    __slots__ = ("_entries", "_prefix")

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = entries
        self._prefix = "" if is_old(entries) else PREFIX

    @property
    def attempt(self) -> int:
        """Which attempt the present or last one is: 1, 2, ..."""
        attempt = self._whole("attempt")
        return attempt if attempt is not None and attempt > 0 else 1

    @property
    def is_prepared(self) -> bool:
        """Whether a launcher of Motoko has prepared an attempt of it."""
        return self._whole("attempt") is not None

    @property
    def interruptions(self) -> int | None:
        """How many of its attempts were interrupted, and do not count as retries."""
        return self._whole("interruptions")

    @property
    def retry_at(self) -> float:
        """The time before which it must not be started (seconds since 1970)."""
        return self._read("retry_at") or 0.0

    @property
    def ended_state(self) -> str | None:
        """How the last attempt ended, once that is recorded."""
        return self._text("ended_state")

    @property
    def attempt_ended(self) -> float | None:
        """When the last attempt ended (seconds since 1970), of a run that notes when it starts."""
        at: float | None = self._read("attempt_ended")
        return at

    @property
    def failure_reason(self) -> str | None:
        """Why it has failed; until its end is recorded, the reason that the run itself has set."""
        reason = self._text("failure_reason")
        if reason is None and state_of(self._entries) in FAILED_STATES:
            users = self._entries.get("failure_reason")
            return users if isinstance(users, str) else None
        return reason

    @property
    def last_failure(self) -> str | None:
        """Why an earlier attempt has failed."""
        return self._text("last_failure")

    @property
    def exit_code(self) -> int | None:
        """The exit code of launch.sh."""
        return self._whole("exit_code")

    @property
    def cancelled_by(self) -> str | None:
        """The user who has cancelled it."""
        return self._text("cancelled_by")

    @property
    def files_checksum(self) -> str | None:
        """The checksum of the doIt.py and config files that it is executed with, names included."""
        return self._text("files_checksum")

    @property
    def files_wanted(self) -> str | None:
        """Which files it will get when it starts: ``PRESENT_FILES`` or ``SAME_FILES``."""
        return self._text("files_wanted")

    @property
    def created_nproc(self) -> int | None:
        """Its nproc when it was created, if that has been changed."""
        return self._whole("created_nproc")

    @property
    def batch_system(self) -> str | None:
        """The batch system that its job was submitted to."""
        return self._text("batch_system")

    @property
    def batch_name(self) -> str | None:
        """Its job's name, as long as the job is being submitted or followed."""
        return self._text("batch_name")

    @property
    def batch_attempt(self) -> int:
        """The attempt that its job was submitted for; the scheduler may have added later ones."""
        attempt = self._whole("batch_attempt")
        return attempt if attempt is not None and attempt > 0 else self.attempt

    @property
    def batch_job_id(self) -> str | None:
        """Its job's id."""
        return self._text("batch_job_id")

    @property
    def batch_state(self) -> str | None:
        """Its job's state, in the batch system's words."""
        return self._text("batch_state")

    @property
    def batch_nodes(self) -> str | None:
        """The nodes that its job runs or ran on."""
        return self._text("batch_nodes")

    @property
    def is_job(self) -> bool:
        """Whether it is a job, or about to be one, whose end is not recorded yet."""
        return bool(self.batch_name)

    @property
    def created_after(self) -> str | None:
        """The runs that its creator had awaited, as :mod:`motoko.runs.run_sets` writes them."""
        return self._text("created_after")

    @property
    def cpu_s(self) -> float | None:
        """The processor time of its last attempt's processes, in seconds."""
        seconds: float | None = self._read("cpu_s")
        return seconds

    @property
    def max_rss_bytes(self) -> int | None:
        """The most memory that a process of its last attempt had, in bytes."""
        return self._whole("max_rss_bytes")

    def get(self, name: str) -> Any:
        """The value of a documented name, or ``None``; ``KeyError`` for any other name."""
        return self._read(OWN[name].name)

    def __iter__(self) -> Iterator[str]:
        """The documented names that have a value."""
        return (name for name in OWN if self._read(name) is not None)

    def _read(self, name: str) -> Any:
        return OWN[name].read(self._entries.get(self._key(name)))

    def _key(self, name: str) -> str:
        """Where one of Motoko's own entries is stored in this run."""
        return OWN[name].key if self._prefix or OWN[name].yields else name

    def _text(self, name: str) -> str | None:
        text: str | None = self._read(name)
        return text

    def _whole(self, name: str) -> int | None:
        number: int | None = self._read(name)
        return number

    # Writing

    def update(self, changes: Mapping[str, Any]) -> None:
        """Set entries: Motoko's own under their keys, others under their names."""
        entries = self._writable
        own = changes.keys() & OWN.keys()
        if own and self._prefix:
            self._show(changes.get(_SHOWN, entries.get(_MARK, 1)))
            entries.setdefault(_MARK, 1)
        for name, value in changes.items():
            entries[self._key(name) if name in own else name] = value

    def note(self, name: str, value: str) -> None:
        """Set one of Motoko's own entries, without making the run count as prepared."""
        self._writable[self._key(name)] = value

    def drop(self, *names: str) -> None:
        """Remove some of Motoko's own entries; not the attempt."""
        for name in names:
            self._writable.pop(self._key(name), None)

    def clear(self) -> None:
        """Remove all of Motoko's own entries but those of its creation."""
        if self._prefix and self._is_shown:
            self._writable.pop(_SHOWN, None)
        self.drop(*OWN.keys() - {"created_after"})

    def _show(self, attempt: Any) -> None:
        """Show the attempt under its plain name, unless the run has such an entry of its own."""
        if _SHOWN not in self._entries or self._is_shown:
            self._writable[_SHOWN] = attempt

    @property
    def _is_shown(self) -> bool:
        """Whether the entry of the plain name is what Motoko has written there."""
        value = self._entries.get(_SHOWN)
        return type(value) is int and value == self._entries.get(_MARK)

    def convert(self) -> None:
        """Move Motoko's own entries to the keys with the prefix, out of the user's reach.

        An entry whose type shows that it is the user's stays where it is. Only the launcher that
        looks after the run may do this: an older launcher would not find the entries any more.
        """
        if self._prefix:
            return
        entries = self._writable
        moved = {
            name: value
            for name, entry in OWN.items()
            if name in entries
            and not entry.yields
            and ((value := entries[name]) is None or entry.read(value) is not None)
        }
        for name in moved:
            del entries[name]
        self._prefix = PREFIX
        self.update({"attempt": 1, **moved})

    @property
    def _writable(self) -> MutableMapping[str, Any]:
        return cast("MutableMapping[str, Any]", self._entries)


def is_old(entries: Mapping[str, Any]) -> bool:
    """Whether only an earlier version has executed a run: then plain names are Motoko's own.

    On a run that waits and was never prepared, Motoko has written nothing: then they are the
    user's.
    """
    if _MARK in entries:
        return False
    return not (state_of(entries) in WAITING_STATES and not entries.get("run_path"))


def documented(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Motoko's own entries that have a value, by documented name."""
    own = OwnEntries(entries)
    return {name: own.get(name) for name in own}


def own_key(entries: Mapping[str, Any], name: str) -> str | None:
    """The key of a documented name in a run's entries; ``None`` if it has no such entry."""
    if name not in OWN:
        return None
    if OWN[name].yields:
        key = PREFIX + name
        return key if key in entries and entries.get(name) is None else None
    key = name if is_old(entries) else PREFIX + name
    return key if key in entries else None


class DocumentedEntries(Mapping[str, Any]):
    """A run's entries, and Motoko's own under their documented names, which take precedence.

    Args:
        entries: the run's entries.
        attributes: what the run has besides its entries; they come last.
    """

    __slots__ = ("_attributes", "_entries")

    def __init__(
        self, entries: Mapping[str, Any], attributes: Mapping[str, Any] | None = None
    ) -> None:
        self._entries, self._attributes = entries, attributes or {}

    def __getitem__(self, name: str) -> Any:
        if (key := own_key(self._entries, name)) is not None:
            return self._entries[key]
        if name in self._entries:
            return self._entries[name]
        return self._attributes[name]

    def __iter__(self) -> Iterator[str]:
        names = dict.fromkeys([*self._entries, *self._attributes])
        for name in names:
            if not (isinstance(name, str) and name.startswith(PREFIX)):
                yield name
        for name in OWN:
            if name not in names and own_key(self._entries, name) is not None:
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)
