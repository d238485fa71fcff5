"""How much a subnetwork belongs to its concept (method, section 3).

swap      the concept's own trained head on texts pooled under every mask
probe     a fresh linear probe for the concept under every mask
ablation  the weights that one concept alone keeps set to zero: does it fall, and do the others stand?

Heads and weights that were trained under random masks have such gaps, too. What the choice of weights is worth is
the `excess` over masks that were drawn at random (`sparsecbm.prune.random_control`) and trained in the same way.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from sparsecbm.base.errors import DataError
from sparsecbm.evaluate.evidence import (
    Estimate,
    Evidence,
    Form,
    Number,
    correctness,
    gap_excess,
    gaps,
    standing_out_of_column,
)
from sparsecbm.evaluate.pooled import Pooled, pooled_texts, under
from sparsecbm.evaluate.specificity.probes import probe, sample
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.inference import inference_mode
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.overlap import compute_overlap


class PairScores(Form):
    """Overlap of two masks, and what random masks with the same density in each layer would have."""

    jaccard: Number
    chance: Number


class OverlapScores(PairScores):
    """Overlap of the masks, means over the pairs; and shares of all weights."""

    pairs: dict[str, dict[str, PairScores]] = Field(description="each pair once, the concept that comes first outside")
    core: Number = Field(description="share of weights that every concept keeps")
    exclusive: dict[str, Number] = Field(description="share of weights that this concept alone keeps")


class SquareScores(Form):
    """Accuracy of every concept under every mask."""

    own: Number = Field(description="mean accuracy of the concepts under their own masks")
    others: Number = Field(description="mean accuracy of the concepts under the masks of others")
    gap: dict[str, Estimate] = Field(description="own minus others, by concept and `mean`")
    matrix: dict[str, dict[str, Number]] = Field(description="by concept, then by whose mask it is read under")


class AblationScores(Form):
    """What happens when the weights that one concept alone keeps are set to zero in all masks."""

    before: dict[str, Number] = Field(description="accuracy by concept")
    after: dict[str, dict[str, Number]] = Field(description="by whose weights are gone, then accuracy by concept")
    selectivity: dict[str, Estimate] = Field(
        description="fall of the concept itself minus the mean fall of the others, by concept and `mean`"
    )


class SpecificityScores(Form):
    """All that is measured on one masked model."""

    texts: int
    density: Number = Field(description="share of weights that a concept keeps, mean over the concepts")
    density_by_concept: dict[str, Number]
    overlap: OverlapScores
    swap: SquareScores
    probe: SquareScores
    ablation: AblationScores


class Excess(Form):
    """How much more specific chosen masks are than random ones; paired by text, by concept and `mean`."""

    swap: dict[str, Estimate] = Field(description="excess of the gap of the swap matrix")
    probe: dict[str, Estimate] = Field(description="excess of the gap of the probe matrix")
    ablation: dict[str, Estimate] = Field(description="excess of the selectivity of ablation")


@dataclass(frozen=True, eq=False)
class Specificity:
    """The scores of one masked model, and the evidence by text that they rest on, which no file holds."""

    scores: SpecificityScores
    swap: Evidence
    probe: Evidence
    falls: Evidence  # right before ablation minus right after it; the masks say whose weights are gone

    def to_dict(self) -> dict:
        """Plain form of the scores."""
        return self.scores.to_dict()


def specificity(
    model: ConceptBottleneck,
    training: pd.DataFrame,
    evaluated: pd.DataFrame,
    probe_texts: int = 1000,
    resamples: int = 1000,
    seed: int = 0,
    batch_size: int = 32,
) -> Specificity:
    """Measure a masked model on an annotated table.

    The evaluated texts go through all subnetworks once, and once more through each without the weights that its
    concept alone keeps (ablation).

    Args:
        training: where the texts come from that the probes are fitted on
        probe_texts: how many of them at most
        resamples: bootstrap resamples behind each interval
        seed: of the sample and the resamples

    Raises:
        ModelError: the model has no masks.
        DataError: a table is empty, or nobody knows the state of a concept for any training text of the probes.
    """
    for name, frame in (("training", training), ("evaluated", evaluated)):
        if not len(frame):
            raise DataError(f"the {name} table has no rows, so specificity cannot be measured on it")
    masks = model.masks
    pooled = pooled_texts(model, evaluated, batch_size)
    swapped = swap(model, pooled)
    probed = probe(pooled_texts(model, sample(training, probe_texts, seed), batch_size), pooled)
    falls = ablation(model, evaluated, swapped, batch_size)
    scores = SpecificityScores(
        texts=len(evaluated),
        density=np.mean(list(masks.density().values())),
        density_by_concept=masks.density(),
        overlap=_overlap_scores(masks),
        swap=square_scores(swapped, resamples, seed),
        probe=square_scores(probed, resamples, seed),
        ablation=_ablation_scores(swapped, falls, resamples, seed),
    )
    return Specificity(scores, swapped, probed, falls)


def swap(model: ConceptBottleneck, pooled: Pooled) -> Evidence:
    """Which texts each concept's own head reads rightly under every mask."""
    read = {}
    with inference_mode(model):
        for name in model.concept_set.names:
            under_each = [torch.from_numpy(texts).to(model.device) for texts in pooled.texts.values()]
            logits = [model.concept_heads({name: texts})[name] for texts in under_each]  # each [texts, states]
            read[name] = torch.stack(logits, dim=1).argmax(-1).cpu().numpy()
    return correctness(pooled, read)


def cross_use(model: ConceptBottleneck, masks: MaskSet, evaluated: pd.DataFrame, batch_size: int = 32) -> Evidence:
    """The swap of given masks on a model as it is: chosen or random ones on a dense model, before any recovery.

    The model stays as it is. `square_scores` makes scores of the result, `gap_excess` compares two.

    Raises:
        ModelError: the masks are for another model.
    """
    masked = under(model, masks)
    return swap(masked, pooled_texts(masked, evaluated, batch_size))


def without(masks: MaskSet, name: str) -> MaskSet:
    """The masks of all concepts without the weights that this one alone keeps."""
    exclusive = masks.exclusive(name)
    bits = {layer: rows & ~exclusive.bits[layer] for layer, rows in masks.bits.items()}
    return MaskSet(masks.concepts, masks.shapes, bits)


def ablation(model: ConceptBottleneck, evaluated: pd.DataFrame, before: Evidence, batch_size: int = 32) -> Evidence:
    """The fall of every concept under its own mask when one concept's weights are gone, for each concept in turn.

    Args:
        before: the model's `swap` on the same table

    Returns:
        values 1 for a text that is no longer read rightly, -1 for one that is now, 0 for all others; the masks
        say whose weights are gone
    """
    values = {name: np.zeros_like(right) for name, right in before.values.items()}
    for place, gone in enumerate(before.concepts):
        masks = without(model.masks, gone)
        # Equal bits read equally: only concepts whose mask has changed are read again.
        changed = [
            name
            for name in before.concepts
            if any(not torch.equal(b, model.masks[name].bits[layer]) for layer, b in masks[name].bits.items())
        ]
        if not changed:
            continue
        pooled = pooled_texts(under(model, masks), evaluated, batch_size, changed)
        for name in changed:
            with inference_mode(model):
                texts = torch.from_numpy(pooled.texts[name]).to(model.device)
                read = model.concept_heads({name: texts})[name].argmax(-1, keepdim=True).cpu().numpy()
            own = before.concepts.index(name)
            values[name][:, [place]] = before.values[name][:, [own]] - correctness(pooled, {name: read}).values[name]
    for name, right in before.values.items():
        values[name][np.isnan(right)] = np.nan
    return Evidence(before.ids, values, before.clusters)


def excess(chosen: Specificity, control: Specificity, resamples: int = 1000, seed: int = 0) -> Excess:
    """What chosen masks have over a control of random masks that was measured on the same texts.

    Raises:
        DataError: the two were measured on different texts.
    """
    return Excess(
        swap=gap_excess(chosen.swap, control.swap, resamples, seed),
        probe=gap_excess(chosen.probe, control.probe, resamples, seed),
        ablation=gap_excess(chosen.falls, control.falls, resamples, seed, standing_out_of_column),
    )


def square_scores(evidence: Evidence, resamples: int, seed: int) -> SquareScores:
    """Scores of a swap or a probe, for a metrics file."""
    cells = evidence.cells()
    own = np.diagonal(cells)
    rest = cells[~np.eye(len(cells), dtype=bool)]
    return SquareScores(
        own=own.mean(),
        others=rest.mean() if len(rest) else None,
        gap=gaps(evidence, resamples, seed),
        matrix=evidence.table(),
    )


def _ablation_scores(before: Evidence, falls: Evidence, resamples: int, seed: int) -> AblationScores:
    own = np.diagonal(before.cells())
    after = own[:, None] - falls.cells()  # [concepts, whose weights are gone]
    names = before.concepts
    return AblationScores(
        before=dict(zip(names, own, strict=True)),
        after={gone: dict(zip(names, after[:, j], strict=True)) for j, gone in enumerate(names)},
        selectivity=gaps(falls, resamples, seed, standing_out_of_column),
    )


def _overlap_scores(masks: MaskSet) -> OverlapScores:
    found = compute_overlap(masks)
    pairs: dict[str, dict[str, PairScores]] = {}
    for (first, second), pair in found.pairs.items():
        pairs.setdefault(first, {})[second] = PairScores(jaccard=pair.jaccard, chance=pair.chance)
    return OverlapScores(
        jaccard=found.jaccard, chance=found.chance, pairs=pairs, core=found.core, exclusive=found.exclusive
    )
