"""The workflow's sockets on a host that is not its head, served by all of its relays there.

Each relay holds the listening sockets themselves: the first relay makes them, and each further one
gets them from a living one. So the end of a relay, whatever ends it, leaves no gap. Next to these
sockets, in ``relays/``, each relay has its own socket. Over it relays give each other the listening
sockets, and connections that another relay has to serve.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import socket
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from motoko.channel.relay import descriptor_messages as messages
from motoko.channel.relay.descriptor_messages import DESCRIPTORS_MAX, Mark, Message
from motoko.channel.relay.keeper import Keeping
from motoko.channel.relay.kept_sockets import keep_socket, left_sockets
from motoko.errors import MotokoError
from motoko.host.private_places import is_private, keeps_names

FOLDER = "relays"
_LOCK = "lock"
_RECORD = "sockets.json"  # which files the relays have made
_BACKLOG = 256
FIRST_ANSWER_S = 0.2
ANSWER_S = 1.0
_TRY_S = 0.02


class UnusableSockets(MotokoError):
    """The workflow's sockets cannot be made on this host."""


class Held(NamedTuple):
    """A listening socket, and the mark of its file."""

    listener: socket.socket
    mark: Mark


class SharedSockets:
    """One relay's part in the shared sockets.

    Args:
        directory: the directory of the sockets, the same here and on the head.
        name: the name of this relay.
        replaced: called with a socket's name, with the socket that listens there from now on, and
            with the one that did before, which must be emptied and closed.
        keeping: holds what the relay before has left, and keeps things for the next.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        replaced: Callable[[str, socket.socket, socket.socket | None], None],
        keeping: Keeping,
    ) -> None:
        self.directory = directory
        self.name = name
        self.own: socket.socket | None = None
        self._own_mark: Mark | None = None
        self._replaced = replaced
        self._keeping = keeping
        self._held: dict[str, Held] = {}
        self._folder = directory / FOLDER

    # Getting the sockets

    def is_settled(self, names: Sequence[str]) -> bool:
        """Whether all sockets exist, and this relay holds them."""
        return (
            self.own is not None
            and Mark.of(self._folder / self.name) == self._own_mark
            and all(map(self._holds, names))
        )

    def settle(self, names: Sequence[str], timeout: float) -> bool:
        """Get the sockets from other relays, or make them; ``False`` if the lock is taken.

        Raises ``UnusableSockets``, ``OSError``.
        """
        if self.is_settled(names):
            return True
        with self._alone(timeout) as is_alone, contextlib.ExitStack() as opened:
            if not is_alone:
                return False
            folder = opened.enter_context(open_directory(self._folder))
            before = list(self._predecessor(folder))
            self._bind_own(folder)
            others = [opened.enter_context(other) for other in (*before, *self._others(folder))]
            missing = [name for name in names if not self._holds(name)]
            # There may be many relays of suspended jobs, which do not answer.
            for other, patience in [(o, t) for t in (FIRST_ANSWER_S, ANSWER_S) for o in others]:
                if missing:
                    self._ask(other, patience)
                    missing = [name for name in missing if not self._holds(name)]
            made = [name for name in missing if self._make(name)]
            if made:
                self._record()
                for other in others:
                    with contextlib.suppress(OSError):
                        self.tell(other, made)
        return True

    def _holds(self, name: str) -> bool:
        held = self._held.get(name)
        return held is not None and Mark.of(self.directory / name) == held.mark

    @contextlib.contextmanager
    def _alone(self, timeout: float) -> Iterator[bool]:
        """Hold the lock of this host's relays; ``False`` if it cannot be taken in time."""
        deadline = time.monotonic() + timeout
        while (descriptor := self._lock()) is None and time.monotonic() < deadline:
            select.select([], [], [], _TRY_S)
        try:
            yield descriptor is not None
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _lock(self) -> int | None:
        """The descriptor of the lock; ``None`` if another relay holds or just removed it."""
        path = self._folder / _LOCK
        try:
            self._make_directories()
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return descriptor
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def _make_directories(self) -> None:
        try:
            with contextlib.suppress(FileExistsError):
                self.directory.parent.mkdir(mode=0o700, parents=True)
            for path in (self.directory, self._folder):
                # An account that may rename our directory could put its own in its place.
                if not keeps_names(path.parent):
                    raise UnusableSockets(f"another account may replace {path}")
                with contextlib.suppress(FileExistsError):
                    path.mkdir(mode=0o700)
                if not is_private(path):
                    raise _not_ours(path)
        except FileNotFoundError:
            raise  # the last relay has just removed the directory
        except OSError as error:
            raise UnusableSockets(f"{self.directory} cannot be made: {error.strerror}") from error

    def inherit(self) -> None:
        """Take over the sockets of the relay before, as far as their files are still the same."""
        for name, listener, mark in left_sockets(self._keeping, self.directory):
            self._hold(name, listener, mark)
        for name, listener, mark in left_sockets(self._keeping, self._folder):
            if name == self.name:
                self._listen(listener, mark)

    def _predecessor(self, folder: int) -> Iterator[socket.socket]:
        """A connection to a living relay of this name, whose keeper was killed."""
        if self.own is None:
            with contextlib.suppress(OSError):
                yield messages.connect(folder, self.name)

    def _listen(self, own: socket.socket, mark: Mark | None) -> None:
        before, self.own, self._own_mark = self.own, own, mark
        self._replaced("", own, before)
        keep_socket(self._keeping, self._folder / self.name, own, mark)

    def _bind_own(self, folder: int) -> None:
        path = self._folder / self.name
        if self.own is not None and Mark.of(path) == self._own_mark:
            return
        path.unlink(missing_ok=True)
        own = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        own.setblocking(False)
        own.bind(messages.short_path(folder, self.name))
        own.listen(_BACKLOG)
        self._listen(own, Mark.of(path))

    def _others(self, folder: int) -> Iterator[socket.socket]:
        """Connections to the other living relays; the sockets of dead ones are removed."""
        for entry in sorted(os.listdir(folder)):
            if entry in (_LOCK, _RECORD, self.name):
                continue
            try:
                yield messages.connect(folder, entry)
            except ConnectionRefusedError:
                (self._folder / entry).unlink(missing_ok=True)
            except OSError:
                continue  # the relay is stopped, and too many connections wait for it

    def _ask(self, other: socket.socket, patience: float) -> None:
        """Take over what another relay holds, if it answers in time."""
        with contextlib.suppress(OSError):
            messages.send(other, {"give": True}, [])
            while select.select([other], [], [], patience)[0]:
                answer = messages.receive(other)
                if answer is None:
                    return
                self.take(answer)
                if not answer.words.get("more"):
                    return

    def _make(self, name: str) -> bool:
        """Make a socket that no relay has."""
        path = self.directory / name
        self._clear(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.setblocking(False)
        # Bound by its full path: BlackDynamite looks for that among the sockets of this host.
        try:
            listener.bind(str(path))
        except OSError as error:
            listener.close()
            raise UnusableSockets(f"{path} cannot be made: {error.strerror or error}") from error
        listener.listen(_BACKLOG)
        mark = Mark.of(path)
        if mark is None:
            listener.close()
            return False
        self._hold(name, listener, mark)
        return True

    def _clear(self, path: Path) -> None:
        """Remove a file at a socket's path; ``UnusableSockets`` if a process still uses it."""
        mark = Mark.of(path)
        if mark is None:
            return
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise UnusableSockets(f"{path} is no socket", hint="remove it on that host")
        if list(mark) not in self._recorded() and _answers(path):
            raise UnusableSockets(
                f"{path} is served by another process of this host",
                hint="is the workflow supervised here, too?",
            )
        path.unlink(missing_ok=True)

    def _record(self) -> None:
        marks = [held.mark for held in self._held.values()]
        path = self._folder / _RECORD
        draft = path.with_name(f"{_RECORD}.new")
        draft.write_text(json.dumps(marks))
        draft.replace(path)

    def _recorded(self) -> list[list[int]]:
        with contextlib.suppress(OSError, ValueError):
            marks = json.loads((self._folder / _RECORD).read_text())
            if isinstance(marks, list):
                return marks
        return []

    def _hold(self, name: str, listener: socket.socket, mark: Mark) -> None:
        before = self._held.get(name)
        self._held[name] = Held(listener, mark)
        self._replaced(name, listener, before.listener if before else None)
        keep_socket(self._keeping, self.directory / name, listener, mark)

    # Between relays

    def tell(self, other: socket.socket, names: Sequence[str] | None = None) -> None:
        """Give another relay all held sockets, or some of them. Raises ``OSError``."""
        wanted = [name for name in self._held if names is None or name in names]
        for start in range(0, max(len(wanted), 1), DESCRIPTORS_MAX):
            part = {name: self._held[name] for name in wanted[start : start + DESCRIPTORS_MAX]}
            words = {
                "held": {name: held.mark for name, held in part.items()},
                "more": start + DESCRIPTORS_MAX < len(wanted),
            }
            messages.send(other, words, [held.listener.fileno() for held in part.values()])

    def take(self, message: Message) -> None:
        """Hold the sockets that another relay gives, as far as their files are the same."""
        marks = message.words.get("held")
        if not isinstance(marks, dict) or len(marks) != len(message.descriptors):
            message.drop()
            return
        for (name, values), descriptor in zip(marks.items(), message.descriptors, strict=True):
            listener, mark = socket.socket(fileno=descriptor), Mark(*values)
            if self._holds(name) or Mark.of(self.directory / name) != mark:
                listener.close()
            else:
                self._hold(name, listener, mark)

    def knows(self, name: str) -> bool:
        """Whether another relay of this name is or was on this host."""
        return name != self.name and (self._folder / name).is_socket()

    def hand_over(self, name: str, socket_name: str, client: socket.socket) -> bool:
        """Hand a connection to the relay that has to serve it; whether that worked."""
        try:
            with open_directory(self._folder) as folder, messages.connect(folder, name) as other:
                messages.send(other, {"serve": socket_name}, [client.fileno()])
        except OSError:
            return False
        return True

    # Ending

    def leave(self, timeout: float) -> None:
        """Give up all sockets. The last relay of this host removes their files."""
        with contextlib.suppress(OSError), self._alone(timeout) as is_alone:
            mark = Mark.of(self._folder / self.name)
            if mark == self._own_mark:
                (self._folder / self.name).unlink(missing_ok=True)
            is_followed = mark not in (None, self._own_mark)
            if is_alone and not is_followed:
                with open_directory(self._folder) as folder:
                    others = list(self._others(folder))
                for other in others:
                    other.close()
                if not others:
                    self._remove()
        for held in self._held.values():
            held.listener.close()
        if self.own is not None:
            self.own.close()

    def give_way(self) -> None:
        """Leave the sockets to this host's own servers."""
        for name in self._held:
            if self._holds(name):
                (self.directory / name).unlink(missing_ok=True)

    def _remove(self) -> None:
        self.give_way()
        for name in (_RECORD, _LOCK):
            (self._folder / name).unlink(missing_ok=True)
        for path in (self._folder, self.directory, self.directory.parent):
            if path == self.directory.parent and path.name != f"motoko-{os.getuid()}":
                return  # it is not one of Motoko's directories
            try:
                path.rmdir()
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
                    raise
                return


@contextlib.contextmanager
def open_directory(directory: Path) -> Iterator[int]:
    """The descriptor of a directory, by which its files have short paths."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _not_ours(path: Path) -> UnusableSockets:
    """Why a directory is not private to this account. ``FileNotFoundError`` if it is gone."""
    info = path.lstat()
    if not stat.S_ISDIR(info.st_mode):
        return UnusableSockets(f"{path} is no directory", hint="remove it on that host")
    if info.st_uid != os.getuid():
        return UnusableSockets(
            f"{path} belongs to another account (uid {info.st_uid})",
            hint="that account, or an administrator, can remove it on that host",
        )
    return UnusableSockets(f"{path} can be entered by others", hint="chmod 700 it on that host")


def _answers(path: Path) -> bool:
    """Whether a process listens at a socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True
