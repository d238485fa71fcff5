"""The texts of a workspace, each once."""

import pandas as pd

from sparsecbm.annotate.labels import text_key
from sparsecbm.annotate.texts import distinct_texts


def rows(texts, label, **more):
    """Return rows of one split, a group each."""
    return pd.DataFrame({"text": texts, "label": label, "group": [f"g{i}" for i in range(len(texts))], **more})


def test_of_equal_texts_the_first_counts_whatever_its_split():
    splits = {"train": rows(["A", "B", " A "], ["1", None, "2"], note="x"), "test": rows(["B", "C"], "3", note="y")}
    texts = distinct_texts(splits)
    assert list(texts) == ["key", "text", "group", "label", "split"]
    assert texts["text"].tolist() == ["A", "B", "C"] and texts["split"].tolist() == ["train", "train", "test"]
    assert texts["key"].tolist() == [text_key(text) for text in "ABC"]
    assert texts["label"].fillna("").tolist() == ["1", "", "3"]
    assert distinct_texts(splits, ["note"])["note"].tolist() == ["x", "x", "y"]
