"""A kind of daemon that nobody has: a file, and its line."""

import signal

from motoko.config.daemon_kinds import WATCHER, ZEO, DaemonKind, Scope

KIND = DaemonKind(
    "courier",
    Scope.STUDY,
    "fictitious_daemon",
    stop_turn=25,
    needs=(ZEO, WATCHER),
    beats=True,
    stop_signal=signal.SIGUSR2,
    stop_timeout=2.5,
)
