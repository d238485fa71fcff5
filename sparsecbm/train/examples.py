"""Annotated tables as token ids and class indices, ready to be batched."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.model.batches import encode, pad
from sparsecbm.model.cbm import ConceptBottleneck

MISSING = -100  # the class index that torch's cross-entropy leaves out


@dataclass(frozen=True)
class Examples:
    """Texts of one split: token ids, class indices with `MISSING` where nobody knows, and targets of the loss."""

    rows: list[list[int]]
    label: Tensor  # [texts], int64
    concepts: dict[str, Tensor]  # name -> [texts], int64
    label_target: Tensor  # [texts, classes], rows add up to 1, or to 0 where nobody knows
    concept_targets: dict[str, Tensor]  # name -> [texts, states], likewise

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
    label: Tensor  # [batch, classes], a target
    concepts: dict[str, Tensor]  # name -> [batch, states], likewise


def class_indices(column: pd.Series, variable: Concept) -> Tensor:
    """Class index of each cell, [rows]; `MISSING` for a null."""
    values = [MISSING if pd.isna(cell) else variable.index(cell) for cell in column]
    return torch.tensor(values, dtype=torch.long)


def one_hot(gold: Tensor, states: int) -> Tensor:
    """Targets that put all on the gold class, [rows, states], float32; zero where it is `MISSING`."""
    known = gold != MISSING
    target = torch.zeros(len(gold), states)
    target[known] = torch.nn.functional.one_hot(gold[known], states).float()
    return target


def vote_shares(frame: pd.DataFrame, name: str, variable: Concept, gold: Tensor) -> Tensor:
    """Targets by the shares of the votes, [rows, states]; where nobody voted, all on the gold class."""
    target = one_hot(gold, len(variable))
    columns = [f"share.{name}.{state}" for state in variable.states]
    if all(column in frame for column in columns):
        shares = torch.tensor(frame[columns].to_numpy(dtype="float32"))
        target = torch.where(shares.isnan().any(1, keepdim=True), target, shares)
    return target


def build_examples(frame: pd.DataFrame, model: ConceptBottleneck, targets: str = "majority") -> Examples:
    """Tokenise and index an annotated table (columns as in `sparsecbm.data.tables`).

    Args:
        targets: what the loss aims at: the gold class (majority), or the shares of the votes (votes)
    """
    concept_set: ConceptSet = model.concept_set
    variables = {"label": concept_set.label} | {concept.name: concept for concept in concept_set}
    gold = {"label": class_indices(frame["label"], concept_set.label)}
    gold |= {concept.name: class_indices(frame[f"concept.{concept.name}"], concept) for concept in concept_set}
    if targets == "votes":
        aims = {name: vote_shares(frame, name, variable, gold[name]) for name, variable in variables.items()}
    else:
        aims = {name: one_hot(gold[name], len(variable)) for name, variable in variables.items()}
    rows = encode(model.tokenizer, frame["text"].tolist(), model.settings.max_length)
    return Examples(rows, gold.pop("label"), gold, aims.pop("label"), aims)


def build_batch(data: Examples, members: Sequence[int], pad_id: int, device: torch.device) -> Batch:
    """Pad and move the rows numbered by `members`."""
    ids, mask = pad([data.rows[i] for i in members], pad_id)
    chosen = torch.as_tensor(members)
    return Batch(
        ids.to(device),
        mask.to(device),
        data.label_target[chosen].to(device),
        {name: values[chosen].to(device) for name, values in data.concept_targets.items()},
    )
