"""A client's session with a ZEO server, kept while there is no server. Pure: bytes in, bytes out.

The session remembers the client's unanswered calls and its open transaction. After a loss it greets
the next server in the client's name and asks what has been committed meanwhile. It tells the client
so, as if the connection had never been lost, and makes the unanswered calls again.

The session is cut where it could not tell the client the truth: another or an older database, more
news than a server remembers, a call that cannot be made twice, or a commit with unknown result.
A client that comes while there is no server counts as idle once its first calls were answered.
"""

from __future__ import annotations

import enum
from collections.abc import Generator
from typing import Any

from motoko.channel.relay.known_server import LATEST, REGISTRATION, KnownServer
from motoko.channel.relay.open_transaction import OpenTransaction
from motoko.channel.relay.zeo_framing import (
    IN_TRANSACTIONS,
    KEEP_ALIVE,
    NEWS,
    PICKLES,
    REPEATABLE,
    REPLY,
    Message,
    Stream,
    Unreadable,
    content,
    read,
    written,
)

_OWN = -2  # our own calls are numbered downwards from here; the clients' upwards from 1
_IN_VAIN = 10  # this many servers may be lost one after the other without an answer

_Call = tuple[str, tuple[Any, ...]]
_Resumption = Generator[list[_Call], list[Message], None]


class _Cut(Exception):
    """Why the client cannot be kept."""


class _Phase(enum.Enum):
    AWAY = enum.auto()  # there is no server
    GREETING = enum.auto()  # there is a server, which has not greeted yet
    RESUMING = enum.auto()  # the session is being resumed
    LIVE = enum.auto()  # client and server speak with each other


class PatientSession:
    """One client's session.

    Args:
        known: what is known of the server, which the session keeps up to date.

    Attributes:
        to_client: the bytes for the client; the caller sends them and removes them here.
        to_server: the bytes for the server; the caller sends them and removes them here.
        end: why the client must be cut once ``to_client`` was sent; empty if it need not be cut.
    """

    def __init__(self, known: KnownServer) -> None:
        self.to_client = bytearray()
        self.to_server = bytearray()
        self.end = ""
        self._known = known
        self._recalls = False  # whether a client's first calls are answered without a server
        self._phase = _Phase.AWAY
        self._client, self._server = Stream(), Stream()
        self._hello: bytes | None = None  # the server's greeting
        self._greeting: bytes | None = None  # the client's
        self._impatient = ""  # why a loss cannot be hidden
        self._registration: tuple[Any, ...] = ()
        self._tid: bytes | None = None  # the last transaction that the client knows of
        self._witness: tuple[bytes, bytes] | None = None  # a record of the database: oid and tid
        self._open: dict[Any, tuple[Message, bytes]] = {}  # calls without an answer
        self._transaction: OpenTransaction | None = None
        self._losses = 0  # how many servers were lost since the last answer
        self._resumption: _Resumption | None = None
        self._asked: dict[int, Message | None] = {}  # our own calls, with their answers
        self._news: list[tuple[bytes, bytes]] = []  # news during resuming: tid and message

    @property
    def is_live(self) -> bool:
        """Whether the client speaks with a server."""
        return self._phase is _Phase.LIVE

    @property
    def is_idle(self) -> bool:
        """Whether the client has an answer to each of its calls."""
        return not self._open

    @property
    def is_kept_waiting(self) -> bool:
        """Whether the client still waits for first answers that ``recall`` could give it."""
        first = [call for call, _ in self._open.values() if self._known.recalled(call)]
        return self._known.is_complete and (self._hello is None or bool(first))

    def recall(self) -> None:
        """Answer the client's first calls from what is known, until a server does."""
        if not self._known.is_complete or self.is_live:
            return
        self._recalls = True
        if self._hello is None:
            self._hello = self._known.hello
            self.to_client += self._hello
        for call, _ in list(self._open.values()):
            self._answer(call)

    def connected(self) -> None:
        """There is a server, with a new connection from which nothing has been read yet."""
        self._phase = _Phase.GREETING

    def lost(self) -> None:
        """The connection to the server is lost, or could not be used."""
        if self._phase is _Phase.AWAY or self.end:
            return
        greeted = self._phase is not _Phase.GREETING
        self._phase = _Phase.AWAY
        self._server, self._resumption = Stream(), None
        self._asked.clear()
        self._news.clear()
        self.to_server.clear()
        if self._open and greeted:
            self._losses += 1
        self.end = self._impatient or self._irretrievable()

    def from_client(self, data: bytes) -> None:
        """Take bytes that the client has sent."""
        self._taking(self._client, data, self._of_client, self.to_server)

    def from_server(self, data: bytes) -> None:
        """Take bytes that the server has sent."""
        self._taking(self._server, data, self._of_server, self.to_client)

    def _taking(self, stream: Stream, data: bytes, take: Any, onwards: bytearray) -> None:
        if self.end:
            return
        if self._impatient:
            onwards += stream.rest() + data
            return
        messages = stream.messages(data)
        try:
            for message in messages:
                take(message)
                if self._impatient:
                    onwards += b"".join(messages) + stream.rest()
                    if not self.is_live:
                        self.end = self._impatient
        except Unreadable as error:
            self.end = f"a message cannot be read: {error}"
        except _Cut as reason:
            self.end = str(reason)

    # Messages of the client.

    def _of_client(self, message: bytes) -> None:
        if self._greeting is None:
            self._greeting = message
            if content(message) != PICKLES:
                self._impatient = f"a client that greets with {content(message)[:16]!r}"
            if self.is_live:
                self.to_server += message
            return
        call = read(message)
        if call.number == KEEP_ALIVE:
            if self.is_live:
                self.to_server += message
            return
        if call.flag:
            self._note_part(call, message)
        else:
            self._note_call(call, message)
        if self.is_live:
            self.to_server += message

    def _note_part(self, call: Message, message: bytes) -> None:
        """Note a call that expects no answer."""
        if call.name == "tpc_begin":
            self._transaction = OpenTransaction(message, call.content[0])
        elif call.name in IN_TRANSACTIONS and self._transaction is not None:
            self._transaction.add(call, message)
        elif call.name not in {*IN_TRANSACTIONS, "set_client_label", "iterator_gc"}:
            self._impatient = f"an unknown call {call.name}"

    def _note_call(self, call: Message, message: bytes) -> None:
        if call.name == "register":
            self._registration = call.content
            if call.content != REGISTRATION:
                self._known = KnownServer()  # what it learns is not true for other clients
        elif call.name == "tpc_abort":
            self._transaction = None
        elif call.name == "tpc_finish" and self._transaction is not None and self.is_live:
            self._transaction.is_finishing = True
        elif call.name == "iterator_start":
            self._impatient = "it reads with an iterator, which was the server's"
        self._open[call.number] = (call, message)
        if self._recalls and not self.is_live:
            self._answer(call)

    def _answer(self, call: Message) -> None:
        """Answer one of the first calls in the server's place, if the answer is known."""
        if not (answer := self._known.recalled(call)):
            return
        if call.name == "register":
            self._tid, self._witness = self._known.tid, self._known.witness
        del self._open[call.number]
        self.to_client += written(call.number, False, REPLY, answer)

    # Messages of the server.

    def _of_server(self, message: bytes) -> None:
        if self._phase is _Phase.GREETING:
            self._greeted(message)
            return
        parts = read(message)
        if parts.name == REPLY and parts.number in self._asked:
            self._asked[parts.number] = parts
            self._go_on()
        elif parts.name == NEWS and self._phase is _Phase.RESUMING:
            self._news.append((parts.content[0], message))
        elif self._phase is _Phase.LIVE:
            if parts.name == REPLY:
                self._note_answer(parts)
            elif parts.name == NEWS:
                self._note_news(*parts.content[:2])
            self.to_client += message

    def _note_answer(self, parts: Message) -> None:
        self._losses = 0
        call, _ = self._open.pop(parts.number, (parts, b""))
        name, transaction = call.name, self._transaction
        if name == "register" and not parts.flag:
            self._known.registered(parts.content)
            self._tid = self._known.tid
            if self._tid is None:
                self._impatient = "a server that does not say what it has committed"
        elif name == "get_info" and not parts.flag:
            self._known.info = parts.content
        elif name == "loadBefore" and not parts.flag and parts.content:
            self._note_record(call.content[0], parts.content[1])
        elif name == "vote" and transaction is not None:
            if parts.flag:
                self._transaction = None  # the server has dropped it
            elif not any(isinstance(item, dict) for item in parts.content or ()):
                transaction.vote = parts
        elif name == "tpc_finish":
            self._transaction = None
            if not parts.flag and isinstance(parts.content, bytes):
                self._note_news(parts.content, transaction.oids if transaction else [])

    def _note_news(self, tid: bytes, oids: list[bytes]) -> None:
        """Note that the client is told of a commit."""
        self._known.committed(tid)
        self._tid = tid if self._tid is None else max(self._tid, tid)
        if oids:
            self._note_record(oids[0], tid)

    def _note_record(self, oid: bytes, tid: bytes) -> None:
        if self._witness is None or tid > self._witness[1]:
            self._witness = (oid, tid)
            self._known.witness = self._witness

    # The next server.

    def _irretrievable(self) -> str:
        """Why another server cannot make up for the lost one; empty if it can."""
        if self._losses > _IN_VAIN:
            return f"{self._losses} servers were lost without an answer"
        for call, _ in self._open.values():
            if call.name not in REPEATABLE:
                return f"a call {call.name} was not answered, which cannot be repeated"
        transaction = self._transaction
        if transaction is not None and not transaction.is_kept:
            return "it was in the middle of a commit that is too large to be kept, or has blobs"
        return ""

    def _greeted(self, hello: bytes) -> None:
        self._known.hello = hello if content(hello) == PICKLES else b""
        if self._hello is None:
            self._hello = hello
            self.to_client += hello
            self._phase = _Phase.LIVE
            if content(hello) != PICKLES:
                self._impatient = f"a server that greets with {content(hello)[:16]!r}"
            return
        if hello != self._hello:
            raise _Cut(f"another server has come, which greets with {content(hello)[:16]!r}")
        if self._greeting is None:
            self._phase = _Phase.LIVE
            return
        self.to_server += self._greeting
        if self._tid is None:
            self._repeat()
            return
        self._phase = _Phase.RESUMING
        self._resumption = self._resuming(self._tid)
        self._ask(next(self._resumption))

    def _ask(self, calls: list[_Call]) -> None:
        self._asked = {_OWN - turn: None for turn in range(len(calls))}
        for number, (name, arguments) in zip(self._asked, calls, strict=True):
            self.to_server += written(number, False, name, arguments)

    def _go_on(self) -> None:
        """Go on with resuming, if all answers have come."""
        answers = [answer for answer in self._asked.values() if answer is not None]
        if len(answers) < len(self._asked) or self._resumption is None:
            return
        self._asked = {}
        try:
            self._ask(self._resumption.send(answers))
        except StopIteration:
            self._resumption = None
            self._repeat()

    def _resuming(self, tid: bytes) -> _Resumption:
        """Resume the session; yields calls to the server, and is sent their answers."""
        calls: list[_Call] = [("register", self._registration), ("getInvalidations", (tid,))]
        if self._witness is not None:
            calls.append(("loadSerial", self._witness))
        registered, changes, *witness = yield calls
        if registered.flag or not isinstance(registered.content, bytes):
            raise _Cut(f"the server does not register it again: {registered.content}")
        if registered.content < tid:
            raise _Cut("the server has an older state of the database")
        if any(record.flag for record in witness):
            raise _Cut("the server has another database")
        if changes.flag or not changes.content:
            raise _Cut("more has changed meanwhile than the server remembers")
        self._known.registered(registered.content)
        self._known.witness = self._witness or self._known.witness
        latest, oids = changes.content
        transaction = self._transaction
        if transaction is not None and transaction.is_finishing:
            own = transaction.oids
            if not own or not set(own).isdisjoint(oids):
                present = yield [("loadBefore", (oid, LATEST)) for oid in own]
                oids = [oid for oid in oids if oid not in own]
                self._committed(transaction.tid(present), oids)
                transaction = None
        self._tell(latest, oids)
        if transaction is not None and transaction.vote is not None:
            yield from self._voting(transaction, transaction.vote)

    def _committed(self, tid: bytes | None, others: list[bytes]) -> None:
        """Give the client the answer to its commit, which was done and lost with the server."""
        (finish,) = (call for call, _ in self._open.values() if call.name == "tpc_finish")
        if tid is None:
            raise _Cut("nobody can tell whether its commit was done")
        # Other clients may have committed before. The client must know of that first, because it
        # accepts transactions only in their order.
        self._tell((int.from_bytes(tid) - 1).to_bytes(8), others)
        answer = written(finish.number, False, REPLY, tid)
        self._note_answer(read(answer))
        self.to_client += answer

    def _voting(self, transaction: OpenTransaction, vote: Message) -> _Resumption:
        """Repeat a transaction up to its vote: then the server only has to commit it."""
        for message in transaction.messages:
            self.to_server += message
        (again,) = yield [("vote", (transaction.number,))]
        if again.flag or again.content != vote.content:
            raise _Cut("it was in the middle of a commit, and others have changed the same")
        if transaction.is_finishing:
            # Now no other client commits, not even the client's earlier connection.
            assert self._tid is not None
            (changes,) = yield [("getInvalidations", (self._tid,))]
            since = None if changes.flag or not changes.content else changes.content[1]
            if since is None or not set(transaction.oids).isdisjoint(since):
                raise _Cut("nobody can tell whether its commit was done")

    def _tell(self, tid: bytes, oids: list[bytes]) -> None:
        """Tell the client what was committed, if it does not know yet."""
        assert self._tid is not None
        if tid > self._tid:
            self.to_client += written(0, True, NEWS, (tid, oids))
            self._tid = tid

    def _repeat(self) -> None:
        """Repeat the calls that no server has answered, and go on."""
        transaction = self._transaction
        if transaction is not None:
            if transaction.vote is None:
                for message in transaction.messages:
                    self.to_server += message
            elif any(call.name == "tpc_finish" for call, _ in self._open.values()):
                transaction.is_finishing = True
        for _, message in self._open.values():
            self.to_server += message
        for tid, message in self._news:
            if self._tid is None or tid > self._tid:
                self._note_news(*read(message).content[:2])
                self.to_client += message
        self._news.clear()
        self._phase = _Phase.LIVE
