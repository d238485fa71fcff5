"""A file, a folder or a data set gives the same rows in the same order, each time."""

import json

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest

from sparsecbm.base.errors import ConfigError, DataError
from sparsecbm.batch.readers import Columns
from sparsecbm.batch.source import Source

TEXT = Columns("text")


def texts(source):
    return [(row.file, row.number, row.text) for row in source.rows()]


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "in"
    (path / "b").mkdir(parents=True)
    (path / "b" / "z.csv").write_text("text\nslow\nloud\n")
    (path / "a.txt").write_text("the food")
    (path / "c.jsonl").write_text('"bad"\n')
    pyarrow.parquet.write_table(pa.table({"text": ["good"]}), path / "d.parquet")
    (path / "_SUCCESS").touch()
    (path / ".hidden.csv").touch()
    return path


def test_a_folder_gives_the_rows_of_its_files_by_name(folder):
    assert texts(Source(str(folder), TEXT)) == [
        ("a.txt", 1, "the food"), ("b/z.csv", 1, "slow"), ("b/z.csv", 2, "loud"), ("c.jsonl", 1, "bad"),
        ("d.parquet", 1, "good"),
    ]  # fmt: skip


def test_the_hash_changes_with_each_thing_that_is_read(folder):
    source = Source(str(folder), TEXT)
    before = source.survey()
    assert before.rows == 5 and before == source.survey()
    (folder / "_SUCCESS").write_text("other")
    assert source.survey() == before
    for change in (
        lambda: (folder / "b" / "z.csv").write_text("text\nslow\nquiet\n"),
        lambda: (folder / "a.txt").rename(folder / "a2.txt"),
        lambda: (folder / "c.jsonl").write_text(""),
    ):
        earlier = source.survey()
        change()
        assert source.survey().sha256 != earlier.sha256


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "nowhere does not exist; name a file, a folder, or a data set as hub:NAME"),
        ("a.json", r"a.json ends in .json; a file of texts ends in .parquet, .csv, .tsv, .jsonl, and a folder may"),
        ("a.txt", "a.txt ends in .txt; a file of texts"),
        ("empty", "empty holds no file of texts"),
        ("mixed", r"mixed/notes.docx is none of .*so its texts would be lost"),
    ],
)
def test_what_holds_no_texts_is_an_error(name, message, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    for file in ("a.json", "a.txt", "mixed/a.csv", "mixed/notes.docx"):
        (tmp_path / file).touch()
    with pytest.raises(DataError, match=message):
        texts(Source(str(tmp_path / name), TEXT))


def test_a_saved_data_set(tmp_path):
    table = datasets.Dataset.from_dict({"text": ["the food", None], "n": [3, 4]})
    table.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": table, "test": table.select([0])}).save_to_disk(tmp_path / "two")
    found = list(Source(str(tmp_path / "one"), Columns("text", "n")).rows())
    assert [(row.file, row.number, row.id, row.text, row.reason) for row in found] == [
        ("train", 1, "3", "the food", None), ("train", 2, "4", "", "the text is missing"),
    ]  # fmt: skip
    assert texts(Source(str(tmp_path / "two"), TEXT, "test")) == [("test", 1, "the food")]
    with pytest.raises(ConfigError, match=r"several splits \(train, test\); name one by --split"):
        texts(Source(str(tmp_path / "two"), TEXT))
    with pytest.raises(ConfigError, match="unknown split 'tset'"):
        texts(Source(str(tmp_path / "two"), TEXT, "tset"))
    with pytest.raises(DataError, match="has no column 'body'; it has text, n; name one of them by --column"):
        texts(Source(str(tmp_path / "one"), Columns("body")))
    (tmp_path / "one" / "state.json").write_text(json.dumps({}))
    with pytest.raises(DataError, match="one is not a data set that can be read"):
        texts(Source(str(tmp_path / "one"), TEXT))


def test_a_data_set_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.csv").write_text("text\nslow\n")
    assert texts(Source(f"hub:{tmp_path / 'set'}", TEXT)) == [("train", 1, "slow")]
    with pytest.raises(DataError, match="could not load the data set 'nobody/nothing'"):
        texts(Source("hub:nobody/nothing", TEXT))


def test_a_split_belongs_to_a_data_set(folder):
    with pytest.raises(ConfigError, match="--split names a part of a data set"):
        texts(Source(str(folder), TEXT, "train"))
