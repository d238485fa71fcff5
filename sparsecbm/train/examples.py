"""Annotated tables as token ids, class indices and targets, ready for batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from sparsecbm.base.concepts import Concept
from sparsecbm.base.params import LabelNoise
from sparsecbm.model.batches import encode, pad
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.train.label_weights import EQUAL_LABELS, label_weights

MISSING = -100  # the class index that torch's cross-entropy ignores


@dataclass(frozen=True)
class Examples:
    """The texts of one split.

    Attributes:
        rows: token ids of each text
        label: [texts], int64, class indices; `MISSING` where the class is unknown
        concepts: concept -> [texts], likewise
        label_target: [texts, classes], what the loss compares with; a row adds up to its weight in the loss, which is
            0 if the class is unknown and 1 unless configured otherwise (`LabelNoise`)
        concept_targets: concept -> [texts, states], likewise
    """

    rows: list[list[int]]
    label: Tensor
    concepts: dict[str, Tensor]
    label_target: Tensor
    concept_targets: dict[str, Tensor]

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
    label: Tensor  # [batch, classes], targets
    concepts: dict[str, Tensor]  # concept -> [batch, states], targets


def class_indices(column: pd.Series, variable: Concept) -> Tensor:
    """Class index of each cell, [rows], int64; `MISSING` for a null."""
    values = [MISSING if pd.isna(cell) else variable.index(cell) for cell in column]
    return torch.tensor(values, dtype=torch.long)


def one_hot(gold: Tensor, states: int) -> Tensor:
    """Targets with 1 at the gold class, [rows, states], float32; a row of zeros where the class is `MISSING`."""
    known = gold != MISSING
    target = torch.zeros(len(gold), states)
    target[known] = torch.nn.functional.one_hot(gold[known], states).float()
    return target


def target_weight(target: Tensor) -> Tensor:
    """What each target adds up to, [rows, 1]: its weight in the loss; rounded, since shares may miss 1 by a bit."""
    return target.sum(-1, keepdim=True).round(decimals=6)


def vote_shares(frame: pd.DataFrame, name: str, variable: Concept, gold: Tensor) -> Tensor:
    """Targets by the shares of the votes, [rows, states]; one-hot targets where nobody voted."""
    target = one_hot(gold, len(variable))
    columns = [f"share.{name}.{state}" for state in variable.states]
    if all(column in frame for column in columns):
        shares = torch.tensor(frame[columns].to_numpy(dtype="float32"))
        target = torch.where(shares.isnan().any(1, keepdim=True), target, shares)
    return target


def build_examples(
    frame: pd.DataFrame, model: ConceptBottleneck, targets: str = "majority", noise: LabelNoise = EQUAL_LABELS
) -> Examples:
    """Tokenise and index an annotated table (columns as in `sparsecbm.data.tables`).

    Args:
        targets: what the loss compares with: the gold class (`majority`), or the shares of the votes (`votes`)
        noise: how much the concept labels count
    """
    variables = {"label": model.concept_set.label} | {concept.name: concept for concept in model.concept_set}
    gold = {"label": class_indices(frame["label"], model.concept_set.label)}
    gold |= {concept.name: class_indices(frame[f"concept.{concept.name}"], concept) for concept in model.concept_set}
    if targets == "votes":
        by_name = {name: vote_shares(frame, name, variable, gold[name]) for name, variable in variables.items()}
    else:
        by_name = {name: one_hot(gold[name], len(variable)) for name, variable in variables.items()}
    for concept in model.concept_set:
        by_name[concept.name] = by_name[concept.name] * label_weights(frame, concept.name, noise)[:, None]
    rows = encode(model.tokenizer, frame["text"].tolist(), model.settings.max_length)
    return Examples(rows, gold.pop("label"), gold, by_name.pop("label"), by_name)


def build_batch(data: Examples, indices: Sequence[int], pad_id: int, device: torch.device) -> Batch:
    """Pad the texts with these indices and move them to a device."""
    ids, mask = pad([data.rows[i] for i in indices], pad_id)
    chosen = torch.as_tensor(indices)
    return Batch(
        ids.to(device),
        mask.to(device),
        data.label_target[chosen].to(device),
        {name: values[chosen].to(device) for name, values in data.concept_targets.items()},
    )
