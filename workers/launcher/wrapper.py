"""The wrapper around local runs: claims an attempt, runs launch.sh, records its exit.

A process in a session of its own. So a run survives its launcher, and a new launcher finds out what
became of it: from the claim (which process runs it) and from the exit record. When an attempt has
ended, the wrapper waits for the next one: executing one attempt is a turn of the wrapper. It ends
when its launcher has ended, but finishes its turn.

This file is a program, too, and stands alone: a small Python that forks the wrappers, and does
nothing else. It imports little, since before a process becomes another program it is a copy of the
one that has started it: a run that takes less memory than a wrapper has no figure. Templates of
warm runs use the wrapper's parts (see ``warm_template.py``), perhaps with an older Python.

The program's first argument is the descriptor of a socket. Each message there asks for a wrapper,
and brings a descriptor: the wrapper's channel. The answer is the wrapper's pid. The program ends
when the socket is closed; its wrappers do not.

On a wrapper's channel come, for each turn: the attempt, with the descriptors that hold the run's
slots; and the line that lets it go. The answer is the exit record, or why nothing was started.
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
# one of them exists. `turn`, `number`, `mark`: see `motoko/runs/wrappers.py`. In turn 0 launch.sh
# is in the wrapper's session, and the wrapper has no other turn. `warm`: what a warm run needs.
FIELDS = (
    *("directory", "attempt", "claim", "exit", "stdout", "stderr"),
    *("boot", "host", "namespace", "turn", "mark", "launch", "starters", "number", "warm"),
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
MARKED = 10  # RLIMIT_LOCKS: see `motoko/host/process_limits.py`


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
    gc.disable()
    gc.freeze()
    channel = fork_wrappers(connection)
    if channel >= 0:
        wrapper(_socket.socket(fileno=channel))


def fork_wrappers(connection: _socket.socket) -> int:
    """Fork a wrapper for each message. Returns its channel in a wrapper, and -1 at the end."""
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)  # this process does not wait for wrappers
    while True:
        asked, descriptors = received(connection)
        if not asked:
            return -1
        try:
            pid = os.fork()
            if pid == 0:
                connection.close()
                return descriptors[0]
            answer = b'{"pid": %d}' % pid
        except OSError as error:
            answer = b'{"error": %d}' % (error.errno or 0)
        for descriptor in descriptors:
            os.close(descriptor)
        try:
            connection.send(answer)
        except OSError:
            return -1


def received(connection: _socket.socket) -> tuple[bytes, list[int]]:
    """The next message, with all its descriptors; an empty one if there will be none."""
    room = _socket.CMSG_SPACE(4 * DESCRIPTORS_MAX)
    descriptors: list[int] = []
    while True:
        try:
            data, rights, _, _ = connection.recvmsg(MESSAGE_MAX, room, _socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            return b"", []
        for _, _, numbers in rights:
            descriptors += [
                int.from_bytes(numbers[at : at + 4], sys.byteorder)
                for at in range(0, len(numbers), 4)
            ]
        if data != MORE:
            return data, descriptors


def send(connection: _socket.socket, data: bytes, descriptors: list[int]) -> None:
    """Send what ``received`` returns. Raises ``OSError`` if nobody receives it."""
    for at in range(0, max(len(descriptors), 1), DESCRIPTORS_MAX):
        some = descriptors[at : at + DESCRIPTORS_MAX]
        numbers = b"".join(number.to_bytes(4, sys.byteorder) for number in some)
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)] if some else []
        is_last = at + DESCRIPTORS_MAX >= len(descriptors)
        connection.sendmsg([data if is_last else MORE], rights)


def wrapper(connection: _socket.socket) -> None:
    """In a forked child: take turns until the channel is closed. Does not return."""
    channel = connection.fileno()
    try:
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        os.setsid()
        os.dup2(1, 2)  # the launcher's log is not the wrapper's
        unmarked = resource.getrlimit(MARKED)
        while True:
            asked, slots = received(connection)
            if not asked:
                return
            attempt = attempt_of(asked)
            turn = begin_turn(attempt)
            try:
                outputs, mark = begun(attempt, channel)
                pid, code = started(attempt, outputs, mark, slots, own_session=turn > 0)
                if turn and pid:
                    note_session(attempt, pid)
                text = ended(attempt, pid, code)
            except Unstarted as error:
                text = b"%d" % error.code
            end_turn(unmarked, slots)
            tell(channel, text)
            if not turn:
                return
    finally:  # whatever has happened, the wrapper must not return
        os._exit(0)


def attempt_of(asked: bytes) -> dict[str, str]:
    """The attempt that a request is for."""
    return dict(zip(FIELDS, map(os.fsdecode, asked.split(b"\0"))))  # noqa: B905 (3.9)


def begin_turn(attempt: dict[str, str]) -> int:
    """Give this process the number of the attempt's processes, and return the turn.

    Until its end is recorded, the wrapper itself is one of them.
    """
    turn = int(attempt["turn"])
    if turn:
        resource.setrlimit(MARKED, (int(attempt["number"]), resource.getrlimit(MARKED)[1]))
    return turn


def end_turn(unmarked: tuple[int, int], slots: list[int]) -> None:
    """Leave nothing of the attempt in this process."""
    resource.setrlimit(MARKED, unmarked)
    for slot in slots:
        os.close(slot)
    os.chdir("/")


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
    It holds the boot id, the wrapper's own line of /proc, the host, the pid namespace and the
    wrapper's turn: by these a launcher recognises the wrapper.
    """
    if os.read(channel, 1) != b"\n":
        raise Unstarted(NO_GO)
    try:
        os.chdir(attempt["directory"])
    except OSError:
        raise Unstarted(NO_DIRECTORY) from None
    claim = attempt["claim"]
    boot, line = attempt["boot"], text_of("/proc/self/stat").decode(errors="replace")
    text = f"{boot}\n{line}\n{attempt['host']}\n{attempt['namespace']}\n{attempt['turn']}\n"
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
    mark = attempt["mark"] or f"{boot} {os.getpid()} {ticks}"
    return outputs, f"{mark} {os.getcwd()}/{claim}"


def started(
    attempt: dict[str, str],
    outputs: list[int],
    mark: str,
    slots: list[int],
    *,
    own_session: bool,
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
            setsid=own_session,
        )
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.ENOMEM):
            raise Unstarted(UNFORKED) from None
        tell(outputs[1], b"%s: %s\n" % (program, str(error.strerror).encode()))
        return 0, MISSING if isinstance(error, FileNotFoundError) else UNEXECUTABLE
    finally:
        for output in outputs:
            os.close(output)
    return pid, 0


def note_session(attempt: dict[str, str], session: int) -> None:
    """Add the session that launch.sh has begun to the claim."""
    try:
        write(attempt["claim"], b"%d\n" % session, os.O_APPEND)
    except OSError:
        pass  # on a full disk: if this process is killed, its successors do not know the session


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
        used = f', "pid": {pid}, "cpu_s": {usage.ru_utime + usage.ru_stime:.4f}'
        if usage.ru_maxrss > own_rss:
            used += f', "max_rss_bytes": {usage.ru_maxrss * 1024}'
    text = f'{{"attempt": {attempt["attempt"]}, "code": {code}{used}}}\n'.encode()
    for path, flags in ((attempt["exit"], os.O_CREAT | os.O_TRUNC), (attempt["claim"], 0)):
        try:
            write(path, text, flags)
        except OSError:
            continue
        break
    return text


def write(path: str, data: bytes, flags: int) -> None:
    """Write into a file."""
    file = os.open(path, os.O_WRONLY | flags, 0o666)
    try:
        os.write(file, data)
    finally:
        os.close(file)


def text_of(path: str) -> bytes:
    """The first 4 kB of a file, without line ends at the end."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 4096).rstrip(b"\n")
    finally:
        os.close(file)


if __name__ == "__main__":
    main()
