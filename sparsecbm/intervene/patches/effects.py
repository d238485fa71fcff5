"""First-order effects of a concept's bits on texts, computed once for all protections that share these texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsecbm.base.progress import progress
from sparsecbm.intervene.patches.bits import mask_checksum
from sparsecbm.intervene.patches.factors import CompactFactors, compute_factors
from sparsecbm.model.cbm import ConceptBottleneck


@dataclass(frozen=True, eq=False)
class SomeFactors:
    """The factors of some texts of a batch, in one layer.

    Attributes:
        rows: of the texts in the batch
    """

    factors: CompactFactors
    rows: Tensor

    def at(self, positions: Tensor) -> Tensor:
        """The gradient of each text at some positions of the flattened weight, [texts, positions]."""
        return self.factors.at(positions)[self.rows]


class Effects:
    """The effects of one concept's bits on the log-odds of states of texts, as factors.

    Memory grows with the tokens of the texts and the widths of all masked layers.

    Args:
        model: a masked model, whose mask must stay as it is
    """

    def __init__(self, model: ConceptBottleneck, concept: str, batch_size: int = 16) -> None:
        self.model, self.concept, self.batch_size = model, concept, batch_size
        self.mask = mask_checksum(model.masks[concept])
        self._batches: list[dict[str, CompactFactors]] = []
        self._places: dict[tuple[str, int], tuple[int, int]] = {}  # (text, state) -> batch and row

    def compute(self, texts: Sequence[str], states: Tensor) -> list[int]:
        """Compute what is not there yet.

        Args:
            states: index of a state for each text, [texts]

        Returns:
            the numbers of the texts in the order in which `factors` gives them: those of one batch are neighbours
        """
        pairs = list(zip(texts, states.tolist(), strict=True))
        first = {pair: i for i, pair in reversed(list(enumerate(pairs)))}
        missing = sorted((i for pair, i in first.items() if pair not in self._places), key=lambda i: (len(texts[i]), i))
        for start in progress(range(0, len(missing), self.batch_size), f"protect {self.concept}", "batch"):
            batch = missing[start : start + self.batch_size]
            _, factors = compute_factors(self.model, self.concept, [texts[i] for i in batch], states[batch])
            self._places |= {pairs[i]: (len(self._batches), row) for row, i in enumerate(batch)}
            self._batches.append({layer: of_layer.compact() for layer, of_layer in factors.items()})
        return sorted(range(len(pairs)), key=lambda i: (self._places[pairs[i]], i))

    def factors(self, texts: Sequence[str], states: Tensor) -> dict[str, tuple[SomeFactors, ...]]:
        """The factors of computed texts by masked layer, one item for each batch, in the order that `compute` gives."""
        rows: dict[int, list[int]] = {}
        for pair in zip(texts, states.tolist(), strict=True):
            batch, row = self._places[pair]
            rows.setdefault(batch, []).append(row)
        return {
            layer: tuple(SomeFactors(self._batches[batch][layer], torch.tensor(rows[batch])) for batch in rows)
            for layer in self._batches[0]
        }
