"""A cache of tensors: what is stored comes back, and nothing else does."""

import json
import os
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import load_file, save_file

from sparsecbm.intervene.tensor_cache import CacheWarning, TensorCache, cache_key

KEY, OTHER = cache_key("a", 1), cache_key("a", 2)
TENSORS = {"states": torch.arange(6.0).reshape(2, 3), "ids": torch.tensor([3, 1], dtype=torch.int32)}


@pytest.fixture
def cache(tmp_path):
    return TensorCache(tmp_path / "cache", max_bytes=2000)


def load_quietly(cache, key):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return cache.load(key)


def test_what_is_stored_comes_back_and_nothing_for_another_key(cache):
    assert load_quietly(cache, KEY) is None
    cache.store(KEY, TENSORS, ["t1"])
    loaded = load_quietly(cache, KEY)
    assert loaded.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        torch.testing.assert_close(loaded[name], tensor, rtol=0, atol=0)
    assert load_quietly(cache, OTHER) is None
    assert KEY != OTHER and len(KEY) == 64


def test_the_file_states_its_texts(cache):
    cache.store(KEY, TENSORS, ["t2", "t1", "t2"])
    content = (cache.folder / f"{KEY}.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["cache"])["texts"] == ["t1", "t2"]


def test_damaged_entries_are_ignored_with_a_warning(cache):
    cache.store(KEY, TENSORS, [])
    path = cache.folder / f"{KEY}.safetensors"
    content = path.read_bytes()
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    for damaged, reason in (
        (flipped, "sha256"),
        (content[:40], "damaged"),
        (b"", "damaged"),
        (b"no tensors at all", "damaged"),
    ):
        path.write_bytes(damaged)
        with pytest.warns(CacheWarning, match=reason):
            assert cache.load(KEY) is None
    cache.store(KEY, TENSORS, [])
    assert load_quietly(cache, KEY) is not None


def test_an_entry_of_something_else_is_ignored_with_a_warning(cache):
    cache.store(OTHER, TENSORS, [])
    (cache.folder / f"{OTHER}.safetensors").rename(cache.folder / f"{KEY}.safetensors")
    with pytest.warns(CacheWarning, match="something else"):
        assert cache.load(KEY) is None
    save_file(TENSORS, cache.folder / f"{KEY}.safetensors")
    with pytest.warns(CacheWarning, match="something else"):
        assert cache.load(KEY) is None


def test_the_least_recently_used_entries_go(tmp_path):
    cache = TensorCache(tmp_path, max_bytes=3000)
    keys = [cache_key(number) for number in range(4)]
    for number, key in enumerate(keys[:3]):
        cache.store(key, {"t": torch.zeros(200)}, [])  # 800 bytes and a header of some 260
        path = tmp_path / f"{key}.safetensors"
        assert path.stat().st_size < 1500
        os.utime(path, (number, number))
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(keys[1:3])  # three are more than 3000 bytes
    assert load_quietly(cache, keys[1]) is not None  # so keys[2] is now the one that was used least recently
    cache.store(keys[3], {"t": torch.zeros(200)}, [])
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted([keys[1], keys[3]])


def test_an_entry_beyond_the_bound_is_not_stored(cache):
    cache.store(KEY, {"t": torch.zeros(501)}, [])
    assert not cache.folder.exists()


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.warns(CacheWarning, match="cannot be written"):
        TensorCache(tmp_path / "cache", 2000).store(KEY, TENSORS, [])
    assert (tmp_path / "cache").read_text() == "a file"


def test_writers_and_readers_at_once_see_whole_entries(cache):
    def work(number):
        cache.store(KEY, TENSORS, [str(number)])
        loaded = load_quietly(cache, KEY)
        return loaded is None or torch.equal(loaded["states"], TENSORS["states"])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(32)))
    assert [path.name for path in cache.folder.iterdir()] == [f"{KEY}.safetensors"]
    assert torch.equal(load_file(cache.folder / f"{KEY}.safetensors")["ids"], TENSORS["ids"])
