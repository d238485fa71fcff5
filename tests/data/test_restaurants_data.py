"""The embedded data set `restaurants`: git holds what the generator writes, with the documented properties."""

import importlib.util
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml

FOLDER = Path(__file__).resolve().parents[2] / "data" / "restaurants"
CONCEPTS = ["food", "service", "ambiance", "noise"]


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("restaurants_generate", FOLDER / "generate.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def reviews() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "reviews.csv", keep_default_na=False)


@pytest.fixture(scope="module")
def originals(reviews) -> pd.DataFrame:
    return reviews[reviews["is_original"]].set_index("id")


def banks() -> dict[str, dict[str, list[str]]]:
    return {c: yaml.safe_load((FOLDER / "clauses" / f"{c}.yaml").read_text(encoding="utf-8")) for c in CONCEPTS}


def leaked(train: list[str], clauses: list[str]) -> list[str]:
    """Return clauses that occur in a text of the training split, in any case."""
    everything = "\n".join(train).lower()
    return [clause for clause in clauses if clause.lower() in everything]


def states(**named: str) -> dict[str, str]:
    return dict.fromkeys(CONCEPTS, "unknown") | named


def test_the_file_is_what_the_generator_writes(generator):
    assert generator.main(["--check"]) == 0


def test_check_notices_a_changed_or_missing_file(generator, tmp_path, capsys):
    copy = tmp_path / "reviews.csv"
    assert generator.main(["--check", "--out", str(copy)]) == 1
    copy.write_bytes((FOLDER / "reviews.csv").read_bytes().replace(b"delicious", b"horrible", 1))
    assert generator.main(["--check", "--out", str(copy)]) == 1
    assert "reviews.csv is not what generate.py writes" in capsys.readouterr().err
    assert generator.main(["--out", str(copy)]) == 0
    assert generator.main(["--check", "--out", str(copy)]) == 0


def test_columns_and_counts(generator, reviews):
    assert list(reviews.columns) == list(generator.COLUMNS)
    assert len(reviews) >= 3000
    sizes = reviews["split"].value_counts()
    assert sizes["train"] >= 2200 and sizes["validation"] >= 250 and sizes["test"] >= 650
    assert 0.4 < (~reviews["is_original"]).mean() < 0.6
    assert set(reviews["rating"]) == {1, 2, 3, 4, 5}
    assert reviews["rating"].value_counts(normalize=True).min() >= 0.1
    for concept in CONCEPTS:
        shares = reviews[concept].value_counts(normalize=True)
        assert set(shares.index) == {"Negative", "Positive", "unknown"} and shares.min() > 0.25
    assert reviews["text"].str.split().str.len().between(10, 50).all()


def test_ids_and_texts_are_unique(reviews):
    assert reviews["id"].is_unique
    assert reviews["text"].str.lower().is_unique


@pytest.mark.parametrize("concept", CONCEPTS)
def test_the_bank_is_large_and_has_no_duplicates(concept):
    bank = banks()[concept]
    assert set(bank) == {"Negative", "Positive"}
    assert len(bank["Negative"]) == len(bank["Positive"]) >= 40
    everywhere = Counter(clause.lower() for b in banks().values() for clauses in b.values() for clause in clauses)
    assert max(everywhere.values()) == 1
    for clause in bank["Negative"] + bank["Positive"]:
        assert clause == clause.strip() and clause[-1].isalnum()
        assert clause[0].islower() or clause.startswith("I ")


def test_no_clause_of_one_split_occurs_in_the_texts_of_another(generator, reviews):
    dealt = generator.load_banks()
    texts = {split: list(part["text"]) for split, part in reviews.groupby("split")}
    for split, bank in dealt.items():
        clauses = [clause.text for choices in bank.values() for clause in choices]
        for other in set(texts) - {split}:
            assert leaked(texts[other], clauses) == []
        assert len(leaked(texts[split], clauses)) > 0.95 * len(clauses)  # the search finds clauses that occur


def test_the_search_finds_a_leaked_clause(generator, reviews):
    clause = generator.load_banks()["test"]["food", "Negative"][0].text
    train = [*reviews.loc[reviews["split"] == "train", "text"], f"Oh well. {clause.capitalize()}."]
    assert leaked(train, [clause]) == [clause]


@pytest.mark.parametrize("concept", CONCEPTS)
def test_a_cluster_is_the_clause_that_expresses_the_state(concept, reviews):
    bank = banks()[concept]
    for text, state, cluster in reviews[["text", concept, f"cluster_{concept}"]].itertuples(index=False):
        named_states = {s for s, clauses in bank.items() if any(clause.lower() in text.lower() for clause in clauses)}
        assert named_states == ({state} - {"unknown"})
        if state == "unknown":
            assert cluster == ""
        else:
            name, letter, number = cluster.split("-")
            assert (name, letter) == (concept, state[0])
            assert bank[state][int(number) - 1].lower() in text.lower()


def test_an_edit_changes_one_concept_and_stays_in_its_split(reviews, originals):
    edits = reviews[~reviews["is_original"]]
    for edit in edits.to_dict("records"):
        original = originals.loc[edit["original_id"]]
        assert [c for c in CONCEPTS if edit[c] != original[c]] == [edit["edit_type"]]
        assert edit["edit_goal"] == edit[edit["edit_type"]]
        assert edit["split"] == original["split"]
        unedited = [c for c in CONCEPTS if c != edit["edit_type"]]
        assert [edit[f"cluster_{c}"] for c in unedited] == [original[f"cluster_{c}"] for c in unedited]
    assert (originals["edit_type"] == "").all() and (originals["edit_goal"] == "").all()
    assert (originals.index == originals["original_id"]).all()
    assert edits["edit_type"].value_counts().min() > 300


def test_an_edit_keeps_every_other_sentence(generator, reviews, originals):
    """Fillers and the clauses of the other concepts are identical to those of the original."""
    dealt = generator.load_banks()
    for edit in reviews[(~reviews["is_original"]) & (reviews["split"] == "test")].to_dict("records"):
        before, after = originals.loc[edit["original_id"], "text"].lower(), edit["text"].lower()
        for (kind, _), clauses in dealt["test"].items():
            if kind != edit["edit_type"]:
                for clause in clauses:
                    assert (clause.text.lower() in before) == (clause.text.lower() in after)


@pytest.mark.parametrize(
    ("named", "leaning", "slip", "rating"),
    [
        ({}, 0, 0, 3),
        ({"food": "Positive"}, 0, 0, 4),  # 3 + 1.1 = 4.1
        ({"food": "Positive", "service": "Positive"}, 0, 0, 5),  # 4.9
        ({"noise": "Positive"}, 0, 0, 4),  # 3.5, rounded half up
        ({"noise": "Negative"}, 0, 0, 3),  # 2.5, rounded half up
        ({"service": "Negative", "ambiance": "Negative"}, 0, 0, 2),  # 1.7
        ({"food": "Negative"}, 0, 0, 2),  # 1.9
        ({"food": "Negative", "service": "Positive", "ambiance": "Positive", "noise": "Positive"}, 0, 0, 3),  # 3.7, cap
        ({"food": "Negative", "service": "Negative", "ambiance": "Positive"}, 0, 0, 1),  # 1.6 - 0.5 = 1.1
        ({"food": "Positive"}, -0.7, 0, 3),  # a strict reviewer: 3.4
        ({"food": "Positive"}, 0.5, 0, 5),  # a mild reviewer: 4.6
        ({"food": "Positive"}, 0, -1, 3),  # a slip
        (dict.fromkeys(CONCEPTS, "Positive"), 0, 1, 5),  # at most five
        (dict.fromkeys(CONCEPTS, "Negative"), 0, -1, 1),  # at least one
    ],
)
def test_the_rating_rule_by_hand(generator, named, leaning, slip, rating):
    assert generator.rate(states(**named), generator.Reviewer(leaning, slip)) == rating


def test_an_edit_never_moves_the_rating_the_wrong_way(reviews, originals):
    """A review and its edits share the reviewer, so a better state cannot cost stars."""
    order = {"Negative": -1, "unknown": 0, "Positive": 1}
    for edit in reviews[~reviews["is_original"]].to_dict("records"):
        original = originals.loc[edit["original_id"]]
        better = order[edit[edit["edit_type"]]] - order[original[edit["edit_type"]]]
        assert (edit["rating"] - original["rating"]) * better >= 0


def test_concepts_explain_most_of_the_rating(reviews):
    train, test = (reviews[reviews["split"] == split] for split in ("train", "test"))
    table = train.groupby(CONCEPTS)["rating"].agg(lambda ratings: ratings.mode()[0])
    guesses = [table.get(tuple(row), 3) for row in test[CONCEPTS].itertuples(index=False)]
    assert 0.65 < (test["rating"] == guesses).mean() < 0.85
