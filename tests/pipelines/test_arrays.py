"""Arrays that are put away and read from where they lie."""

import mmap

import numpy as np

from pipelines.arrays import in_memory, keep_all, on_disk


def _base(array):
    while getattr(array, "base", None) is not None:
        array = array.base
    return array


def test_an_array_on_disk_is_mapped_and_holds_the_same(tmp_path):
    keep = on_disk(tmp_path / "log")
    array = np.arange(12, dtype=np.int32).reshape(4, 3)
    kept = keep("item", array)
    array[0] = -1  # what is kept does not follow
    assert isinstance(_base(kept), mmap.mmap)
    assert type(kept) is np.ndarray
    np.testing.assert_array_equal(kept, np.arange(12).reshape(4, 3))
    assert not kept.flags.writeable
    np.testing.assert_array_equal(np.load(tmp_path / "log" / "item.npy"), kept)


def test_an_empty_array_is_kept_too(tmp_path):
    assert on_disk(tmp_path)("nothing", np.zeros((0, 4), np.float32)).shape == (0, 4)


def test_in_memory_an_array_is_itself(tmp_path):
    array = np.arange(3)
    assert in_memory("item", array) is array
    kept = keep_all(on_disk(tmp_path), {"a": array, "b": array + 1}, "context-")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["context-a.npy", "context-b.npy"]
    np.testing.assert_array_equal(kept["b"], [1, 2, 3])
