"""An annotated table as a model reads it, without patches: what a patch must not harm, and what it is billed on."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from sparsecbm.base.errors import InterventionError
from sparsecbm.base.metrics import MISSING
from sparsecbm.model.batches import batch_by_length, encode, pad
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import model_checksum
from sparsecbm.model.inference import inference_mode
from sparsecbm.train.examples import examples
from sparsecbm.train.pooled import pooled_under_masks


@dataclass(frozen=True, eq=False)
class Reference:
    """Texts with their gold states, and what a model reads in them.

    Attributes:
        texts: [texts]
        groups: [texts]; texts of one group are not independent
        label_gold: [texts], class indices, -100 where nobody knows
        gold: concept -> [texts], likewise
        logits: concept -> [texts, states], as read
        pooled: concept -> [texts, hidden], as its subnetwork pools them
        checksum: of the model that read them, weights and masks
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
        """Some of the texts, by number or by a boolean each."""

        def taken(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: array[rows] for name, array in values.items()}

        return Reference(
            self.texts[rows], self.groups[rows], self.label_gold[rows],
            taken(self.gold), taken(self.logits), taken(self.pooled), self.checksum,
        )  # fmt: skip

    def joined(self, other: "Reference") -> "Reference":
        """The texts of both.

        Raises:
            InterventionError: different models read them.
        """
        if self.checksum != other.checksum:
            raise InterventionError("the two references were read by different models or under different masks")

        def both(mine: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: np.concatenate([array, others[name]]) for name, array in mine.items()}

        return Reference(
            np.concatenate([self.texts, other.texts]), np.concatenate([self.groups, other.groups]),
            np.concatenate([self.label_gold, other.label_gold]), both(self.gold, other.gold),
            both(self.logits, other.logits), both(self.pooled, other.pooled), self.checksum,
        )  # fmt: skip

    def without(self, groups: Collection[str]) -> "Reference":
        """The texts that belong to none of these groups."""
        return self.take(~np.isin(self.groups, list(groups)))

    def without_texts(self, texts: Collection[str]) -> "Reference":
        """The texts whose group holds none of these."""
        return self.without(set(self.groups[np.isin(self.texts, list(texts))]))

    def halves(self, share: float, seed: int) -> tuple["Reference", "Reference"]:
        """Two parts without a group in common, the first with about this share of the groups."""
        first = self.in_first(share, seed)
        return self.take(first), self.take(~first)

    def in_first(self, share: float, seed: int) -> np.ndarray:
        """Which texts are in the first of the two `halves`, [texts], bool."""
        groups = np.unique(self.groups)
        chosen = np.random.default_rng(seed).permutation(groups)[: round(share * len(groups))]
        return np.isin(self.groups, chosen)

    def read(self, concept: str) -> np.ndarray:
        """State that is read in each text, [texts]."""
        return self.logits[concept].argmax(-1)

    def right(self, concept: str) -> np.ndarray:
        """Which texts are read rightly, [texts], bool; a text whose state nobody knows is not."""
        return self.gold[concept] == self.read(concept)

    def wrong(self, concept: str) -> np.ndarray:
        """Which texts are misread, [texts], bool; a text whose state nobody knows is not."""
        return (self.gold[concept] != MISSING) & ~self.right(concept)

    def check(self, model: ConceptBottleneck) -> None:
        """See that this model, as it is now, read the texts.

        Raises:
            InterventionError: another model did, or other masks are in force now.
        """
        if self.checksum != model_checksum(model):
            raise InterventionError(
                "the reference was read by another model or under other masks; read it again with this one"
            )


def read_reference(model: ConceptBottleneck, frame: pd.DataFrame, batch_size: int = 32) -> Reference:
    """Read an annotated table (columns as in `sparsecbm.data.tables`) by all concepts once.

    Raises:
        InterventionError: the model has no concepts, or the table no rows.
    """
    if not model.has_bottleneck:
        raise InterventionError("a model of mode `standard` has no concepts to intervene on; train one with another")
    if not len(frame):
        raise InterventionError("the reference table has no rows, so nothing can be said about side effects")
    data = examples(frame, model)
    pooled = pooled_under_masks(model, data, batch_size=batch_size)
    with inference_mode(model):
        on_device = {name: texts.to(model.device) for name, texts in pooled.items()}
        logits = {name: values.float().cpu().numpy() for name, values in model.concept_heads(on_device).items()}
    return Reference(
        frame["text"].to_numpy(dtype=object),
        frame["group"].astype(str).to_numpy(dtype=object),
        data.label.numpy(),
        {name: gold.numpy() for name, gold in data.concepts.items()},
        logits,
        {name: texts.numpy() for name, texts in pooled.items()},
        model_checksum(model),
    )


def read_concept(
    model: ConceptBottleneck, concept: str, texts: list[str], batch_size: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Read one concept alone: logits, [texts, states], and pooled texts, [texts, hidden]."""
    rows = encode(model.tokenizer, texts, model.settings.max_length)
    logits: list = [None] * len(rows)
    vectors: list = [None] * len(rows)
    with inference_mode(model):
        for members in batch_by_length([len(row) for row in rows], batch_size):
            ids, mask = pad([rows[i] for i in members], model.tokenizer.pad_token_id)
            everything = {concept: torch.arange(len(members), device=model.device)}
            pooled = model.represent(ids.to(model.device), mask.to(model.device), everything)
            read = model.concept_heads(pooled)[concept].float().cpu().numpy()
            for member, values, vector in zip(members, read, pooled[concept].float().cpu().numpy(), strict=True):
                logits[member], vectors[member] = values, vector
    return np.stack(logits), np.stack(vectors)


def nearest(vectors: np.ndarray, stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most alike stored vector of each vector: its number and the cosine, [texts] each."""

    def unit(rows: np.ndarray) -> np.ndarray:
        return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(min=1e-12)

    likeness = unit(vectors) @ unit(stored).T
    which = likeness.argmax(1)
    return which, likeness[np.arange(len(vectors)), which]
