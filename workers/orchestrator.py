"""A detached orchestrator: the workflow's function, looked after by the supervisor.

What it prints goes to its log, line by line. How it ends is noted for later commands; if it is
killed, there is no note.
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

# First of all: importing BlackDynamite changes the logging.
import motoko.store.session  # noqa: F401
from motoko.api.orchestrator_arguments import execute_wholly, parse, start_parser
from motoko.api.users_traceback import users_line, users_traceback
from motoko.api.workflow import Workflow
from motoko.config import load
from motoko.control import detached_requests
from motoko.control.detached_requests import End
from motoko.errors import ConfigError, MotokoError, expected_errors
from motoko.host.identity import Identity
from motoko.workers.daemon import Daemon, running

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
        """Log the last line if it has no end of line."""
        if self._rest:
            self.write("\n")


def main() -> None:
    """``python -m motoko.workers.orchestrator <motoko.yaml> <run_name>``."""
    path, run_name = sys.argv[1:3]
    with running(detached_requests.daemon_name(run_name), path) as daemon:
        logging.getLogger("motoko").setLevel(logging.INFO)
        code = _run(daemon, run_name)
    if code is None:
        # Die by SIGTERM itself, so that the supervisor sees the signal.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    sys.exit(code)


def _run(daemon: Daemon, run_name: str) -> int | None:
    """Execute the orchestrator and note how it ends; the exit code, or ``None`` after SIGTERM."""
    ours = os.getpid()
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
    if me.pid != ours:
        return code  # this process is a fork that the user's program has made
    end = End(me.pid, me.start_ticks, code, time.time(), error, text)
    detached_requests.note_end(daemon.runtime, run_name, end)
    return code


def _execute(daemon: Daemon, run_name: str) -> None:
    request = detached_requests.read(detached_requests.request_path(daemon.runtime, run_name))
    if request is None:
        raise ConfigError(
            f"nobody has asked for the orchestrator {run_name}",
            hint="`motoko orchestrator start --detach` does",
        )
    # The user's program and motoko.yaml are read as they are now, not from the snapshot.
    config = load(daemon.config.path)
    with Workflow(config.path) as workflow:
        workflow.run_name = run_name
        engine = workflow.motoko_engine
        engine.starts_supervisor = False
        signal.signal(signal.SIGUSR1, lambda number, frame: engine.stop())
        _, parameters = parse(config, list(request.arguments), start_parser())
        execute_wholly(workflow, parameters)


def _told(error: BaseException) -> tuple[int, str, str]:
    """An error's exit code, its message, and its traceback if that is worth showing."""
    expected = expected_errors(error)
    if expected:
        return expected[0].exit_code, "\n".join(dict.fromkeys(map(_shown, expected))), ""
    message = "".join(traceback.format_exception_only(error)).strip()
    return MotokoError.exit_code, message, users_traceback(error)


def _shown(error: MotokoError) -> str:
    lines = [str(error)]
    if line := users_line(error):
        lines.append(f"  raised by {line}")
    if error.hint:
        lines.append(f"hint: {error.hint}")
    return "\n".join(lines)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated(128 + number)  # counts as a failure: what follows is skipped


if __name__ == "__main__":
    main()
