"""What an attempt's processes have used: processor time and memory. Pure logic."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from motoko.runs.entries import OwnEntries

# What wrappers write into their exit records. A shell knows the ticks of its children, and nothing
# of their memory; a wrapper in Python knows both.
TICKS, CPU_S, MAX_RSS = "cpu_ticks", "cpu_s", "max_rss_bytes"
# For the scripts of wrappers: the function `_note_used` sets `_ticks` to the processor time of all
# children that have ended, and theirs. Fields 16 and 17 of /proc/PID/stat; the name of a shell has
# no blanks. No process is started for this.
SHELL = """\
_note_used() { _ticks=$((${16} + ${17})); }
read -r _stat < "/proc/$$/stat" && _note_used $_stat
"""


@dataclass(frozen=True)
class Used:
    """What the processes of an attempt have used; ``None`` for what is not known.

    Attributes:
        cpu_s: processor time in user and kernel mode, of all processes that another process of the
            attempt has waited for, in seconds.
        max_rss_bytes: the most memory that one of them had at a time, in bytes.
    """

    cpu_s: float | None = None
    max_rss_bytes: int | None = None

    @classmethod
    def recorded(cls, record: Mapping[str, object] | None) -> Used:
        """What an exit record tells."""
        record = record or {}
        cpu, ticks, memory = record.get(CPU_S), record.get(TICKS), record.get(MAX_RSS)
        if not isinstance(cpu, (int, float)):
            cpu = ticks / os.sysconf("SC_CLK_TCK") if isinstance(ticks, int) else None
        return cls(cpu, memory if isinstance(memory, int) else None)

    def changes(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """The entries to be set at the end of an attempt: an earlier attempt's must not stay."""
        own = OwnEntries(run)
        figures = {CPU_S: self.cpu_s, MAX_RSS: self.max_rss_bytes}
        return {n: v for n, v in figures.items() if v is not None or own.get(n) is not None}


UNKNOWN = Used()
