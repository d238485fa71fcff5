"""CEBaB: restaurant reviews with edits and validated aspects, from the released files or the public hub.

Abraham et al., arXiv 2205.14140.
"""

import ast
import hashlib
import json
from pathlib import Path

import pandas as pd

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.base.errors import DataError
from sparsecbm.base.params import CebabSource
from sparsecbm.data.source_table import BLANK, HUMAN, NO_MAJORITY, SourceTable, canonical, require_columns, text_cells
from sparsecbm.data.sources.hub import load_dataset
from sparsecbm.data.sources.readers import existing_folder, file_entry, read_json_rows

CONCEPTS = ConceptSet(
    tuple(Concept(name) for name in ("food", "service", "ambiance", "noise")),
    Concept("rating", ("1", "2", "3", "4", "5")),
)
LICENCE = "CC-BY-4.0"
DATASET = "CEBaB/CEBaB"
_PLAIN = {"id": "id", "description": "text", "original_id": "group"}


def load_cebab(source: CebabSource, root: Path) -> SourceTable:
    """Load one training file, and dev and test as far as they are there.

    The three training files overlap, so only the chosen one is loaded.

    Raises:
        DataError: none of the files is there, or one is broken.
    """
    parts, files = _from_hub(source) if source.path is None else _from_folder(source, root)
    frame = pd.concat([_rows(rows, name, split) for split, name, rows in parts], ignore_index=True)
    return SourceTable(canonical(frame, CONCEPTS), CONCEPTS, source.name, LICENCE, tuple(files), f"{source.train}.json")


def _from_folder(source: CebabSource, root: Path) -> tuple[list, list]:
    folder = existing_folder(root, source.path)
    names = {"train": f"{source.train}.json", "dev": "dev.json", "test": "test.json"}
    parts, files = [], []
    for split, name in names.items():
        if (folder / name).is_file():
            rows = read_json_rows(folder / name)
            parts.append((split, name, rows))
            files.append(file_entry(folder / name, len(rows)))
    if not parts:
        raise DataError(f"{folder} holds none of {', '.join(names.values())}; set source.path to the unpacked release")
    return parts, files


def _from_hub(source: CebabSource) -> tuple[list, list]:
    splits = load_dataset(DATASET)
    parts, files = [], []
    # The hub calls the released dev.json `validation`. Here it is `dev`, so files and hub give the same tables.
    for split, name in {"train": source.train, "dev": "validation", "test": "test"}.items():
        if name in splits:
            rows = splits[name].to_list()
            parts.append((split, name, rows))
            digest = hashlib.sha256(json.dumps(rows, sort_keys=True).encode("utf-8")).hexdigest()
            files.append({"name": f"{DATASET}/{name}", "sha256": digest, "rows": len(rows)})
    if not parts:
        raise DataError(f"the data set {DATASET} has none of the splits {source.train}, validation, test")
    return parts, files


def _rows(rows: list[dict], name: str, split: str) -> pd.DataFrame:
    """Canonical columns of one file."""
    table = pd.DataFrame({key: pd.Series([row.get(key) for row in rows], dtype=object) for key in rows[0]})
    needed = [*_PLAIN, "is_original", "edit_type", "review_majority", "review_label_distribution"]
    needed += [f"{aspect}_aspect_{part}" for aspect in CONCEPTS.names for part in ("majority", "label_distribution")]
    require_columns(list(table.columns), needed, name, "Take the file as CEBaB released it.")
    frame, faults = pd.DataFrame(), []
    for column, canonical_name in _PLAIN.items():
        frame[canonical_name], fault = text_cells(table[column])
        faults.append(fault)
    rating, fault = text_cells(table["review_majority"], numbers=True)
    faults.append(fault)
    frame["label"] = rating.mask(rating.isin(["", NO_MAJORITY]))
    frame = frame.assign(**_shares("label", CONCEPTS.label, table["review_label_distribution"].map(_votes)))
    # In train_observational an original has the edit type of its edit; an original is not an edit, so it gets none.
    frame["edit_type"] = table["edit_type"].mask(table["is_original"].astype(bool))
    for aspect in CONCEPTS.names:
        majority = table[f"{aspect}_aspect_majority"].fillna("")
        state = majority.mask(majority.isin(["", NO_MAJORITY]))
        votes = table[f"{aspect}_aspect_label_distribution"].map(_votes)
        frame[f"concept.{aspect}"] = state
        frame[f"source.{aspect}"] = majority.map({"": BLANK, NO_MAJORITY: NO_MAJORITY}).fillna(HUMAN)
        frame[f"confidence.{aspect}"] = [_share(v, s) for v, s in zip(votes, state, strict=True)]
        frame = frame.assign(**_shares(aspect, CONCEPTS[aspect], votes))
    frame["fault"] = pd.concat(faults, axis=1).bfill(axis=1).iloc[:, 0]
    return frame.assign(file=name, row=range(1, len(rows) + 1), split=split)


def _votes(cell: object) -> dict[str, int]:
    """The votes by state. The hub holds them as text, or with empty entries."""
    if isinstance(cell, str):
        cell = ast.literal_eval(cell) if cell.startswith("{") else {}
    return {state: count for state, count in (cell or {}).items() if count}


def _shares(name: str, variable: Concept, votes: pd.Series) -> dict[str, list[float | None]]:
    """The share of the votes for each state, by column; null without votes."""
    counts = [[cell.get(state, 0) for state in variable.states] for cell in votes]
    return {
        f"share.{name}.{state}": [row[index] / sum(row) if sum(row) else None for row in counts]
        for index, state in enumerate(variable.states)
    }


def _share(votes: dict[str, int], state: object) -> float | None:
    """The share of the votes for the majority's state; null without a majority."""
    return votes[state] / sum(votes.values()) if isinstance(state, str) and state in votes else None
