"""One study's transitions as a subscriber gets them: what is new, what is missing. Pure logic.

Messages may be lost, doubled, late or out of order, and the watcher that counts them may be
replaced by another. Transitions that come in order are handed on at once. If one is missing, all
later ones are held back until the watcher has replayed it. So each transition is handed on once,
in the order of the commits. (Waiters that only want to be woken need not wait for the replay:
they are told at once that a message was lost, and read the database.)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from motoko.bus.messages import Beat, Replay, ReplayRequest, Resync, Transition

HELD_MAX = 20_000
LAST = 1 << 62  # greater than any run id


@dataclass
class News:
    """What a message means.

    Attributes:
        new: transitions that were not known, in any order: waiters are woken with them.
        ordered: transitions in the order of the commits, each once, with no gap before them.
        lost: messages were lost that are not in ``new``: waiters must read again.
        gap: transitions were missing in the sequence.
        resync: another watcher counts now, or the watcher itself has missed transitions.
        hole: a part of the history is gone for good, with transitions that precede ``ordered``.
    """

    new: list[Transition] = field(default_factory=list)
    ordered: list[Transition] = field(default_factory=list)
    lost: bool = False
    gap: bool = False
    resync: bool = False
    hole: bool = False


class Stream:
    """Follows one study.

    Args:
        study: its name.
        to: the token under which replays are asked for.
        after: hand on all transitions after this tid; the watcher replays them first. Without it
            the stream begins with the first message.

    Attributes:
        tid: the newest transaction that any message has named (hexadecimal).
        known: the newest transaction that the process knew of before the first message came.
    """

    def __init__(self, study: str, to: str, after: str | None = None) -> None:
        self.study = study
        self.tid = after or ""
        self.known = ""
        self._to = to
        self._epoch: str | None = None
        self._seq = 0
        self._place = (after or "", LAST)  # of the last that was handed on
        self._held: dict[tuple[str, int], Transition] = {}
        self._request = 0
        self._answer = ""
        self._part = 0
        self._asking = False
        self._hole = False
        if after is not None:
            self._ask()

    @property
    def wanted(self) -> ReplayRequest | None:
        """The request to send, and to repeat until it has been answered; or ``None``."""
        if not self._asking:
            return None
        tid, run_id = self._place
        if tid and run_id != LAST:  # the rest of that transaction is wanted, too
            tid = f"{int(tid, 16) - 1:016x}"
        return ReplayRequest(self.study, self._to, self._request, tid)

    def transition(self, message: Transition) -> News:
        """A transition has come."""
        follows = (message.epoch, message.seq) == (self._epoch, self._seq + 1)
        if message.place <= self._place or message.place in self._held:
            if follows and not self._asking:
                self._seq = message.seq  # a new watcher begins a little before the last one's end
            return News()
        self.tid = max(self.tid, message.tid)
        news = News(new=[message])
        if self._asking:
            self._hold(message)
        elif self._epoch is None:
            # There is no telling what was lost before the first message.
            news.lost = True
            self._begin(message.epoch, message.seq, message.place)
            news.ordered.append(message)
        elif follows:
            self._seq, self._place = message.seq, message.place
            news.ordered.append(message)
        else:
            self._missed(news, message.epoch)
            self._hold(message)
        return news

    def beat(self, message: Beat) -> News:
        """A beat has come."""
        news = News()
        self.tid = max(self.tid, message.tid)
        if self._asking:
            return news
        if self._epoch is None:
            news.lost = message.tid > self.known
            if message.tid:
                self._begin(message.epoch, message.seq, (message.tid, LAST))
        elif message.epoch != self._epoch or message.seq > self._seq:
            self._missed(news, message.epoch)
        return news

    def resync(self, message: Resync) -> News:
        """The watcher itself may have missed some of the study's transitions."""
        return self.interrupted()

    def interrupted(self) -> News:
        """Messages may have been lost: the bus was away, say."""
        if not self._asking:
            self._ask()
        return News(lost=True, resync=True)

    def replay(self, message: Replay) -> News:
        """A part of an answer has come."""
        news = News()
        if not self._asking or message.request != self._request:
            return news  # the answer to an earlier request
        if message.part == 0:
            self._answer, self._part = message.answer, 0
        if message.answer != self._answer:
            return news
        if message.part != self._part:
            if message.part > self._part:
                self._ask()  # a part was lost
            return news
        self._part += 1
        for change in message.transitions:
            if change.place > self._place:
                self._place = change.place
                news.ordered.append(change)
                if self._held.pop(change.place, None) is None:
                    news.new.append(change)
        news.hole = not message.complete and not self._hole  # all later parts say so, too
        self._hole = self._hole or news.hole
        self.tid = max(self.tid, message.tid)
        if message.done:
            self._asking = False
            self._begin(message.epoch, message.seq, max(self._place, (message.tid, LAST)))
            self._release(news)
        return news

    def _begin(self, epoch: str, seq: int, place: tuple[str, int]) -> None:
        self._epoch, self._seq, self._place = epoch, seq, place

    def _missed(self, news: News, epoch: str) -> None:
        news.lost = True
        news.gap = epoch == self._epoch
        news.resync = not news.gap
        self._ask()

    def _ask(self) -> None:
        self._asking = True
        self._request += 1
        self._answer = ""
        self._hole = False

    def _hold(self, message: Transition) -> None:
        if len(self._held) >= HELD_MAX:
            self._held.clear()  # to be replayed as well
        self._held[message.place] = message

    def _release(self, news: News) -> None:
        """Hand on the transitions that have come meanwhile, as far as they are in order."""
        held = sorted(self._held.items())
        self._held.clear()
        for place, message in held:
            if place > self._place:
                later = self.transition(message)
                news.ordered += later.ordered
                news.lost |= later.lost
                news.gap |= later.gap
                news.resync |= later.resync
