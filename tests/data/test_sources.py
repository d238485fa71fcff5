"""Each source on small files, and on the released data if it is available."""

import csv
import json

import pytest

from sparsecbm.base.errors import DataError
from sparsecbm.base.files import sha256_file
from sparsecbm.base.params import CebabSource, ImdbSource, RestaurantsSource, Split
from sparsecbm.data.ingest import ingest
from sparsecbm.data.sources.imdb import CONCEPTS as IMDB_CONCEPTS
from sparsecbm.data.sources.imdb import clean
from sparsecbm.data.sources.registry import load_source

SHARES = Split(validation=0.1, test=0.2)
ASPECTS = ("food", "service", "ambiance", "noise")


def review(number: int, rating: str = "4", original: bool = True, **aspects: tuple) -> dict:
    """Return a CEBaB row; an aspect is (majority, votes), or blank if it is not given."""
    row = {
        "id": f"{number:06d}_000000",
        "original_id": f"{number:06d}",
        "is_original": original,
        "edit_type": "food",
        "description": f"review {number}",
        "review_majority": rating,
        "review_label_distribution": {"4": 5},
    }
    for aspect in ASPECTS:
        majority, votes = aspects.get(aspect, ("", ""))
        row |= {f"{aspect}_aspect_majority": majority, f"{aspect}_aspect_label_distribution": votes}
    return row


def write_cebab(folder, **files) -> CebabSource:
    for name, rows in files.items():
        (folder / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    return CebabSource(name="cebab", path=".")


def test_cebab_cells_carry_state_source_and_share_of_votes(tmp_path):
    first = review(
        1, food=("Negative", {"Negative": 4, "unknown": 1}), noise=("no majority", {"Negative": 2, "Positive": 2})
    )
    source = write_cebab(tmp_path, train_exclusive=[first, review(2, rating="no majority", original=False)])
    frame = load_source(source, tmp_path).frame
    row, other = frame.iloc[0], frame.iloc[1]
    assert (row["concept.food"], row["source.food"], row["confidence.food"]) == ("Negative", "human", 0.8)
    assert row[["concept.noise", "confidence.noise"]].isna().all() and row["source.noise"] == "no majority"
    assert row[["concept.service", "confidence.service"]].isna().all() and row["source.service"] == "blank"
    assert row["label"] == "4" and other[["label"]].isna().all()
    assert row[[f"share.food.{s}" for s in ("Negative", "Positive", "unknown")]].tolist() == [0.8, 0.0, 0.2]
    assert row[["share.noise.Negative", "share.noise.Positive"]].tolist() == [0.5, 0.5]  # votes without a majority
    assert row[["share.service.Negative", "share.service.unknown"]].isna().all()  # blank: no votes
    assert row[[f"share.label.{s}" for s in "12345"]].tolist() == [0, 0, 0, 1, 0]
    assert frame["edit_type"].isna().tolist() == [True, False]  # an original has no edit
    assert frame["row"].tolist() == [1, 2] and set(frame["file"]) == {"train_exclusive.json"}


def test_cebab_uses_one_training_file_and_all_of_dev(tmp_path):
    write_cebab(
        tmp_path,
        train_exclusive=[review(i) for i in range(20)],
        train_inclusive=[review(i) for i in range(40)],
        dev=[review(i) for i in range(100, 107)],
    )
    for train, rows in {"train_exclusive": 20, "train_inclusive": 40}.items():
        splits, manifest = ingest(CebabSource(name="cebab", path=".", train=train), SHARES, 0, tmp_path)
        sizes = {name: len(frame) for name, frame in splits.items()}
        assert sizes == {"train": rows * 0.9, "validation": rows * 0.1, "dev": 7}
        assert [file["name"] for file in manifest["files"]] == [f"{train}.json", "dev.json"]
        assert manifest["files"][1]["sha256"] == sha256_file(tmp_path / "dev.json")


def test_cebab_without_train_allows_evaluation_and_no_training(tmp_path):
    source = write_cebab(tmp_path, dev=[review(1), review(2)])
    splits, _ = ingest(source, SHARES, 0, tmp_path)
    assert {name: len(frame) for name, frame in splits.items()} == {"dev": 2}
    with pytest.raises(DataError, match=r"cebab has no split `train`, only dev; training needs train_exclusive\.json"):
        ingest(source, SHARES, 0, tmp_path, training=True)


def test_the_error_for_cebab_without_a_file_lists_the_expected_files(tmp_path):
    with pytest.raises(DataError, match=r"none of train_exclusive\.json, dev\.json, test\.json"):
        load_source(CebabSource(name="cebab", path="."), tmp_path)
    with pytest.raises(DataError, match=r"is not a folder; set source\.path"):
        load_source(CebabSource(name="cebab", path="absent"), tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", r"dev\.json is not valid JSON"),
        ("[]", r"dev\.json has no rows"),
        ('{"id": 1}', r"dev\.json must hold a JSON list of objects"),
        ('[{"id": "1"}]', r"dev\.json has no column 'description', 'original_id'.*it has \['id'\]"),
    ],
)
def test_the_error_for_cebab_names_a_broken_file(tmp_path, content, message):
    (tmp_path / "dev.json").write_text(content)
    with pytest.raises(DataError, match=message):
        load_source(CebabSource(name="cebab", path="."), tmp_path)


@pytest.mark.parametrize("as_text", [True, False])
def test_cebab_from_the_hub_gives_the_same_table_as_the_files(tmp_path, monkeypatch, as_text):
    datasets = pytest.importorskip("datasets")
    votes = {"Negative": 4, "unknown": 1}
    rows = [review(i, food=("Negative", votes)) for i in range(3)]
    loaded = load_source(write_cebab(tmp_path, train_exclusive=rows, dev=rows[:1]), tmp_path)
    # The hub holds votes as text, or as a record whose absent states are null.
    cell = str(votes) if as_text else {"Negative": 4, "Positive": None, "unknown": 1}
    hub_rows = [row | {"food_aspect_label_distribution": cell} for row in rows]
    hub = datasets.DatasetDict(
        train_exclusive=datasets.Dataset.from_list(hub_rows), validation=datasets.Dataset.from_list(hub_rows[:1])
    )
    requested = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **kwargs: requested.append(args[0]) or hub)
    from_hub = load_source(CebabSource(name="cebab"), tmp_path)
    assert requested == ["CEBaB/CEBaB"]
    assert from_hub.frame.drop(columns="file").equals(loaded.frame.drop(columns="file"))
    assert from_hub.frame["split"].tolist() == ["train"] * 3 + ["dev"]


def test_counts_of_released_cebab_are_exact(shared_data):
    loaded = load_source(CebabSource(name="cebab", path=str(shared_data / "cebab")), shared_data)
    splits, _ = ingest(CebabSource(name="cebab", path=str(shared_data / "cebab")), SHARES, 13, shared_data)
    assert {name: len(frame) for name, frame in splits.items()} == {"train": 1580, "validation": 175, "dev": 1673}
    train = loaded.frame[loaded.frame["split"] == "train"]
    # Counted in the released file: 292 ratings and 30 food aspects without a majority, 152 food aspects blank.
    assert train["label"].isna().sum() == 292
    assert train["source.food"].value_counts().to_dict() == {"human": 1573, "blank": 152, "no majority": 30}
    assert train["concept.food"].value_counts().to_dict() == {"Positive": 641, "Negative": 629, "unknown": 303}
    assert train["confidence.food"].value_counts().to_dict() == {1.0: 981, 0.8: 390, 0.6: 201, 0.9: 1}


def test_imdb_line_breaks_and_stray_punctuation_are_cleaned():
    assert clean("One.<br /><br />Two \x96 three\x85 <br />") == "One.\nTwo – three…"
    assert clean("a < b <i>c</i>") == "a < b <i>c</i>"


def write_imdb(folder, split: str, rows: list[dict]) -> None:
    with open(folder / f"IMDB-{split}-generated.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["review", "sentiment", *IMDB_CONCEPTS.names])
        writer.writeheader()
        writer.writerows(rows)


def test_imdb_cells_name_their_annotator(tmp_path):
    states = dict.fromkeys(IMDB_CONCEPTS.names, "unknown")
    write_imdb(tmp_path, "train", [{"review": "a<br />b", "sentiment": "Positive", **states, "acting": "Negative"}])
    write_imdb(tmp_path, "dev", [{"review": "c", "sentiment": "Negative", **states, "editing": ""}])
    frame = load_source(ImdbSource(name="imdb-c", path=".", labels="generated"), tmp_path).frame
    assert frame["text"].tolist() == ["a\nb", "c"] and frame["split"].tolist() == ["train", "dev"]
    assert frame["concept.acting"].tolist() == ["Negative", "unknown"]
    assert frame["source.acting"].tolist() == ["machine", "machine"]
    assert frame["source.editing"].tolist() == ["machine", "blank"] and frame["concept.editing"].isna().tolist() == [
        False,
        True,
    ]
    assert frame["concept.emotional arousal"].tolist() == ["unknown", "unknown"]
    with pytest.raises(DataError, match=r"none of IMDB-train-manual\.csv, IMDB-dev-manual\.csv"):
        load_source(ImdbSource(name="imdb-c", path="."), tmp_path)


def test_counts_of_released_imdb_are_exact(shared_data):
    loaded = load_source(ImdbSource(name="imdb-c", path=str(shared_data / "imdb-c")), shared_data)
    assert loaded.frame["split"].value_counts().to_dict() == {"train": 150, "dev": 25}
    train = loaded.frame[loaded.frame["split"] == "train"]
    assert train["concept.acting"].value_counts().to_dict() == {"Positive": 54, "unknown": 52, "Negative": 44}
    assert not loaded.frame["text"].str.contains("<br").any() and set(loaded.frame["source.acting"]) == {"human"}


def test_restaurants_have_groups_clusters_and_splits(tmp_path):
    header = "id,original_id,edit_type,text,rating,food,service,ambiance,noise,split"
    header += ",cluster_food,cluster_service,cluster_ambiance,cluster_noise"
    lines = [
        header,
        "r1,r1,,Nice soup.,5,Positive,unknown,unknown,unknown,train,f1,,,",
        'r2,r1,noise,"Loud, bad.",1,,,,Negative,test,,,,n1',
    ]
    (tmp_path / "reviews.csv").write_text("\n".join(lines), encoding="utf-8")
    loaded = load_source(RestaurantsSource(name="restaurants", path="."), tmp_path)
    frame = loaded.frame
    assert frame["group"].tolist() == ["r1", "r1"] and frame["label"].tolist() == ["5", "1"]
    assert frame["cluster.food"].tolist()[0] == "f1" and frame["cluster.noise"].tolist()[1] == "n1"
    assert frame["source.food"].tolist() == ["human", "blank"] and frame["text"][1] == "Loud, bad."
    assert loaded.files == ({"name": "reviews.csv", "sha256": sha256_file(tmp_path / "reviews.csv"), "rows": 2},)


def test_no_manifest_contains_a_path(tmp_path):
    source = write_cebab(tmp_path, train_exclusive=[review(i) for i in range(20)], dev=[review(99)])
    _, manifest = ingest(source, SHARES, 0, tmp_path)
    assert str(tmp_path) not in json.dumps(manifest)
