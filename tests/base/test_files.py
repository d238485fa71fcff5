"""Checksums of files and folders."""

import hashlib
import json

import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.base.files import content_hash, read_json, write_json


def test_the_hash_of_a_file_is_the_hash_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    # The published test vector of SHA-256 for "abc".
    assert content_hash(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_hash_of_a_folder_covers_names_and_hashes_of_its_files(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b").write_bytes(b"")
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_bytes(b"x")
    listing = [["a", hashlib.sha256(b"abc").hexdigest()], ["in/b", hashlib.sha256(b"").hexdigest()]]
    assert content_hash(tmp_path) == hashlib.sha256(json.dumps(listing).encode()).hexdigest()
    with pytest.raises(DataError, match="absent does not exist; run the stages before this one first"):
        content_hash(tmp_path / "absent")


def test_a_key_that_is_named_twice_is_refused(tmp_path):
    (tmp_path / "a.json").write_text('[{"a": 1}, {"a": 1, "b": {"c": 2, "c": 2}}]')
    with pytest.raises(DataError, match=r"a\.json names the key 'c' twice, as entries 1 and 2"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('[{"a": 1}, {"a": 1, "b": {"c": 2, "d": 2}}]')
    assert read_json(tmp_path / "a.json") == [{"a": 1}, {"a": 1, "b": {"c": 2, "d": 2}}]


def test_json_has_sorted_keys_and_an_error_names_a_broken_file(tmp_path):
    write_json(tmp_path / "in" / "a.json", {"b": [1.5, None], "a": "ä"})
    assert (
        tmp_path / "in" / "a.json"
    ).read_bytes() == '{\n  "a": "ä",\n  "b": [\n    1.5,\n    null\n  ]\n}\n'.encode()
    assert read_json(tmp_path / "in" / "a.json") == {"a": "ä", "b": [1.5, None]}
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(DataError, match=r"b\.json is not valid JSON"):
        read_json(tmp_path / "b.json")
    with pytest.raises(DataError, match=r"c\.json does not exist"):
        read_json(tmp_path / "c.json")
