"""An executor that starts nothing, and notes what it is told."""

from motoko.workers.launcher.ahead import Ahead
from motoko.workers.launcher.hindrances import Hindered


class PuppetStart:
    def __init__(self, log, prepared, place):
        self.log, self.key, self.place = log, (prepared.run_id, prepared.attempt), place

    def mark(self, entries):
        assert entries["state"] == "launched"

    def begin(self):
        self.log.append(("begin", *self.key, *self.place))

    def abandon(self):
        self.log.append(("abandon", *self.key))


class PuppetExecutor:
    """Has so many places; starts nothing."""

    widest = 2

    def __init__(self, places):
        self.places = places
        self.ahead = Ahead(2)
        self.is_short = False
        self.reach = 10
        self.log = []
        self.released = []
        self.hindrance = None  # of all
        self.can_start = 99  # before it is hindered
        self.attended = 0
        self.expected = []  # whether more runs will come at once, and when the next one does

    def room(self, widths):
        if self.hindrance and widths:
            raise Hindered(self.hindrance)
        places = [[number] for number in range(self.places)][: len(widths)]
        self.is_short = len(places) < len(widths)
        return places

    def release(self, places):
        self.released += places

    def proceed(self):
        pass

    def expect(self, *, more, next_at):
        self.expected.append((more, next_at))

    def attend(self):
        self.attended += 1

    def start(self, prepared, place):
        self.can_start -= 1
        if self.can_start < 0:
            raise Hindered("no process can be started")
        return PuppetStart(self.log, prepared, place)
