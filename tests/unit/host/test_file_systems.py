"""Which files other hosts see as well."""

import pytest

from motoko.host.file_systems import is_shared

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:40 / /home rw,relatime - nfs4 server:/home rw,vers=4.2
24 23 0:41 / /home/local rw - xfs /dev/sdb1 rw
25 22 0:42 / /a\\040b rw - lustre mgs:/a rw
26 22 0:43 / /twice rw - ext4 /dev/sdc rw
27 22 0:44 / /twice rw - beegfs beegfs rw
"""


@pytest.mark.parametrize(
    ("path", "shared"),
    [
        ("/var/x", False),
        ("/home/me/wf", True),
        ("/home/local/wf", False),
        ("/homework", False),
        ("/a b/wf", True),
        ("/twice", True),  # the last one hides the first
    ],
)
def test_by_what_is_mounted_there(path, shared):
    assert is_shared(path, MOUNTS) is shared


def test_what_is_not_known_may_be_shared():
    assert is_shared("/x", "") is True


def test_of_this_machine(tmp_path):
    assert is_shared(tmp_path) in (True, False)
