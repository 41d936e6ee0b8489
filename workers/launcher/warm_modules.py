"""What a template of warm runs loads, and what it has its runs leave out.

A part of warm_template.py and of packed_template.py. It stands alone, as they do.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import io
import logging
import os
import sys
import threading
import types
from typing import Any


def load(wanted: dict[str, list[str]]) -> None:
    """Import the modules to preload, which must exist, and doIt.py's imports, if they are found."""
    spare_openssls_end()
    for name in wanted["preload"]:
        importlib.import_module(name)
    for name in wanted["imports"]:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            # doIt.py itself will find this module, or miss it.
            if not f"{name}.".startswith(f"{error.name}."):
                raise
    with contextlib.suppress(Exception, SystemExit):  # of another BlackDynamite
        rehearse()


def spare_openssls_end() -> None:
    """Have OpenSSL leave its memory to the kernel when a process ends: it would copy it first."""
    module = importlib.util.find_spec("_hashlib")
    if module is not None and module.name not in sys.modules:
        with contextlib.suppress(OSError, AttributeError):
            no_atexit = ctypes.c_uint64(0x80000)
            ctypes.CDLL(module.origin).OPENSSL_init_crypto(no_atexit, None)


def rehearse() -> None:
    """Do once what BlackDynamite does first in each run, and what needs no study.

    Runs find expressions compiled, and code that Python has adapted to its use.
    """
    program, yaml = sys.modules["BlackDynamite.bdparser"], sys.modules["yaml"]
    before = logging.root.manager.disable
    logging.disable()  # else it says what it reads
    try:
        for _ in range(4):
            parser = program.BDParser()
            parser.register_group("rehearsal").add_argument("--run_id", type=int)
            parser.parseBDParameters(argv=[])
            yaml.safe_load("study: a\njob:\n  x: [int, float]\n")
    finally:
        logging.disable(before)


def why_not_forked() -> str:
    """Why this process cannot be forked; empty if it can."""
    if "mpi4py.MPI" in sys.modules:
        return "mpi4py.MPI is loaded, which has begun MPI for this process alone"
    if threads := [thread.name for thread in threading.enumerate()][1:]:
        return f"a module has started threads: {', '.join(threads)}"
    if len(os.listdir("/proc/self/task")) > 1:
        # Libraries that are made for forking end their threads when the process is forked.
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        if (count := len(os.listdir("/proc/self/task")) - 1) > 0:
            return f"a module has started {count} threads, and does not end them for a fork"
    return ""


def loaded_files() -> dict[str, tuple[int, int, int] | None]:
    """The files of all modules that are loaded, with their time, size and inode."""
    files: dict[str, tuple[int, int, int] | None] = {}
    for module in list(sys.modules.values()):
        for path in (getattr(module, "__file__", None), getattr(module, "__cached__", None)):
            if isinstance(path, str) and (state := stamp(path)) is not None:
                files[path] = state
                break
    return files


def installed_places() -> tuple[str, ...]:
    """Where modules are that are not changed while a study is written: Python's own directories."""
    return tuple({f"{place}/" for place in (sys.prefix, sys.base_prefix) if len(place) > 1})


def spare_detours() -> None:
    """Have BlackDynamite and ZEO leave out what only takes time.

    BlackDynamite asks psutil for all sockets of all processes, to see whether its server listens,
    which it knows already, and makes log records that no handler takes. ZEO makes a temporary file,
    which the disk has to confirm, and one for each transaction: here they are in memory. Its thread
    sleeps for a moment with each answer: see motoko/store/internals/zeo_clients.py.
    """
    opened: set[str] = set()

    def is_opened(path: str) -> bool:
        if path not in opened and ask(path):
            opened.add(path)
        return path in opened

    if (module := sys.modules.get("BlackDynamite.base_zeo")) is not None:
        base: Any = getattr(module, "BaseZEO", None)
        if hasattr(base, "check_file_socket") and hasattr(base, "isOpenedUnixSocket"):
            base.check_file_socket = lambda self: self.isOpenedUnixSocket(self.zeo_socket)
            ask, base.isOpenedUnixSocket = base.isOpenedUnixSocket, staticmethod(is_opened)
    cache: Any = sys.modules.get("ZEO.cache")
    if (sync := getattr(cache, "sync", None)) is not None:
        cache.sync = lambda file: file.flush() if isinstance(file.name, int) else sync(file)
    buffers: Any = sys.modules.get("ZEO.TransactionBuffer")
    for user in (cache, buffers):
        if hasattr(user, "tempfile"):
            user.tempfile = types.SimpleNamespace(TemporaryFile=file_in_memory)
    for name, logger in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] == "BlackDynamite" and type(logger) is logging.Logger:
            logger.__class__ = Heeded
    futures: Any = sys.modules.get("ZEO.asyncio.futures")
    if hasattr(futures, "switch_thread"):
        futures.switch_thread = lambda: None


def file_in_memory(**_: str) -> io.BufferedRandom:
    return open(os.memfd_create("zeo"), "w+b")


class Heeded(logging.Logger):
    """A logger that makes no record which no handler would take."""

    def isEnabledFor(self, level: int) -> bool:
        logger: logging.Logger | None = self
        handlers: list[logging.Handler] = []
        while logger is not None:
            handlers += logger.handlers
            logger = logger.parent if logger.propagate else None
        ignored = bool(handlers) and all(handler.level > level for handler in handlers)
        return (bool(self.filters) or not ignored) and super().isEnabledFor(level)


def stamp(path: str) -> tuple[int, int, int] | None:
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino
