"""Up to where a study's changes have been published, in a file that outlives the watcher."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from motoko.host.files import read_json, write_atomically
from motoko.store.tids import LENGTH as TID_LENGTH

log = logging.getLogger(__name__)


class Checkpoint:
    """The newest transaction of which all is published, and the database that it belongs to.

    A file that cannot be read or written costs a little more work at the watcher's next start, and
    a warning; nothing else.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved = b""
        self._trouble = ""

    def read(self, database: bytes) -> bytes | None:
        """The transaction id, if there is one for this database."""
        try:
            data = read_json(self._path)
            if data and data["database"] == database.hex():
                tid = bytes.fromhex(data["tid"])
                if len(tid) == TID_LENGTH:
                    return tid
                raise ValueError(data["tid"])
        except OSError as error:
            log.warning("%s cannot be read and is not used: %s", self._path, error)
        except (KeyError, TypeError, ValueError):
            log.warning("%s is damaged and not used", self._path)
        return None

    def save(self, tid: bytes, database: bytes) -> None:
        """Keep a transaction id; what cannot be written is tried again at the next call."""
        if tid == self._saved:
            return
        content = json.dumps({"tid": tid.hex(), "database": database.hex()})
        try:
            write_atomically(self._path, content)
        except FileNotFoundError:
            return  # the study is not kept here
        except OSError as error:
            trouble = error.strerror or str(error)
            if trouble != self._trouble:  # said once, not at each attempt
                self._trouble = trouble
                log.warning("%s cannot be written, and is tried again: %s", self._path, trouble)
            return
        self._saved, self._trouble = tid, ""
