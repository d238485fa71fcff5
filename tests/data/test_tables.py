import resource

import pandas as pd
import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.base.files import read_json, sha256_file, write_json
from sparsecbm.data.tables import read_concepts, read_manifest, read_split, read_splits, split_names, write_splits
from tests.support.small_tables import CONCEPTS, MANIFEST, good_rows, good_splits


def test_loaded_splits_equal_the_saved_ones_in_order(tmp_path):
    splits = good_splits()
    write_splits(tmp_path / "s", splits, MANIFEST)
    assert split_names(tmp_path / "s") == ["train", "validation", "test"]
    for name, frame in read_splits(tmp_path / "s").items():
        pd.testing.assert_frame_equal(frame, splits[name])
    assert read_concepts(tmp_path / "s") == CONCEPTS


def test_the_manifest_holds_row_counts_and_checksums(tmp_path):
    write_splits(tmp_path / "s", good_splits(), MANIFEST)
    manifest = read_manifest(tmp_path / "s")
    assert manifest["source"] == "table" and manifest["licence"] == "CC0-1.0"
    assert manifest["splits"][0] == {
        "name": "train",
        "rows": 6,
        "sha256": sha256_file(tmp_path / "s" / "train.parquet"),
    }
    assert manifest["columns"][:3] == ["id", "text", "label"]


def test_the_checksum_of_all_tables_depends_on_every_cell(tmp_path):
    splits = good_splits()
    write_splits(tmp_path / "a", splits, MANIFEST)
    write_splits(tmp_path / "b", splits, MANIFEST)
    splits["test"].loc[3, "label"] = "1" if splits["test"].loc[3, "label"] != "1" else "2"
    write_splits(tmp_path / "c", splits, MANIFEST)
    hashes = [read_manifest(tmp_path / name)["sha256"] for name in "abc"]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_rewrite_removes_old_splits(tmp_path):
    write_splits(tmp_path / "s", good_splits(), MANIFEST)
    write_splits(tmp_path / "s", {"dev": good_rows(2)}, MANIFEST)
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["dev.parquet", "manifest.json"]


def test_the_error_for_an_unknown_split_lists_the_splits(tmp_path):
    write_splits(tmp_path / "s", good_splits(), MANIFEST)
    with pytest.raises(
        DataError, match=r"unknown split 'tets'\. Did you mean 'test'\? Choices: train, validation, test"
    ):
        read_split(tmp_path / "s", "tets")


def test_a_folder_of_another_format_is_an_error(tmp_path):
    write_splits(tmp_path / "s", good_splits(), MANIFEST)
    write_json(tmp_path / "s" / "manifest.json", read_json(tmp_path / "s" / "manifest.json") | {"format": 0})
    with pytest.raises(DataError, match="has format 0, not 1"):
        split_names(tmp_path / "s")


def test_a_full_disk_changes_nothing(tmp_path):
    write_splits(tmp_path / "s", good_splits(), MANIFEST)
    before = {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    big = good_rows(3000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))  # a larger write fails as on a full disk
    try:
        with pytest.raises(DataError, match=r"could not write .*nothing was changed"):
            write_splits(tmp_path / "s", {"train": big}, MANIFEST)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    write_splits(tmp_path / "s", {"train": big}, MANIFEST)  # with enough space, the same write succeeds
    assert split_names(tmp_path / "s") == ["train"]
