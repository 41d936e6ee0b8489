"""A Python that has loaded the modules that runs import, and forks each run. It does nothing else.

This file stands alone: it is executed by the Python that launch.sh names, which may not have Motoko
installed. Its arguments are the descriptor of a socket, and the modules to load, as JSON.

Each message on the socket asks for one attempt, and brings descriptors: the channel of the
attempt's wrapper, and those that hold the run's slots. The answer is the wrapper's pid, with a
pidfd. This process ends when the socket is closed.

The wrapper does what those of other runs do (see ``wrapper.py``, beside this file): it begins a
session, claims the attempt, and records its exit. It forks the run itself: an interpreter as if
just started.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import ctypes
import gc
import importlib
import importlib.machinery
import importlib.util
import io
import json
import logging
import os
import random
import runpy
import signal
import socket
import sys
import threading
import time
import traceback
import types
import weakref
from collections.abc import Sequence
from typing import Any

CHECK_S = 0.25  # how often to look whether files of installed modules have changed


def main() -> dict[str, Any]:
    connection = socket.socket(fileno=int(sys.argv[1]))
    wanted = json.loads(sys.argv[2])
    directory = sys.path.pop(0)  # this file's
    parts = runpy.run_path(os.path.join(directory, "wrapper.py"))
    message_max, descriptors_max = parts["MESSAGE_MAX"], parts["DESCRIPTORS_MAX"]
    problem = ""
    try:
        load(wanted)
        problem = why_not_forked()
    except (Exception, SystemExit) as error:  # noqa: BLE001 (a module may raise anything)
        problem = f"{type(error).__name__}: {error}"
        traceback.print_exc()
    spare_detours()
    files = loaded_files()
    installed = {path for path in files if path.startswith(installed_places())}
    checked_at = time.monotonic()
    say(connection, {"problem": problem})
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # this process does not wait for wrappers
    gc.collect()
    gc.freeze()
    while True:
        try:
            data, descriptors, _, _ = socket.recv_fds(connection, message_max, descriptors_max)
        except ConnectionError:
            os._exit(0)
        if not data:
            os._exit(0)
        attempt = json.loads(data)
        answer: dict[str, Any] = {}
        own: list[int] = []
        looked_at = files.keys() - installed
        if time.monotonic() > checked_at + CHECK_S:
            checked_at, looked_at = time.monotonic(), set(files)
        if changed := [path for path in looked_at if stamp(path) != files[path]]:
            answer = {"changed": changed[0]}
        else:
            # The wrapper must not be reaped before its pidfd is open.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                pid = os.fork()
                if pid == 0:
                    connection.close()
                    return wrapper(parts, attempt, descriptors)
                own = [os.pidfd_open(pid)]
                answer = {"pid": pid}
            except OSError as error:
                answer = {"error": error.errno}
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        for descriptor in descriptors:
            os.close(descriptor)
        say(connection, answer, own)
        for descriptor in own:
            os.close(descriptor)
        reap()


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


def say(connection: socket.socket, answer: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    try:
        socket.send_fds(connection, [json.dumps(answer).encode()], descriptors)
    except OSError:
        os._exit(0)


def reap() -> None:
    """Reap the wrappers that ended in the moment of a fork."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


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


# The wrapper


def wrapper(
    parts: dict[str, Any], attempt: dict[str, Any], descriptors: Sequence[int]
) -> dict[str, Any]:
    """In a forked child: what an attempt's wrapper does. Returns only in the run itself."""
    for number in (signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    channel, *slots = descriptors
    text = b""
    pid = -1
    try:
        outputs, mark = parts["begun"](attempt, channel)
        try:
            pid = os.fork()
        except OSError:
            raise parts["Unstarted"](parts["UNFORKED"]) from None
        if pid:
            for descriptor in outputs:
                os.close(descriptor)
            text = parts["ended"](attempt, pid, own_rss=0)  # what the template has is the run's
    except parts["Unstarted"] as error:
        text = b"%d" % error.code
    finally:
        if pid:  # whatever has happened, the wrapper must not return
            parts["tell"](channel, text)
            os._exit(0)
    os.close(channel)
    for place, descriptor in enumerate([os.open(os.devnull, os.O_RDONLY), *outputs]):
        os.dup2(descriptor, place)
        os.close(descriptor)
    for slot in slots:
        os.set_inheritable(slot, True)  # the slot is held as long as any process of the run lives
    attempt["environment"]["MOTOKO_RUN"] = mark
    return attempt


# The run


def as_if_started(attempt: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Make this interpreter look as if it was just started for an attempt.

    Returns the path of doIt.py, and the namespace of its ``__main__``.
    """
    os.environ.clear()
    os.environ.update(attempt["environment"])
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    random.seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    sys.argv[:] = [attempt["script"], *attempt["arguments"]]
    sys.orig_argv[:] = [attempt["python"], *attempt["options"], *sys.argv]
    path = os.path.join(os.getcwd(), attempt["script"])
    sys.path.insert(0, os.path.dirname(os.path.realpath(path)))
    module = types.ModuleType("__main__")
    loader = importlib.machinery.SourceFileLoader("__main__", path)
    module.__dict__.update(
        __file__=path, __builtins__=builtins, __loader__=loader, __cached__=None, __annotations__={}
    )
    sys.modules["__main__"] = module
    return path, module.__dict__


def execute(path: str, namespace: dict[str, Any]) -> None:
    """Execute doIt.py. Tracebacks begin with its own lines."""
    try:
        with open(path, "rb") as file:
            text = file.read()
        exec(compile(text, path, "exec", dont_inherit=True), namespace)
    except SystemExit:
        raise
    except BaseException as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        sys.excepthook = lambda *_: None  # the traceback was printed already
        raise


# The run's end


def leave(code: int, loaded: frozenset[str]) -> None:
    """End this process as Python does, but leave what the template has loaded as it is.

    Python's own way is to take all modules apart, which copies most of the template's memory, and
    takes longer than many a run. ``loaded`` names the modules that the template has loaded. Returns
    if Python itself has to do it after all.
    """
    for place, name in (threading, "_shutdown"), (atexit, "_run_exitfuncs"):  # as Python does
        getattr(place, name)()
    own = {name: sys.modules.pop(name) for name in {*sys.modules} - loaded}
    left = [weakref.ref(module) for module in own.values() if type(module) is types.ModuleType]
    own.clear()
    gc.collect()  # not the objects that were there before the fork
    for module in filter(None, (reference() for reference in left)):
        module.__dict__.clear()
    gc.collect()
    try:
        close_files()
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
    except Exception:  # noqa: BLE001 (whatever it is, Python itself shall say it)
        return
    ctypes.PyDLL(None).exit(code)  # what C libraries have registered is called, too


def close_files() -> None:
    """Write what is left in the buffers of files that nobody has closed, as their deletion does."""
    plain: Any = io.IOBase.__base__  # asking for this type calls no code of others
    files = [thing for thing in gc.get_objects() if issubclass(type(thing), plain)]
    files = [file for file in files if not file.closed]
    standard = (sys.stdin, sys.stdout, sys.stderr)
    for file in files:
        if isinstance(file, io.TextIOWrapper) and file not in standard:
            file.flush()
    for file in files:  # compressed ones, which end in a way of their own
        if type(file).__module__ not in ("_io", "io") and file not in standard:
            file.close()
    for file in files:
        if isinstance(file, (io.BufferedWriter, io.BufferedRandom)) and not file.closed:
            file.flush()


def run(attempt: dict[str, Any]) -> None:
    """Execute a run, and end this process; returns or raises where Python itself has to end it."""
    loaded = frozenset(sys.modules) - {"__main__"}
    code = 0
    try:
        execute(*as_if_started(attempt))  # no variable here keeps the run's objects alive
    except SystemExit as error:
        if error.code is not None and type(error.code) is not int:
            raise
        code = int(error.code or 0)
    leave(code & 0xFF, loaded)
    sys.exit(code)


if __name__ == "__main__":
    run(main())
