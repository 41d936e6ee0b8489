"""What a subscriber makes of a study's messages, whatever happens to them on the way."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motoko.bus.messages import Beat, Replay, Resync, Transition
from motoko.bus.stream import Stream

STUDY = "s"


def tid(number):
    return f"{number:016x}"


def transition(seq, epoch="a", commit=None, run=1):
    return Transition(STUDY, run, "A", "B", tid(seq if commit is None else commit), epoch, seq)


def beat(seq, epoch="a", commit=None):
    return Beat(STUDY, tid(seq if commit is None else commit), epoch, seq)


def seqs(transitions):
    return [each.seq for each in transitions]


def answer(stream, transitions, seq, epoch="a", commit=None, **kwargs):
    wanted = stream.wanted
    return Replay(
        STUDY,
        wanted.to,
        wanted.request,
        "1",
        0,
        transitions,
        done=True,
        tid=tid(seq if commit is None else commit),
        epoch=epoch,
        seq=seq,
        **kwargs,
    )


@pytest.fixture
def stream():
    """One that has begun at 10."""
    stream = Stream(STUDY, "me")
    assert stream.beat(beat(10)).lost
    return stream


def test_in_order(stream):
    for seq in range(11, 20):
        news = stream.transition(transition(seq))
        assert seqs(news.ordered) == seqs(news.new) == [seq]
        assert not news.lost and stream.wanted is None
        assert stream.tid == tid(seq)
    assert not stream.beat(beat(19)).lost


def test_the_first_message_says_nothing_of_what_was_before():
    stream = Stream(STUDY, "me")
    news = stream.transition(transition(7))
    assert news.lost and seqs(news.ordered) == [7] and stream.wanted is None
    assert not stream.transition(transition(8)).lost


def test_doubled(stream):
    assert stream.transition(transition(11)).ordered
    news = stream.transition(transition(11))
    assert not (news.new or news.ordered or news.lost)


def test_gap(stream):
    news = stream.transition(transition(12))
    assert news.lost and news.gap and not news.resync
    assert seqs(news.new) == [12] and not news.ordered
    assert stream.wanted.after == tid(10)
    news = stream.transition(transition(13))  # held as well, and nothing new is missing
    assert seqs(news.new) == [13] and not news.ordered and not news.lost
    news = stream.replay(answer(stream, [transition(11), transition(12)], 12))
    assert seqs(news.ordered) == [11, 12, 13] and seqs(news.new) == [11]
    assert stream.wanted is None
    assert seqs(stream.transition(transition(14)).ordered) == [14]


def test_a_gap_that_a_beat_tells_of(stream):
    news = stream.beat(beat(12))
    assert news.lost and news.gap
    news = stream.replay(answer(stream, [transition(11), transition(12)], 12))
    assert seqs(news.ordered) == [11, 12]


def test_out_of_order(stream):
    assert not stream.transition(transition(12)).ordered
    assert seqs(stream.transition(transition(11)).new) == [11]
    news = stream.replay(answer(stream, [transition(11), transition(12)], 12))
    assert seqs(news.ordered) == [11, 12] and not news.new


def test_a_late_beat_is_nothing(stream):
    stream.transition(transition(11))
    assert not stream.beat(beat(10)).lost


def test_the_rest_of_a_transaction_is_asked_for(stream):
    stream.transition(transition(11, commit=11, run=1))
    stream.transition(transition(13, commit=11, run=5))
    assert stream.wanted.after == tid(10)
    everything = [transition(11 + i, commit=11, run=run) for i, run in enumerate((1, 3, 5))]
    news = stream.replay(answer(stream, everything, 13, commit=11))
    assert [each.run_id for each in news.ordered] == [3, 5]


def test_a_new_watcher(stream):
    """A new watcher begins a little before the old one's end, and counts from 1."""
    stream.transition(transition(11))
    news = stream.transition(transition(1, epoch="b", commit=11))
    assert not (news.new or news.ordered or news.lost)
    news = stream.transition(transition(2, epoch="b", commit=12))
    assert news.lost and news.resync and not news.gap
    news = stream.replay(answer(stream, [transition(2, "b", 12)], 2, "b", 12))
    assert [each.tid for each in news.ordered] == [tid(12)]
    assert stream.transition(transition(3, "b", 13)).ordered


def test_a_new_watcher_that_has_not_caught_up(stream):
    """Transitions that are published again are counted, and not passed on."""
    stream.transition(transition(11))
    assert stream.beat(beat(0, "b", 9)).resync
    stream.replay(answer(stream, [], 0, "b", 9))
    for seq, commit in ((1, 10), (2, 11)):
        assert not stream.transition(transition(seq, "b", commit)).ordered
    news = stream.transition(transition(3, "b", 12))
    assert [each.tid for each in news.ordered] == [tid(12)] and not news.lost


def test_resync_and_a_bus_that_was_away(stream):
    for event in (lambda: stream.resync(Resync(STUDY, tid(12), "a", "why")), stream.interrupted):
        news = event()
        assert news.lost and news.resync and stream.wanted is not None
        stream.replay(answer(stream, [], 10))
        assert stream.wanted is None


def test_parts(stream):
    stream.transition(transition(14))
    request = stream.wanted.request

    def part(number, *wanted, done=False):
        return Replay(
            STUDY, "me", request, "1", number, [transition(each) for each in wanted], done,
            tid=tid(14) if done else "", epoch="a", seq=14,
        )  # fmt: skip

    assert seqs(stream.replay(part(0, 11, 12)).ordered) == [11, 12]
    assert not stream.replay(part(0, 11, 12)).ordered  # doubled
    assert seqs(stream.replay(part(1, 13, 14, done=True)).ordered) == [13, 14]
    assert stream.wanted is None


def test_a_lost_part_is_asked_for(stream):
    stream.transition(transition(14))
    first = stream.wanted
    stream.replay(Replay(STUDY, "me", first.request, "1", 0, []))
    stream.replay(Replay(STUDY, "me", first.request, "1", 2, [transition(13)]))
    second = stream.wanted
    assert second.request != first.request and second.after == tid(10)
    # What answers the first request is late now.
    assert not stream.replay(Replay(STUDY, "me", first.request, "1", 0, [transition(11)])).ordered


def test_a_hole(stream):
    stream.transition(transition(14))
    news = stream.replay(answer(stream, [transition(14)], 14, complete=False))
    assert news.hole and seqs(news.ordered) == [14]


def test_replay_first():
    stream = Stream(STUDY, "me", after=tid(3))
    assert stream.wanted.after == tid(3)
    assert not stream.transition(transition(6)).ordered
    news = stream.replay(answer(stream, [transition(4), transition(5)], 5))
    assert seqs(news.ordered) == [4, 5, 6]


class Watcher:
    """One that publishes into a channel, answers, and is replaced by others."""

    def __init__(self, rng):
        self.rng = rng
        self.names = itertools.count()
        self.log = []  # (commit, run)
        self.commit = 100
        self.restart(0)

    def restart(self, checkpoint):
        self.epoch, self.seq = f"e{next(self.names)}", 0
        while (
            0 < checkpoint < len(self.log)
            and self.log[checkpoint - 1][0] == self.log[checkpoint][0]
        ):
            checkpoint -= 1  # a transaction is known as a whole, or not
        self.known = checkpoint

    def committed(self):
        self.commit += 1
        runs = self.rng.sample(range(9), self.rng.randrange(1, 4))
        self.log += [(self.commit, run) for run in sorted(runs)]

    def publish(self):
        """What it has not published yet in this life."""
        for commit, run in self.log[self.known :]:
            self.seq += 1
            yield transition(self.seq, self.epoch, commit, run)
        self.known = len(self.log)

    def answer(self, request):
        told = [each for each in self.log[: self.known] if tid(each[0]) > request.after]
        parts = [told[first : first + 2] for first in range(0, len(told), 2)] or [[]]
        name = str(next(self.names))
        for number, part in enumerate(parts):
            yield Replay(
                STUDY, request.to, request.request, name, number,
                [transition(0, "replayed", commit, run) for commit, run in part],
                done=number == len(parts) - 1,
                tid=tid(self.log[self.known - 1][0]) if self.known else tid(100),
                epoch=self.epoch, seq=self.seq,
            )  # fmt: skip


@settings(max_examples=200)
@given(rng=st.randoms(use_true_random=False), steps=st.integers(0, 150))
def test_everything_is_handed_on_once_and_in_order(rng, steps):
    watcher, stream = Watcher(rng), Stream(STUDY, "me", after=tid(100))
    channel, handed_on, woken = [], [], set()

    def take(message):
        match message:
            case Transition():
                news = stream.transition(message)
            case Beat():
                news = stream.beat(message)
            case Replay():
                news = stream.replay(message)
        handed_on.extend((each.tid, each.run_id) for each in news.ordered)
        woken.update((each.tid, each.run_id) for each in news.new)

    def send(message):
        for _ in range(rng.choice((0, 1, 1, 1, 1, 1, 2))):
            channel.insert(rng.randrange(max(0, len(channel) - 3), len(channel) + 1), message)

    for _ in range(steps):
        match rng.randrange(8):
            case 0 | 1 | 2:
                watcher.committed()
                for message in watcher.publish():
                    send(message)
            case 3 | 4:
                for message in channel[: rng.randrange(6)]:
                    channel.remove(message)
                    take(message)
            case 5:
                send(beat(watcher.seq, watcher.epoch, watcher.commit))
            case 6 if rng.random() < 0.3:
                watcher.restart(rng.randrange(max(0, watcher.known - 4), watcher.known + 1))
            case 7 if stream.wanted is not None:
                for message in watcher.answer(stream.wanted):
                    send(message)
    # In the end nothing is lost any more, and beats go on.
    for _ in range(20):
        for message in channel:
            take(message)
        channel.clear()
        channel += watcher.publish()
        channel.append(beat(watcher.seq, watcher.epoch, watcher.commit))
        if stream.wanted is not None:
            channel += watcher.answer(stream.wanted)
    assert handed_on == [(tid(commit), run) for commit, run in watcher.log]
    assert woken == set(handed_on) and stream.wanted is None
