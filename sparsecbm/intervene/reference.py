"""An annotated table with a model's predictions, without patches.

Patches must not harm these predictions, and their side effects are measured on them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from sparsecbm.base.errors import InterventionError
from sparsecbm.base.metrics import MISSING
from sparsecbm.base.progress import progress
from sparsecbm.model.batches import batch_by_length, encode, pad
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import model_checksum
from sparsecbm.model.inference import inference_mode
from sparsecbm.train.examples import Examples, build_examples
from sparsecbm.train.pooled import pooled_under_masks


@dataclass(frozen=True, eq=False)
class Reference:
    """Texts with their gold states and a model's predictions.

    Attributes:
        texts: [texts]
        groups: [texts]; texts of one group are not independent
        label_gold: [texts], class indices, -100 where unknown
        gold: concept -> [texts], state indices, -100 where unknown
        logits: concept -> [texts, states]
        pooled: concept -> [texts, hidden], as the concept's subnetwork pools them
        checksum: of the model that made the predictions, weights and masks
    """

    texts: np.ndarray
    groups: np.ndarray
    label_gold: np.ndarray
    gold: dict[str, np.ndarray]
    logits: dict[str, np.ndarray]
    pooled: dict[str, np.ndarray]
    checksum: str

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: np.ndarray) -> "Reference":
        """Return some of the texts, by index or by a boolean each."""

        def take_each(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: array[rows] for name, array in arrays.items()}

        return Reference(
            self.texts[rows], self.groups[rows], self.label_gold[rows],
            take_each(self.gold), take_each(self.logits), take_each(self.pooled), self.checksum,
        )  # fmt: skip

    def joined(self, other: "Reference") -> "Reference":
        """Return the texts of both.

        Raises:
            InterventionError: they come from different models.
        """
        if self.checksum != other.checksum:
            raise InterventionError("the two references come from different models or different masks")

        def join_each(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: np.concatenate([array, second[name]]) for name, array in first.items()}

        return Reference(
            np.concatenate([self.texts, other.texts]), np.concatenate([self.groups, other.groups]),
            np.concatenate([self.label_gold, other.label_gold]), join_each(self.gold, other.gold),
            join_each(self.logits, other.logits), join_each(self.pooled, other.pooled), self.checksum,
        )  # fmt: skip

    def only(self, concept: str) -> "Reference":
        """Return the same texts with the predictions of one concept alone."""
        parts = ({concept: arrays[concept]} for arrays in (self.gold, self.logits, self.pooled))
        return Reference(self.texts, self.groups, self.label_gold, *parts, self.checksum)

    def with_concepts_of(self, other: "Reference") -> "Reference":
        """Return the same texts with the predictions of the other's concepts as well."""
        pairs = ((self.gold, other.gold), (self.logits, other.logits), (self.pooled, other.pooled))
        return Reference(self.texts, self.groups, self.label_gold, *(a | b for a, b in pairs), self.checksum)

    def without(self, groups: Collection[str]) -> "Reference":
        """Return the texts that belong to none of these groups."""
        return self.take(~np.isin(self.groups, list(groups)))

    def without_texts(self, texts: Collection[str]) -> "Reference":
        """Return the texts whose group holds none of these."""
        return self.without(set(self.groups[np.isin(self.texts, list(texts))]))

    def halves(self, share: float, seed: int) -> tuple["Reference", "Reference"]:
        """Return two parts without a common group, the first with about this share of the groups."""
        first = self.in_first(share, seed)
        return self.take(first), self.take(~first)

    def in_first(self, share: float, seed: int) -> np.ndarray:
        """Return which texts are in the first of the two `halves`, [texts], bool."""
        groups = np.unique(self.groups)
        first_groups = np.random.default_rng(seed).permutation(groups)[: round(share * len(groups))]
        return np.isin(self.groups, first_groups)

    def predicted(self, concept: str) -> np.ndarray:
        """Return the index of the predicted state of each text, [texts]."""
        return self.logits[concept].argmax(-1)

    def correct(self, concept: str) -> np.ndarray:
        """Return which texts are predicted correctly, [texts], bool; false where the gold state is unknown."""
        return self.gold[concept] == self.predicted(concept)

    def incorrect(self, concept: str) -> np.ndarray:
        """Return which texts are predicted wrongly, [texts], bool; false where the gold state is unknown."""
        return (self.gold[concept] != MISSING) & ~self.correct(concept)

    def check_model(self, model: ConceptBottleneck) -> None:
        """Check that the predictions come from this model, under the masks that are in force now.

        Raises:
            InterventionError: they do not.
        """
        if self.checksum != model_checksum(model):
            raise InterventionError(
                "the reference comes from another model or from other masks; predict it again with this model"
            )


def predict_reference(
    model: ConceptBottleneck, frame: pd.DataFrame, batch_size: int = 32, concepts: Sequence[str] | None = None
) -> Reference:
    """Predict concepts of an annotated table (columns as in `sparsecbm.data.tables`).

    Args:
        concepts: those that are predicted; all by default

    Raises:
        InterventionError: the model has no concepts, or the table no rows.
    """
    if not model.has_bottleneck:
        raise InterventionError("a model of mode `standard` has no concepts to intervene on; train one in another mode")
    if not len(frame):
        raise InterventionError("the reference table has no rows, so no side effects can be measured on it")
    data = build_examples(frame, model)
    pooled = pooled_under_masks(model, data, concepts, batch_size)
    with inference_mode(model):
        on_device = {name: texts.to(model.device) for name, texts in pooled.items()}
        logits = {name: values.float().cpu().numpy() for name, values in model.concept_heads(on_device).items()}
    return _annotated_reference(model, frame, data, logits, {name: texts.numpy() for name, texts in pooled.items()})


def annotated_reference(
    model: ConceptBottleneck, frame: pd.DataFrame, logits: dict[str, np.ndarray], pooled: dict[str, np.ndarray]
) -> Reference:
    """Return a reference of predictions that this model made earlier.

    Args:
        frame: an annotated table
        logits: concept -> [texts, states]
        pooled: concept -> [texts, hidden]
    """
    return _annotated_reference(model, frame, build_examples(frame, model), logits, pooled)


def _annotated_reference(
    model: ConceptBottleneck,
    frame: pd.DataFrame,
    data: Examples,
    logits: dict[str, np.ndarray],
    pooled: dict[str, np.ndarray],
) -> Reference:
    return Reference(
        frame["text"].to_numpy(dtype=object),
        frame["group"].astype(str).to_numpy(dtype=object),
        data.label.numpy(),
        {name: data.concepts[name].numpy() for name in logits},
        logits,
        pooled,
        model_checksum(model),
    )


def predict_concept_logits(
    model: ConceptBottleneck, concept: str, texts: list[str], batch_size: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Predict one concept alone.

    Returns:
        logits, [texts, states]; and pooled texts, [texts, hidden]
    """
    rows = encode(model.tokenizer, texts, model.settings.max_length)
    logits: list = [None] * len(rows)
    vectors: list = [None] * len(rows)
    with inference_mode(model):
        for batch in progress(batch_by_length([len(row) for row in rows], batch_size), f"predict {concept}", "batch"):
            ids, mask = pad([rows[i] for i in batch], model.tokenizer.pad_token_id)
            all_rows = {concept: torch.arange(len(batch), device=model.device)}
            pooled = model.represent(ids.to(model.device), mask.to(model.device), all_rows)
            batch_logits = model.concept_heads(pooled)[concept].float().cpu().numpy()
            batch_vectors = pooled[concept].float().cpu().numpy()
            for row, values, vector in zip(batch, batch_logits, batch_vectors, strict=True):
                logits[row], vectors[row] = values, vector
    return np.stack(logits), np.stack(vectors)


def find_nearest(vectors: np.ndarray, stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of the most similar stored vector of each vector, and their cosine, [vectors] each."""

    def normalise(rows: np.ndarray) -> np.ndarray:
        return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(min=1e-12)

    similarity = normalise(vectors) @ normalise(stored).T
    nearest = similarity.argmax(1)
    return nearest, similarity[np.arange(len(vectors)), nearest]
