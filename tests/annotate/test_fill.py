"""Machine labels fill blank cells of training and validation rows."""

import pandas as pd

from sparsecbm.annotate.combine import combine_labels
from sparsecbm.annotate.fill import fill_splits
from sparsecbm.annotate.labels import label_table, text_key
from tests.support.small_tables import CONCEPTS, good_rows

FOOD = CONCEPTS["food"]


def machine(texts, probabilities: str | None = None) -> dict:
    """What one machine says about the food in texts: always Positive."""
    rows = [{"key": text_key(text), "concept": "food", "state": "Positive", "confidence": 0.7} for text in texts]
    table = label_table([{**row, "probabilities": probabilities} for row in rows])
    return {"food": combine_labels({"llm": table}, FOOD, "priority")}


def splits() -> dict[str, pd.DataFrame]:
    """Splits whose second cell of food is blank, and whose third has no majority."""
    made = {name: good_rows(4, name) for name in ("train", "validation", "test")}
    for frame in made.values():
        frame.loc[1, ["concept.food", "source.food"]] = [None, "blank"]
        frame.loc[2, ["concept.food", "source.food"]] = [None, "no majority"]
    return made


def test_blank_cells_outside_evaluation_get_state_source_confidence_and_shares():
    before = splits()
    texts = [text for frame in before.values() for text in frame["text"]]
    filled = fill_splits(before, machine(texts, '{"Negative": 0.2, "Positive": 0.7, "unknown": 0.1}'), CONCEPTS)
    for split in ("train", "validation"):
        assert filled[split]["concept.food"].fillna("").tolist() == ["Negative", "Positive", "", "Negative"]
        assert filled[split]["source.food"].tolist() == ["human", "llm", "no majority", "human"]
        assert filled[split]["confidence.food"].iloc[1] == 0.7 and filled[split]["confidence.food"].isna().sum() == 3
        shares = filled[split][[f"share.food.{state}" for state in FOOD.states]]
        assert shares.iloc[1].tolist() == [0.2, 0.7, 0.1] and shares.drop(index=1).isna().all(axis=None)
    assert filled["test"]["concept.food"].fillna("").tolist() == ["Negative", "", "", "Negative"]
    assert filled["test"]["source.food"].iloc[1] == "blank" and filled["test"]["share.food.Positive"].isna().all()
    assert list(filled["test"]) == list(filled["train"])
    for split, frame in filled.items():  # concepts without machine labels, and types, stay as they are
        pd.testing.assert_series_equal(frame["concept.price"], before[split]["concept.price"])
        assert frame.dtypes.drop(shares.columns).tolist() == before[split].dtypes.tolist()


def test_without_probabilities_there_are_no_shares_and_an_abstention_fills_nothing():
    before = splits()
    filled = fill_splits(before, machine(before["train"]["text"]), CONCEPTS)
    assert list(filled["train"]) == list(before["train"])
    assert filled["train"]["source.food"].iloc[1] == "llm" and filled["validation"]["source.food"].iloc[1] == "blank"
    assert fill_splits(before, machine([]), CONCEPTS) == before
