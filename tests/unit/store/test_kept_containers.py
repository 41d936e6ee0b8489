"""A base that looks up its containers once: what names them is not loaded again."""

import pytest
import transaction
from bare_bases import create


@pytest.fixture
def forgotten(base):
    """Has the base's connection forget the record that names the containers; returns it."""
    base.jobs, base.runs, base.configfiles  # noqa: B018 (they are looked up)

    def forget():
        base.content._p_deactivate()
        base.content.entries._p_deactivate()
        return base.content.entries

    return forget


def is_loaded(obj):
    return obj._p_changed is not None


def test_containers_are_looked_up_once(base, forgotten):
    base.keep_containers()
    kept = base.jobs, base.runs, base.configfiles
    names = forgotten()
    assert (base.jobs, base.runs, base.configfiles) == kept
    assert not is_loaded(names)
    create(base, [1, 2])
    transaction.commit()
    assert [*base.runs.entries] == [1, 2]


def test_others_look_them_up_again(base, forgotten):
    names = forgotten()
    assert base.runs is not None and is_loaded(names)


def test_they_are_looked_up_again_if_it_is_not_known_what_has_changed(base, forgotten):
    base.keep_containers()
    base.runs  # noqa: B018
    names = forgotten()
    transaction.begin()
    assert base.runs is not None and not is_loaded(names)
    base.connection._storage._invalidateCache()  # as after a reconnection
    transaction.begin()
    assert base.runs is not None and is_loaded(names)
