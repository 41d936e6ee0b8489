"""A warm run: a forked interpreter that looks as if it was just started, and ends as others do.

A part of warm_template.py and of packed_template.py. It stands alone, as they do.
"""

from __future__ import annotations

import atexit
import builtins
import ctypes
import gc
import importlib.machinery
import io
import itertools
import os
import random
import signal
import sys
import threading
import time
import types
import weakref
from typing import Any


def prepare(attempt: dict[str, Any]) -> None:
    """Make this interpreter look as if it was just started for an attempt, outside its modules."""
    wanted = attempt["environment"]
    for name in [name for name in os.environ if name not in wanted]:
        del os.environ[name]
    for name, text in wanted.items():
        if os.environ.get(name) != text:
            os.environ[name] = text
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    random.seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def as_if_started(attempt: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """In the run's directory: have its modules look as if this interpreter was just started.

    Returns the path of doIt.py, and the namespace of its ``__main__``.
    """
    sys.argv[:] = [attempt["script"], *attempt["arguments"]]
    sys.orig_argv[:] = [attempt["python"], *attempt["options"], *sys.argv]
    path = os.path.join(os.getcwd(), attempt["script"])
    if not getattr(sys.flags, "safe_path", False):
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


def leave(code: int, last: str) -> None:
    """End this process as Python does, but leave what the template has loaded as it is.

    Python's own way is to take all modules apart, which copies most of the template's memory, and
    takes longer than many a run. ``last`` is the module that the template has loaded last. Returns
    if Python itself has to do it after all.
    """
    if last not in sys.modules:
        return
    for place, name in (threading, "_shutdown"), (atexit, "_run_exitfuncs"):  # as Python does
        getattr(place, name)()
    # From the end: looking at all names would copy what the template has them in.
    names = ["__main__", *itertools.takewhile(lambda name: name != last, reversed(sys.modules))]
    own = {name: sys.modules.pop(name) for name in names if name in sys.modules}
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
    last = next(reversed(sys.modules))
    code = 0
    try:
        execute(*as_if_started(attempt))  # no variable here keeps the run's objects alive
    except SystemExit as error:
        if error.code is not None and type(error.code) is not int:
            raise
        code = int(error.code or 0)
    leave(code & 0xFF, last)
    sys.exit(code)
