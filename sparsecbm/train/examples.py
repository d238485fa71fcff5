"""Annotated tables as token ids and class indices, ready to be batched."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from sparsecbm.concepts import Concept, ConceptSet
from sparsecbm.model.batches import encode, pad
from sparsecbm.model.cbm import SparseCBM

MISSING = -100  # the class index that torch's cross-entropy leaves out


@dataclass(frozen=True)
class Examples:
    """Texts of one split: token ids, and class indices with `MISSING` where nobody knows."""

    rows: list[list[int]]
    label: Tensor  # [texts], int64
    concepts: dict[str, Tensor]  # name -> [texts], int64

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each text."""
        return [len(row) for row in self.rows]


@dataclass(frozen=True)
class Batch:
    """One padded batch on a device."""

    ids: Tensor  # [batch, tokens]
    mask: Tensor  # [batch, tokens]
    label: Tensor  # [batch]
    concepts: dict[str, Tensor]  # name -> [batch]


def indices(column: pd.Series, variable: Concept) -> Tensor:
    """Class index of each cell, [rows]; `MISSING` for a null."""
    values = [MISSING if pd.isna(cell) else variable.index(cell) for cell in column]
    return torch.tensor(values, dtype=torch.long)


def examples(frame: pd.DataFrame, model: SparseCBM) -> Examples:
    """Tokenise and index an annotated table (columns as in `sparsecbm.data.tables`)."""
    concept_set: ConceptSet = model.concept_set
    return Examples(
        encode(model.tokenizer, frame["text"].tolist(), model.settings.max_length),
        indices(frame["label"], concept_set.label),
        {concept.name: indices(frame[f"concept.{concept.name}"], concept) for concept in concept_set},
    )


def batch(data: Examples, members: Sequence[int], pad_id: int, device: torch.device) -> Batch:
    """Pad and move the rows numbered by `members`."""
    ids, mask = pad([data.rows[i] for i in members], pad_id)
    chosen = torch.as_tensor(members)
    return Batch(
        ids.to(device),
        mask.to(device),
        data.label[chosen].to(device),
        {name: values[chosen].to(device) for name, values in data.concepts.items()},
    )
