"""The table `data/app-reviews` has the counts, states and agreement that its card states, and no near-duplicates."""

import re
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
import yaml
from sklearn.metrics import cohen_kappa_score

from sparsecbm.annotate.concept_file import read_concept_file
from sparsecbm.base.params import TableSource
from sparsecbm.data.sources.registry import load_with_faults

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "data" / "app-reviews"
COLUMNS = ["speed", "design", "support", "verdict"]
COUNTS = {
    "speed": {"slow": 133, "fast": 130, "unknown": 179},
    "design": {"confusing": 133, "clear": 133, "unknown": 176},
    "support": {"poor": 133, "helpful": 132, "unknown": 177},
    "verdict": {"bad": 179, "mixed": 98, "good": 165},
}


@pytest.fixture(scope="module")
def reviews() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "reviews.csv", keep_default_na=False)


@pytest.fixture(scope="module")
def readings() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "readings.csv", keep_default_na=False)


def largest_overlap(texts: list[str]) -> float:
    """Largest Jaccard index of the sets of words of two texts."""
    words = [frozenset(re.findall(r"\w+", text.lower())) for text in texts]
    return max(len(first & second) / len(first | second) for first, second in combinations(words, 2))


def cramers_v(first: pd.Series, second: pd.Series) -> float:
    """Association of two columns with three values each, from 0 (independent) to 1."""
    counts = pd.crosstab(first, second).to_numpy()
    expected = counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True) / counts.sum()
    return float((((counts - expected) ** 2 / expected).sum() / counts.sum() / 2) ** 0.5)


def test_columns_and_counts(reviews):
    assert list(reviews.columns) == ["id", "text", "verdict", "speed", "design", "support"]
    assert list(reviews["id"]) == [f"app-{number:03d}" for number in range(1, 443)]
    assert {name: reviews[name].value_counts().to_dict() for name in COLUMNS} == COUNTS
    lengths = reviews["text"].str.split().str.len()
    assert (lengths.min(), lengths.max()) == (6, 69)


def test_concepts_are_independent_of_each_other_and_no_concept_gives_the_verdict(reviews):
    assert max(cramers_v(reviews[a], reviews[b]) for a, b in combinations(COLUMNS[:3], 2)) < 0.02
    assert max(cramers_v(reviews[name], reviews["verdict"]) for name in COLUMNS[:3]) < 0.2
    assert cramers_v(reviews["speed"], reviews["speed"]) == pytest.approx(1)


def test_no_two_texts_share_a_third_of_their_words(reviews):
    assert largest_overlap(list(reviews["text"])) < 1 / 3


def test_a_template_with_slots_shares_more():
    assert largest_overlap(["The app is slow and I hate it.", "The app is fast and I love it."]) == 6 / 10


def test_the_card_states_the_agreement_of_the_two_readings(readings):
    kappas = [cohen_kappa_score(readings[f"first_{name}"], readings[f"second_{name}"]) for name in COLUMNS]
    differences = [(readings[f"first_{name}"] != readings[f"second_{name}"]).sum() for name in COLUMNS]
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "| kappa | " + " | ".join(f"{kappa:.3f}".removeprefix("0") for kappa in kappas) + " |" in card
    assert f"| cells that differ, of {len(readings)} | " + " | ".join(map(str, differences)) + " |" in card


def test_the_table_holds_the_second_reading(reviews, readings):
    table = reviews.set_index("id").loc[readings["id"], COLUMNS]
    second = readings.set_index("id")[[f"second_{name}" for name in COLUMNS]].set_axis(COLUMNS, axis=1)
    assert table.equals(second)


def test_every_state_is_defined_and_no_example_is_in_the_table(reviews):
    definitions = read_concept_file(FOLDER / "concepts.yaml").concepts
    assert {each.name: list(each.states) for each in definitions} == {name: list(COUNTS[name]) for name in COLUMNS[:3]}
    for definition in definitions:
        assert [state for _, state in definition.examples] == list(definition.states)
        assert not {text for text, _ in definition.examples} & set(reviews["text"])


def test_the_source_table_reads_it_by_the_lines_in_the_card(reviews):
    lines = re.search(r"```yaml\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    table = load_with_faults(TableSource(**yaml.safe_load(lines)["source"]), ROOT)
    assert table.faults == {}
    assert list(table.frame["text"]) == list(reviews["text"])
    assert table.frame["concept.support"].value_counts().to_dict() == COUNTS["support"]
    assert table.concept_set.label.states == ("bad", "mixed", "good")
