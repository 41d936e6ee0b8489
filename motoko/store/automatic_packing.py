"""When a study's server packs its database by itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from motoko.config.database_files import DatabaseFiles
from motoko.config.packing_settings import PackingSettings
from motoko.host.sizes import MB, shown
from motoko.store.packing import disk_use, droppable, pack_time

log = logging.getLogger(__name__)

FROM = 10 * MB  # a smaller file is left as it is
QUIET_S = 60.0  # since the last commit
AGAIN_S = 3600.0  # between two looks at the whole file


class AutomaticPacking:
    """Packs a database once it is large enough and nothing has been committed for a while.

    Args:
        files: the database's.
        settings: what the user wants.
        pack: packs the database up to a moment.
    """

    def __init__(
        self, files: DatabaseFiles, settings: PackingSettings, pack: Callable[[float], None]
    ) -> None:
        self._files = files
        self._settings = settings
        self._pack = pack
        self._thread: threading.Thread | None = None
        self._next = 0.0
        self._seen = (0, 0.0)  # the size and the newest transaction's time that a look has covered

    def look(self, committed_at: float) -> None:
        """Called every few seconds; packs in a thread of its own if it is time.

        Args:
            committed_at: when the newest transaction was committed (seconds since 1970).
        """
        if not self._settings.when or time.monotonic() < self._next:
            return
        if self._thread is not None and self._thread.is_alive():
            return
        until = pack_time(self._settings.days)
        size = self._files.transactions.stat().st_size
        seen = (size, min(until, committed_at))
        if size < FROM or time.time() < committed_at + QUIET_S or seen == self._seen:
            return
        self._seen = seen
        self._next = time.monotonic() + AGAIN_S
        self._thread = threading.Thread(target=self._work, args=(until,), name="pack", daemon=True)
        self._thread.start()

    def _work(self, until: float) -> None:
        try:
            total, outdated = droppable(self._files, until)
            if total < self._settings.when * (total - outdated):
                return
            before = disk_use(self._files)
            self._pack(until)
            log.info("packed: %s, was %s", shown(disk_use(self._files)), shown(before))
        except Exception:
            log.exception("the database could not be packed")
