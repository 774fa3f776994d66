import gc

import pytest

from towers.collector import lasting


def test_what_was_made_in_the_block_is_frozen_and_collection_goes_on():
    before = gc.get_freeze_count()
    with lasting():
        assert not gc.isenabled()
        kept = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(kept)


def test_collection_goes_on_where_the_block_fails():
    kept, before = [[] for _ in range(100_000)], gc.get_freeze_count()
    with pytest.raises(ImportError), lasting():
        raise ImportError
    assert gc.isenabled()
    assert gc.get_freeze_count() < before + len(kept) / 2  # of what was frozen before, some may have gone since


def test_who_collects_nothing_goes_on_so():
    gc.disable()
    try:
        with lasting():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
