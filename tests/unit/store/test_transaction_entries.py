"""What ZEO's transactions have stored, in memory and, of large ones, in a file."""

import pytest

from motoko.store.internals.zeo_transactions import Entries

RECORDS = [("_store", (bytes([number]), b"serial", bytes(number))) for number in range(1, 9)]


@pytest.mark.parametrize("kept_max", [1, 10, 1000])
def test_entries_are_read_as_often_as_wanted(kept_max):
    entries = Entries(kept_max)
    for record in RECORDS[:5]:
        entries.dump(record)
    first = iter(entries)
    assert [next(first), next(first)] == RECORDS[:2]
    assert list(entries) == RECORDS[:5]  # while another reader is half way
    assert list(first) == RECORDS[2:5]
    for record in (*RECORDS[5:], ("_checkread", (b"oid", b"serial")), (b"oid", None)):
        entries.dump(record)
    assert list(entries) == [*RECORDS, ("_checkread", (b"oid", b"serial")), (b"oid", None)]
    assert entries.tell() == 10
    entries.close()
    assert list(entries) == []
