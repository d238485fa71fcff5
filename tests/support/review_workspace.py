"""A workspace with a few checked texts, for reviews and exchanges of labels."""

from pathlib import Path

import pandas as pd

from sparsecbm.annotate.concept_file import ConceptDefinition, ConceptFile, write_concept_file
from sparsecbm.annotate.labels import label_table, text_key, write_labels
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import write_splits
from tests.support.data_workspace import REPOSITORY

FOOD = ConceptDefinition("food", "what guests ate", {"bad": "The meal was poor.", "good": "The meal was a pleasure."})
NOISE = ConceptDefinition("noise", "how loud it was", {"loud": "One had to shout.", "quiet": "One could talk."})
CONCEPTS = (FOOD, NOISE)

TEXTS = {
    "train": [
        "the soup was cold",
        "the soup was hot",
        "nobody spoke",
        "a band played",
        "a long evening",
        "a short one",
    ],
    "test": ["the bread was stale", "the cake was fresh", "they all shouted"],
}


def make_review_workspace(root: Path, concepts: tuple[ConceptDefinition, ...] = CONCEPTS) -> Workspace:
    """Make a workspace whose source labels nothing but the food of the first two training texts, bad and good."""
    workspace = Workspace(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "params.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
    splits = {split: _frame(split, texts) for split, texts in TEXTS.items()}
    vocabulary = ConceptSet.of(("stars", ["1", "2"]), {"food": ["bad", "good"]}).to_dict()
    write_splits(workspace.validated, splits, {"vocabulary": vocabulary})
    write_concept_file(workspace.concept_file, ConceptFile("Reviews", concepts))
    return workspace


def write_machine_labels(
    workspace: Workspace, name: str, cells: dict[tuple[str, str], dict[str, float] | None]
) -> None:
    """Write a table of labels of one annotator.

    Args:
        cells: (text, concept) -> state -> probability; None where it abstains
    """
    hashes = {concept.name: concept.hash for concept in CONCEPTS}
    rows = [
        {
            "key": text_key(text),
            "concept": concept,
            "state": max(given, key=given.get) if given else None,
            "confidence": max(given.values()) if given else None,
            "probabilities": pd.Series(given).to_json() if given else None,
            "definition": hashes[concept],
            "model": name,
            "prompt": "",
        }
        for (text, concept), given in cells.items()
    ]
    write_labels(workspace.annotations / f"{name}.parquet", label_table(rows))


def _frame(split: str, texts: list[str]) -> pd.DataFrame:
    numbers = range(len(texts))
    food = ["bad", "good"] + [None] * (len(texts) - 2) if split == "train" else [None] * len(texts)
    frame = pd.DataFrame(
        {
            "id": [f"{split}-{n}" for n in numbers],
            "text": texts,
            "label": [str(1 + n % 2) for n in numbers],
            "group": [f"{split}-{n}" for n in numbers],
            "edit_type": None,
            "file": "reviews.csv",
            "row": [n + 1 for n in numbers],
            "concept.food": food,
            "source.food": ["human" if state else None for state in food],
            "confidence.food": None,
        }
    )
    return frame.astype({"edit_type": "str", "concept.food": "str", "source.food": "str", "confidence.food": "float64"})
