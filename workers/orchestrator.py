"""A detached orchestrator: the workflow's function, looked after by the supervisor.

What it prints goes to its log, a line an event. Why it ends is noted for those who ask later; of
one that was killed there is no note.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import time
import traceback
from types import FrameType
from typing import NoReturn

# First of all: BlackDynamite has a say in what is logged.
import motoko.bd.session  # noqa: F401
from motoko import detached
from motoko.cli.arguments import execute, parse, start_parser
from motoko.cli.reporting import expected_errors
from motoko.detached import End
from motoko.errors import ConfigError, MotokoError
from motoko.identity import Identity
from motoko.workers.daemon import Daemon, running
from motoko.workflow import Workflow

log = logging.getLogger(__name__)


class _Terminated(SystemExit):
    """SIGTERM was received."""


class LoggedLines(io.TextIOBase):
    """Standard output or standard error whose lines are logged."""

    def __init__(self, level: int) -> None:
        self._level = level
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            logging.log(self._level, "%s", line)
        return len(text)

    def finish(self) -> None:
        """Log what has no end of line."""
        if self._rest:
            self.write("\n")


def main() -> None:
    """``python -m motoko.workers.orchestrator <motoko.yaml> <run_name>``."""
    path, run_name = sys.argv[1:3]
    with running(detached.daemon_name(run_name), path) as daemon:
        logging.getLogger("motoko").setLevel(logging.INFO)
        code = _run(daemon, run_name)
    if code is None:
        # To whoever looks after us this is a death by signal, as it is.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    sys.exit(code)


def _run(daemon: Daemon, run_name: str) -> int | None:
    """Execute, and note how that ends; the exit code, or ``None`` after SIGTERM."""
    signal.signal(signal.SIGTERM, _terminate)
    outputs = sys.stdout, sys.stderr
    printed, complained = LoggedLines(logging.INFO), LoggedLines(logging.WARNING)
    sys.stdout, sys.stderr = printed, complained
    error = text = ""
    code = 0
    try:
        _execute(daemon, run_name)
    except _Terminated:
        log.info("stopped by SIGTERM")
        return None
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
        error = left.code if isinstance(left.code, str) else ""
    except BaseException as raised:  # noqa: BLE001 (of the user's program: it is kept and shown)
        code, error, text = _told(raised)
    finally:
        printed.finish()
        complained.finish()
        sys.stdout, sys.stderr = outputs
    if error:
        log.error("%s", (text or error).rstrip())
    log.info("ended with exit code %d", code)
    me = Identity.mine()
    end = End(me.pid, me.start_ticks, code, time.time(), error, text)
    detached.note_end(daemon.runtime, run_name, end)
    return code


def _execute(daemon: Daemon, run_name: str) -> None:
    request = detached.read(detached.request_path(daemon.runtime, run_name))
    if request is None:
        raise ConfigError(
            f"nobody has asked for the orchestrator {run_name}",
            hint="`motoko orchestrator start --detach` does",
        )
    workflow = Workflow(daemon.config.path)
    workflow.run_name = run_name

    workflow._execution.starts_supervisor = False
    signal.signal(signal.SIGUSR1, lambda number, frame: workflow._execution.stop())
    _, parameters = parse(daemon.config, list(request.arguments), start_parser())
    try:
        execute(workflow, parameters)
    finally:
        workflow._close()


def _told(error: BaseException) -> tuple[int, str, str]:
    """An error's exit code, its message, and its traceback if that is worth showing."""
    expected = expected_errors(error)
    if expected:
        hints = [f"{each}\nhint: {each.hint}" if each.hint else str(each) for each in expected]
        return expected[0].exit_code, "\n".join(dict.fromkeys(hints)), ""
    message = "".join(traceback.format_exception_only(error)).strip()
    return MotokoError.exit_code, message, "".join(traceback.format_exception(error))


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated


if __name__ == "__main__":
    main()
