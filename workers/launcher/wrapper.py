"""The wrapper around each local run: claims the attempt, runs launch.sh, records its exit.

A process in a session of its own. So a run survives its launcher, and a new launcher finds out what
became of it: from the claim (which process runs it) and from the exit record.

This file is a program, too, and stands alone: a small Python that forks the wrappers, and does
nothing else. It imports little, since before a process becomes another program it is a copy of the
one that has started it: a run that takes less memory than a wrapper has no figure. Templates of
warm runs use the wrapper's parts (see ``warm_template.py``), perhaps with an older Python.

The program's first argument is the descriptor of a socket. Each message there asks for one attempt,
and brings descriptors: the wrapper's channel, and those that hold the run's slots. The answer is
the wrapper's pid, with a pidfd. The program ends when the socket is closed; its wrappers do not.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal`, `socket` would take another MB
import _socket
import errno
import gc
import os
import posix
import resource
import sys

MESSAGE_MAX = 1 << 20
DESCRIPTORS_MAX = 200  # as many as a message can bring
MORE = b"+"  # a message that brings the first descriptors of the next one
# What a request says of an attempt, in this order. `starters`: the files that start launch.sh, if
# one of them exists.
FIELDS = (
    *("directory", "attempt", "claim", "exit", "stdout", "stderr"),
    *("boot", "host", "namespace", "launch", "starters"),
)
# What a wrapper tells that has started nothing.
NO_DIRECTORY = 120
CLAIMED = 121  # another wrapper has claimed the attempt
NO_GO = 122  # its launcher has ended, or does not want the attempt any more
UNCLAIMED = 123  # the claim could not be written
UNOPENED = 124  # an output file could not be opened
UNFORKED = 125  # no process could be started for launch.sh: the claim is still there
# As a shell tells it: the program that launch.sh names does not exist, or cannot be executed.
MISSING, UNEXECUTABLE = 127, 126
_IGNORED_BY_PYTHON = (_signal.SIGPIPE, _signal.SIGXFSZ)


class Unstarted(Exception):
    """Nothing is started for an attempt; ``code`` says why."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def main() -> None:
    """Fork wrappers until the socket is closed."""
    connection = _socket.socket(fileno=int(sys.argv[1]))
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)  # this process does not wait for wrappers
    gc.disable()
    gc.freeze()
    room = _socket.CMSG_SPACE(4 * DESCRIPTORS_MAX)
    descriptors: list[int] = []
    while True:
        try:
            data, rights, _, _ = connection.recvmsg(MESSAGE_MAX, room, _socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            return
        if not data:
            return
        for _, _, numbers in rights:
            descriptors += [
                int.from_bytes(numbers[at : at + 4], sys.byteorder)
                for at in range(0, len(numbers), 4)
            ]
        if data == MORE:
            continue
        # Here, since a page of memory that a wrapper is the first to touch takes as long as a call.
        attempt = dict(zip(FIELDS, map(os.fsdecode, data.split(b"\0"))))  # noqa: B905 (Python 3.9)
        own = -1
        try:
            pid = os.fork()
            if pid == 0:
                connection.close()
                wrapper(attempt, descriptors)
            own = os.pidfd_open(pid)
            answer = b'{"pid": %d}' % pid
        except OSError as error:
            answer = b'{"error": %d}' % (error.errno or 0)
        for descriptor in descriptors:
            os.close(descriptor)
        descriptors.clear()
        pidfd = (
            _socket.SOL_SOCKET,
            _socket.SCM_RIGHTS,
            own.to_bytes(4, sys.byteorder, signed=True),
        )
        try:
            connection.sendmsg([answer], [pidfd] if own >= 0 else [])
        except OSError:
            return
        if own >= 0:
            os.close(own)


def wrapper(attempt: dict[str, str], descriptors: list[int]) -> None:
    """In a forked child: what an attempt's wrapper does. Does not return."""
    channel, *slots = descriptors
    text = b""
    try:
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        os.setsid()
        os.dup2(1, 2)  # the launcher's log is not the wrapper's
        try:
            outputs, mark = begun(attempt, channel)
            pid, code = started(attempt, outputs, mark, slots)
        except Unstarted as error:
            text = b"%d" % error.code
        else:
            text = ended(attempt, pid, code)
    finally:  # whatever has happened, the wrapper must not return
        tell(channel, text)
        os._exit(0)


def tell(channel: int, text: bytes) -> None:
    """Tell the launcher how it ended, if it still lives."""
    try:
        os.write(channel, text)
    except OSError:
        pass


def begun(attempt: dict[str, str], channel: int) -> tuple[list[int], str]:
    """Wait for the line that lets it go, then claim the attempt and open its outputs.

    Returns the descriptors of the outputs, and the mark for the run's environment. Raises
    ``Unstarted``. The claim is made with O_EXCL: the second wrapper of an attempt starts nothing.
    It holds the boot id, the wrapper's own line of /proc, the host and the pid namespace: by these
    a launcher recognises the wrapper.
    """
    if os.read(channel, 1) != b"\n":
        raise Unstarted(NO_GO)
    try:
        os.chdir(attempt["directory"])
    except OSError:
        raise Unstarted(NO_DIRECTORY) from None
    claim = attempt["claim"]
    boot, line = attempt["boot"], text_of("/proc/self/stat").decode(errors="replace")
    text = f"{boot}\n{line}\n{attempt['host']}\n{attempt['namespace']}\n"
    try:
        file = os.open(claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        raise Unstarted(CLAIMED) from None
    except OSError:
        raise Unstarted(CLAIMED if os.path.exists(claim) else UNCLAIMED) from None
    code = UNCLAIMED
    try:
        os.write(file, text.encode())
        os.close(file)
        code = UNOPENED
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        outputs = [os.open(attempt[name], flags, 0o666) for name in ("stdout", "stderr")]
    except OSError:
        try:
            os.unlink(claim)
        finally:
            raise Unstarted(code) from None
    ticks = line.rpartition(")")[2].split()[19]
    return outputs, f"{boot} {os.getpid()} {ticks} {os.getcwd()}/{claim}"


def started(
    attempt: dict[str, str], outputs: list[int], mark: str, slots: list[int]
) -> tuple[int, int]:
    """Start launch.sh in a process of its own: its pid, or 0 and the exit code if that fails.

    It inherits the descriptors of the slots: a slot is held as long as any process of the run
    lives. Raises ``Unstarted``.
    """
    environment: dict[bytes, bytes | str] = {
        **posix.environ,
        b"PWD": attempt["directory"],
        b"MOTOKO_ATTEMPT": attempt["attempt"],
        b"MOTOKO_RUN": mark,
    }
    files: list[tuple[int, ...] | tuple[int, int, str, int, int]]
    files = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    files += [(os.POSIX_SPAWN_DUP2, output, number) for number, output in enumerate(outputs, 1)]
    files += [(os.POSIX_SPAWN_DUP2, slot, slot) for slot in slots]
    program = attempt["launch"].encode()
    try:
        words = command(attempt["starters"].split("\n"), attempt["launch"])
        program = words[0]
        pid = os.posix_spawnp(
            *(program, words, environment),
            file_actions=files,
            setsigdef=_IGNORED_BY_PYTHON,
        )
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.ENOMEM):
            raise Unstarted(UNFORKED) from None
        tell(outputs[1], b"%s: %s\n" % (program, str(error.strerror).encode()))
        return 0, MISSING if isinstance(error, FileNotFoundError) else UNEXECUTABLE
    for output in outputs:
        os.close(output)
    return pid, 0


def command(starters: list[str], launch: str) -> list[bytes]:
    """The command that executes launch.sh: by a file that starts it, or as its first line says.

    The kernel cannot do that: it executes no file on a file system that is mounted `noexec`. Raises
    ``OSError`` if launch.sh cannot be read.
    """
    for path in starters:
        if os.access(path, os.F_OK):
            return [b"/bin/bash", path.encode()]
    words = text_of(launch).partition(b"\n")[0].removeprefix(b"#!").split(None, 1)
    return [*words, f"./{launch}".encode()]


def ended(attempt: dict[str, str], pid: int, code: int = 0, own_rss: int | None = None) -> bytes:
    """Wait for launch.sh, record how it has ended, and return the record.

    On a full disk the record is written over the claim, which needs no more space.

    Args:
        pid: the process; 0 if there is none, which has ended with ``code``.
        own_rss: what of the kernel's figure is not the run's memory, in kB; ``None``: the wrapper's
            own. A process is a copy of its parent before it becomes another program. So a peak that
            is not above the parent's says nothing.
    """
    used = ""
    if pid:
        if own_rss is None:
            own_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        _, status, usage = os.wait4(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        code = 128 - code if code < 0 else code
        used = f', "cpu_s": {usage.ru_utime + usage.ru_stime:.4f}'
        if usage.ru_maxrss > own_rss:
            used += f', "max_rss_bytes": {usage.ru_maxrss * 1024}'
    text = f'{{"attempt": {attempt["attempt"]}, "code": {code}{used}}}\n'.encode()
    for path, flags in ((attempt["exit"], os.O_CREAT | os.O_TRUNC), (attempt["claim"], 0)):
        try:
            file = os.open(path, os.O_WRONLY | flags, 0o666)
            try:
                os.write(file, text)
            finally:
                os.close(file)
        except OSError:
            continue
        break
    return text


def text_of(path: str) -> bytes:
    """The first 4 kB of a file, without line ends at the end."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 4096).rstrip(b"\n")
    finally:
        os.close(file)


if __name__ == "__main__":
    main()
