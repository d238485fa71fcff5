"""The sources `table` and `hub` map the columns of any table."""

import json
import sys

import pandas as pd
import pytest

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import DataError
from sparsecbm.base.params import HubSource, Split, TableSource, Validate
from sparsecbm.data.ingest import ingest
from sparsecbm.data.sources.registry import load_source, load_with_faults
from sparsecbm.data.validation import validate

COLUMNS = {
    "text": "comment",
    "label": "stars",
    "concepts": {"food": {"column": "f", "states": ("bad", "good")}, "price": {"column": "p"}},
}
ROWS = [
    {"comment": "good soup", "stars": 2, "f": "good", "p": "low"},
    {"comment": "bad soup", "stars": 10, "f": "bad", "p": None},
    {"comment": "no soup", "stars": 1, "f": None, "p": "mid"},
    {"comment": "dear soup", "stars": None, "f": "good", "p": "high"},
]


def table_source(path, **changes) -> TableSource:
    return TableSource(name="table", path=str(path), columns=COLUMNS | changes)


def write(folder, suffix: str, rows=ROWS):
    path = folder / f"reviews{suffix}"
    frame = pd.DataFrame(rows)
    if suffix == ".csv":
        frame.convert_dtypes().to_csv(path, index=False)
    elif suffix == ".tsv":
        frame.convert_dtypes().to_csv(path, index=False, sep="\t")
    elif suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")
    else:
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_rows(tmp_path, suffix):
    loaded = load_source(table_source(write(tmp_path, suffix)), tmp_path)
    frame = loaded.frame
    assert frame["text"].tolist() == ["good soup", "bad soup", "no soup", "dear soup"]
    assert frame["label"].fillna("-").tolist() == ["2", "10", "1", "-"]
    assert frame["concept.food"].fillna("-").tolist() == ["good", "bad", "-", "good"]
    assert frame["source.food"].tolist() == ["human", "human", "blank", "human"]
    assert frame["id"].tolist() == ["reviews-1", "reviews-2", "reviews-3", "reviews-4"]
    assert frame["group"].tolist() == frame["id"].tolist() and frame["split"].isna().all()
    # Numbers are sorted by size and words by the alphabet. The order of a mapping stays.
    assert loaded.concept_set.label.states == ("1", "2", "10")
    assert loaded.concept_set["price"].states == ("high", "low", "mid")
    assert loaded.concept_set["food"].states == ("bad", "good")


def test_id_group_and_split_columns_are_used(tmp_path):
    rows = [row | {"k": i, "g": "x", "s": "fit" if i < 3 else "judge"} for i, row in enumerate(ROWS)]
    source = table_source(
        write(tmp_path, ".jsonl", rows), id="k", group="g", split="s", splits={"fit": "train", "judge": "test"}
    )
    frame = load_source(source, tmp_path).frame
    assert frame["id"].tolist() == ["0", "1", "2", "3"] and set(frame["group"]) == {"x"}
    assert frame["split"].tolist() == ["train", "train", "train", "test"]


def test_a_cell_of_the_wrong_type_is_recorded_as_a_fault(tmp_path):
    rows = [ROWS[0], ROWS[1] | {"comment": 5}, ROWS[2] | {"f": ["good"]}, ROWS[3]]
    frame = load_source(table_source(write(tmp_path, ".jsonl", rows)), tmp_path).frame
    assert len(frame) == 4 and frame["text"].isna().tolist() == [False, True, False, False]
    assert frame["fault"].fillna("").tolist() == [
        "",
        "column 'comment' holds 5 (int), not text",
        "column 'f' holds a list, not text",
        "",
    ]
    assert "fault" not in load_source(table_source(write(tmp_path, ".csv")), tmp_path).frame


def test_a_lone_surrogate_becomes_a_replacement_character(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text(write(tmp_path, ".jsonl").read_text().replace("good soup", "good \\ud800 soup"))
    assert load_source(table_source(path), tmp_path).frame["text"][0] == "good \ufffd soup"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "starz"}, r"reviews\.csv has no column 'starz'; it has \['comment', 'stars', 'f', 'p'\]"),
        ({"text": "stars"}, None),
        (
            {"concepts": {"food": {"column": "f", "states": ("good",)}}},
            r"column 'f': concept 'food' has 1 state.*concepts\.food\.states is set",
        ),
        (
            {"labels": ("1", "1")},
            r"column 'stars': concept 'stars' names a state twice.*source\.columns\.labels is set",
        ),
    ],
)
def test_the_error_for_a_wrong_mapping_names_file_and_column(tmp_path, changes, message):
    source = table_source(write(tmp_path, ".csv"), **changes)
    if message is None:  # in a CSV file every cell is text, so a number in a text column is valid
        assert load_source(source, tmp_path).frame["text"][0] == "2"
        return
    with pytest.raises(DataError, match=message):
        load_source(source, tmp_path)


def test_a_concept_with_one_state_in_the_data_is_an_error(tmp_path):
    rows = [row | {"p": "low"} for row in ROWS]
    with pytest.raises(
        DataError, match=r"reviews\.csv, column 'p': concept 'price' has 1 state.*the rows give the states"
    ):
        load_source(table_source(write(tmp_path, ".csv", rows)), tmp_path)


def test_a_text_column_of_numbers_is_an_error(tmp_path):
    with pytest.raises(
        DataError, match=r"reviews\.parquet: column 'stars' holds 2\.0 \(float\), not text; point source\.columns\.text"
    ):
        load_source(table_source(write(tmp_path, ".parquet"), text="stars"), tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", None, r"a\.csv does not exist; set source\.path"),
        ("a.ods", b"x", r"a\.ods ends in \.ods; sources end in \.csv, \.tsv, \.jsonl, \.json, \.parquet, \.xlsx"),
        ("a.csv", b"", r"a\.csv is empty"),
        ("a.csv", b"comment,stars\n", r"a\.csv has no rows"),
        ("a.csv", b'comment,stars\n"caf\xe9",1\n', r"a\.csv is not UTF-8 \(byte \d+.*save it as UTF-8"),
        ("a.csv", b"comment,stars\na,b,c,d\ne,f,g,h,i\n", r"a\.csv is not a readable table.*quote cells that hold ','"),
        ("a.parquet", b"PAR1 cut off", r"a\.parquet is not a readable parquet file"),
        ("a.jsonl", b'{"comment": "x"}\n{"comment"', r"a\.jsonl, line 2 is not valid JSON"),
        ("a.jsonl", b"[1]\n", r"a\.jsonl, line 1 holds a list; each line must be an object"),
        ("a.jsonl", b'{"comment": "caf\xe9"}\n', r"a\.jsonl is not UTF-8"),
    ],
)
def test_an_invalid_file_gives_one_clear_message(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_source(table_source(name), tmp_path)


def test_a_byte_order_mark_does_not_belong_to_the_first_column(tmp_path):
    path = write(tmp_path, ".csv")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_source(table_source(path), tmp_path).frame["text"][0] == "good soup"


def many_rows(count: int = 40) -> list[dict]:
    return [
        {"comment": f"soup {n} was fine", "stars": 1 + n % 3, "f": ("bad", "good")[n % 2], "p": ("low", "high")[n % 2],
         "s": "train" if n < 30 else "test", "k": f"k{n}"}
        for n in range(count)
    ]  # fmt: skip


def test_broken_rows_go_to_quarantine_with_their_characters_and_none_is_lost(tmp_path):
    path = write(tmp_path, ".csv", many_rows())
    lines = path.read_text().split("\n")
    lines[5], lines[35] = lines[5] + ",more", "soup 34 was"
    path.write_text("\n".join(lines))
    splits, manifest = ingest(table_source(path, split="s", id="k"), Split(validation=0.1, test=0.2), 0, tmp_path)
    result = validate(splits, ConceptSet.from_dict(manifest["vocabulary"]), Validate(quarantine_share=0.2))
    bad = result.quarantine.set_index("row")["reasons"].to_dict()
    assert sorted(bad) == [5, 35, 36]
    assert bad[5] == "broken row: row 5 (line 6) has 7 field(s), the header has 6"
    assert bad[36].startswith("broken row: row 36 (line 37) is probably the other half of row 35")
    assert set(result.quarantine["text"]) == {lines[5], lines[35], lines[36]}
    kept = pd.concat(result.splits.values())
    assert sorted([*kept["row"], *bad]) == list(range(1, 41))
    assert (kept["text"] == "soup " + (kept["row"] - 1).astype(str) + " was fine").all()
    assert (kept["id"] == "k" + (kept["row"] - 1).astype(str)).all()


def test_a_damaged_or_infinite_state_is_a_fault_of_its_cell(tmp_path):
    rows = many_rows()
    rows[3]["f"], rows[4]["p"], rows[5]["stars"] = "go\0od", float("inf"), "Infinity"
    frame = load_source(table_source(write(tmp_path, ".jsonl", rows)), tmp_path).frame
    assert frame["fault"].dropna().tolist() == [
        "damaged: column 'f' holds replacement or control characters: 'go\\x00od'",
        "column 'p' holds inf, which is no state",
        "column 'stars' holds Infinity, which is no state",
    ]
    assert frame["fault"].dropna().index.tolist() == [3, 4, 5]
    # Where a person names such a state, it is one.
    rows[5]["stars"] = "inf"
    frame = load_source(table_source(write(tmp_path, ".jsonl", rows), labels=("1", "2", "3", "inf")), tmp_path).frame
    assert frame["label"][5] == "inf" and pd.isna(frame["fault"][5])


def test_states_that_look_alike_are_refused_until_they_are_named(tmp_path):
    rows = many_rows()
    rows[0]["p"], rows[1]["p"], rows[2]["p"], rows[4]["stars"] = "LOW", "hi\u200bgh", "low ", "2.0"
    path = write(tmp_path, ".csv", rows)
    with pytest.raises(DataError) as caught:
        load_source(table_source(path), tmp_path)
    message = str(caught.value)
    assert "'high', 'hi\\u200bgh'" in message and "'low', 'LOW', 'low '" in message and "'2', '2.0'" in message
    assert 'set source.columns.concepts.price.states: ["high", "low"]' in message
    assert 'set source.columns.labels: ["1", "2", "3"]' in message
    concepts = COLUMNS["concepts"] | {"price": {"column": "p", "states": ("high", "low")}}
    loaded = load_source(table_source(path, concepts=concepts, labels=("1", "2", "3")), tmp_path)
    assert loaded.frame["concept.price"].tolist()[:4] == ["low", "high", "low", "high"]
    assert loaded.frame["label"][4] == "2"


def test_a_column_of_lists_is_named_as_such(tmp_path):
    rows = [row | {"stars": [row["stars"]]} for row in many_rows()]
    with pytest.raises(DataError, match=r"column 'stars': no cell is a state: it holds a list, not text in row 1"):
        load_source(table_source(write(tmp_path, ".parquet", rows)), tmp_path)


def hub_source(**changes) -> HubSource:
    return HubSource(name="hub", dataset="someone/soups", columns=COLUMNS | changes)


@pytest.fixture
def hub(monkeypatch):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        comment=datasets.Value("string"),
        stars=datasets.ClassLabel(names=["one", "two", "three"]),
        f=datasets.Value("string"),
        p=datasets.Value("string"),
        unused=datasets.Value("int64"),
    )
    rows = [
        {"comment": f"soup {i}", "stars": i % 3, "f": "good", "p": ["low", "high"][i % 2], "unused": i}
        for i in range(30)
    ]
    rows[0]["stars"] = -1
    splits = {"train": rows, "valid": [row | {"comment": "v" + row["comment"]} for row in rows[:6]]}
    loaded = datasets.DatasetDict({k: datasets.Dataset.from_list(v, features=features) for k, v in splits.items()})
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config, revision: loaded)


def test_hub_classes_and_splits_keep_their_names(hub, tmp_path):
    splits, manifest = ingest(hub_source(labels=("one", "two", "three")), Split(validation=0.1, test=0.2), 0, tmp_path)
    assert {name: len(frame) for name, frame in splits.items()} == {"train": 24, "validation": 6, "test": 6}
    labels = pd.concat([splits["train"], splits["test"]]).set_index("id")["label"]
    assert labels["train-2"] == "two" and labels["train-6"] == "three" and pd.isna(labels["train-1"])
    assert [file["name"] for file in manifest["files"]] == ["someone/soups/train", "someone/soups/valid"]
    again = ingest(hub_source(labels=("one", "two", "three")), Split(validation=0.1, test=0.2), 0, tmp_path)
    assert again[1] == manifest


def test_hub_loads_only_the_named_splits(hub, tmp_path):
    frame = load_source(hub_source(splits={"valid": "dev"}), tmp_path).frame
    assert len(frame) == 6 and set(frame["split"]) == {"dev"}
    with pytest.raises(DataError, match=r"unknown split 'trian'\. Did you mean 'train'"):
        load_source(hub_source(splits={"trian": "train"}), tmp_path)
    with pytest.raises(DataError, match=r"someone/soups/train has no column 'review'"):
        load_source(hub_source(text="review"), tmp_path)


def test_hub_failures_give_a_clear_message(monkeypatch, tmp_path):
    datasets = pytest.importorskip("datasets")

    def fail(*args, **kwargs):
        raise ConnectionError("no route\nlong trace")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(DataError, match=r"could not load the data set 'someone/soups': no route; check its name"):
        load_source(hub_source(), tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'sparsecbm\[hub\]'"):
        load_source(hub_source(), tmp_path)


@pytest.mark.parametrize("blank", ["   ", "\u200b", "\u00a0\ufeff"])
def test_a_cell_that_shows_nothing_is_empty_and_no_state(tmp_path, blank):
    rows = [
        {"comment": f"soup {n}", "stars": "12"[n % 2], "f": "good", "p": ["low", "high", blank][n % 3]}
        for n in range(9)
    ]
    loaded = load_source(table_source(write(tmp_path, ".jsonl", rows)), tmp_path)
    assert loaded.concept_set["price"].states == ("high", "low")
    assert loaded.frame["source.price"].tolist() == ["human", "human", "blank"] * 3


@pytest.mark.parametrize("word", ["NA", "n/a", "null", "-", "?", "\\N"])
def test_words_for_an_empty_cell_are_no_states_unless_they_are_named(tmp_path, word):
    rows = [
        {"comment": f"soup {n}", "stars": "12"[n % 2], "f": "good", "p": ["low", "high", word][n % 3]} for n in range(9)
    ]
    path = write(tmp_path, ".jsonl", rows)
    loaded = load_with_faults(table_source(path), tmp_path)
    message = loaded.faults["concept.price"]
    assert f"it holds {word!r} in 3 row(s)" in message and "leave these cells empty" in message
    named = COLUMNS["concepts"] | {"price": {"column": "p", "states": ("low", "high", word)}}
    assert load_source(table_source(path, concepts=named), tmp_path).concept_set["price"].states[-1] == word


def test_a_control_character_of_the_second_block_is_damage_in_a_state(tmp_path):
    rows = [{"comment": f"soup {n}", "stars": "12"[n % 2], "f": "good", "p": ["low", "high"][n % 2]} for n in range(9)]
    rows[4]["p"] = "\x9blow"
    frame = load_source(table_source(write(tmp_path, ".jsonl", rows)), tmp_path).frame
    assert frame["fault"].notna().tolist() == [n == 4 for n in range(9)]
    assert "column 'p' holds replacement or control characters: '\\x9blow'" in frame["fault"][4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "f"}, "label and concepts.food are the same column 'f'"),
        ({"concepts": {n: {"column": "p"} for n in ("a", "b")}}, "concepts.a and concepts.b are the same column 'p'"),
    ],
)
def test_a_column_has_one_use(changes, message):
    with pytest.raises(ValueError, match=f"{message}; name one column for each"):
        table_source("t.csv", **changes)
