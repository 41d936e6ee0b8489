"""Messages of ZEO that are sent together."""

import pytest

from motoko.store.internals.zeo_messages import GATHERED_MAX, Gathering


class Transport:
    def __init__(self):
        self.sent = []
        self.is_open = True

    def writelines(self, pieces):
        assert self.is_open
        self.sent.append(b"".join(pieces))

    def close(self):
        self.is_open = False


@pytest.fixture
def transport():
    return Transport()


@pytest.fixture
def gathering(transport):
    return Gathering(transport)


def test_pieces_go_together_at_the_end_of_the_outermost_block(gathering, transport):
    gathering.writelines([b"1"])
    gathering.gather()
    gathering.writelines([b"2", b"3"])
    gathering.gather()
    gathering.writelines([b"4"])
    gathering.release()
    assert transport.sent == [b"1"]
    gathering.release()
    gathering.writelines([b"5"])
    assert transport.sent == [b"1", b"234", b"5"]


def test_many_do_not_wait_for_the_end(gathering, transport):
    gathering.gather()
    gathering.writelines([bytes(GATHERED_MAX), b"1"])
    gathering.writelines([b"2"])
    assert [len(sent) for sent in transport.sent] == [GATHERED_MAX + 1]
    gathering.release()
    assert transport.sent[1:] == [b"2"]


def test_what_was_kept_is_sent_before_the_end(gathering, transport):
    gathering.gather()
    gathering.writelines([b"1"])
    gathering.close()
    gathering.release()
    assert transport.sent == [b"1"] and not transport.is_open
