"""How much a subnetwork belongs to its concept (method, section 3).

swap      the concept's own trained head, on texts pooled under every mask
probe     a new linear probe for the concept, under every mask
ablation  a concept's exclusive weights are set to zero: its accuracy should fall, and that of the others should not

Heads and weights that are trained under random masks show such gaps, too. So the choice of weights is worth the
`excess` over random masks (`sparsecbm.pruning.random_control`) that were trained in the same way.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from sparsecbm.base.errors import DataError
from sparsecbm.base.form import Form
from sparsecbm.base.numbers import Number
from sparsecbm.base.progress import progress
from sparsecbm.evaluate.evidence import Estimate, Evidence, column_gaps, correctness, gap_excess, gaps
from sparsecbm.evaluate.pooled import Pooled, pooled_texts
from sparsecbm.evaluate.specificity.probes import probe, sample
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.exclusive_weights import without_exclusive
from sparsecbm.model.inference import inference_mode
from sparsecbm.model.masked_copy import with_masks
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.overlap import compute_overlap


class PairScores(Form):
    """Overlap of two masks, and the overlap that random masks of the same density in each layer would have."""

    jaccard: Number
    chance: Number


class OverlapScores(PairScores):
    """Overlap of the masks, as means over the pairs, and shares of all weights."""

    pairs: dict[str, dict[str, PairScores]] = Field(description="each pair once, under the concept that comes first")
    core: Number = Field(description="share of weights that every concept keeps")
    exclusive: dict[str, Number] = Field(description="share of weights that this concept alone keeps")


class SquareScores(Form):
    """Accuracy of every concept under every mask."""

    own: Number = Field(description="mean accuracy of the concepts under their own masks")
    others: Number = Field(description="mean accuracy of the concepts under the masks of others")
    gap: dict[str, Estimate] = Field(description="own minus others, by concept and `mean`")
    matrix: dict[str, dict[str, Number]] = Field(description="by concept, then by the mask it is predicted under")


class AblationScores(Form):
    """What happens when the exclusive weights of one concept are set to zero."""

    before: dict[str, Number] = Field(description="accuracy by concept")
    after: dict[str, dict[str, Number]] = Field(
        description="by the concept whose weights are removed, then accuracy by concept"
    )
    selectivity: dict[str, Estimate] = Field(
        description="fall of the concept itself minus the mean fall of the others, by concept and `mean`"
    )


class SpecificityScores(Form):
    """All specificity scores of one masked model."""

    texts: int
    density: Number = Field(description="share of weights that a concept keeps, mean over the concepts")
    density_by_concept: dict[str, Number]
    overlap: OverlapScores
    swap: SquareScores
    probe: SquareScores
    ablation: AblationScores


class Excess(Form):
    """How much more specific chosen masks are than random ones, by concept and `mean`; paired by text."""

    swap: dict[str, Estimate] = Field(description="excess of the gap of the swap matrix")
    probe: dict[str, Estimate] = Field(description="excess of the gap of the probe matrix")
    ablation: dict[str, Estimate] = Field(description="excess of the selectivity of ablation")


@dataclass(frozen=True, eq=False)
class Specificity:
    """The scores of one masked model, and the evidence by text behind them, which no file holds.

    Attributes:
        scores: for the metrics file
        swap, probe: 1 for a right prediction and 0 for a wrong one
        falls: right before ablation minus right after it; the columns say whose weights are removed
    """

    scores: SpecificityScores
    swap: Evidence
    probe: Evidence
    falls: Evidence

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
) -> Specificity:
    """Measure a masked model on an annotated table.

    The evaluated texts go through all subnetworks once, and through each subnetwork without its exclusive weights once.

    Args:
        training: the table from which the texts of the probes are sampled
        probe_texts: the most texts that the probes are fitted on
        resamples: bootstrap resamples for each interval
        seed: of the sample and the resamples

    Raises:
        ModelError: the model has no masks.
        DataError: a table is empty, or no text of the probes has a known state of a concept.
    """
    for name, frame in (("training", training), ("evaluated", evaluated)):
        if not len(frame):
            raise DataError(f"the {name} table has no rows, so specificity cannot be measured on it")
    masks = model.masks
    pooled = pooled_texts(model, evaluated)
    swapped = swap(model, pooled)
    probed = probe(pooled_texts(model, sample(training, probe_texts, seed)), pooled)
    falls = ablation(model, evaluated, swapped)
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
    """Whether the predictions of each concept's own head are right, under every mask."""
    predicted = {}
    with inference_mode(model):
        for name in model.concept_set.names:
            under_each = [torch.from_numpy(texts).to(model.device) for texts in pooled.texts.values()]
            logits = [model.concept_heads({name: texts})[name] for texts in under_each]  # each [texts, states]
            predicted[name] = torch.stack(logits, dim=1).argmax(-1).cpu().numpy()
    return correctness(pooled, predicted)


def cross_use(model: ConceptBottleneck, masks: MaskSet, evaluated: pd.DataFrame) -> Evidence:
    """The swap of given masks on a model without any training, such as chosen or random masks on a dense model.

    The model does not change. `square_scores` makes scores of the result, and `gap_excess` compares two results.

    Raises:
        ModelError: the masks do not fit the model.
    """
    masked = with_masks(model, masks)
    return swap(masked, pooled_texts(masked, evaluated))


def ablation(model: ConceptBottleneck, evaluated: pd.DataFrame, before: Evidence) -> Evidence:
    """The fall of every concept under its own mask when one concept's exclusive weights are removed.

    Args:
        before: the model's `swap` on the same table

    Returns:
        1 for a text whose prediction was right and is wrong, -1 for the reverse, 0 for all others. The columns say
        whose weights are removed.
    """
    values = {name: np.zeros_like(right) for name, right in before.values.items()}
    for column, removed in enumerate(progress(before.concepts, "ablate exclusive weights", "concept")):
        masks = without_exclusive(model.masks, [removed])
        # Equal masks give equal predictions, so only concepts whose mask has changed are predicted again.
        changed = [
            name
            for name in before.concepts
            if any(not torch.equal(b, model.masks[name].bits[layer]) for layer, b in masks[name].bits.items())
        ]
        if not changed:
            continue
        pooled = pooled_texts(with_masks(model, masks), evaluated, concepts=changed)
        for name in changed:
            with inference_mode(model):
                texts = torch.from_numpy(pooled.texts[name]).to(model.device)
                predicted = model.concept_heads({name: texts})[name].argmax(-1, keepdim=True).cpu().numpy()
            index = before.concepts.index(name)
            right_after = correctness(pooled, {name: predicted}).values[name]
            values[name][:, [column]] = before.values[name][:, [index]] - right_after
    for name, right in before.values.items():
        values[name][np.isnan(right)] = np.nan
    return Evidence(before.ids, values, before.clusters)


def excess(chosen: Specificity, control: Specificity, resamples: int = 1000, seed: int = 0) -> Excess:
    """How much more specific chosen masks are than random ones that were measured on the same texts.

    Raises:
        DataError: the two were measured on different texts.
    """
    return Excess(
        swap=gap_excess(chosen.swap, control.swap, resamples, seed),
        probe=gap_excess(chosen.probe, control.probe, resamples, seed),
        ablation=gap_excess(chosen.falls, control.falls, resamples, seed, column_gaps),
    )


def square_scores(evidence: Evidence, resamples: int, seed: int) -> SquareScores:
    """Scores of a swap or a probe, for a metrics file."""
    cells = evidence.cells()
    others = cells[~np.eye(len(cells), dtype=bool)]
    return SquareScores(
        own=np.diagonal(cells).mean(),
        others=others.mean() if len(others) else None,
        gap=gaps(evidence, resamples, seed),
        matrix=evidence.table(),
    )


def _ablation_scores(before: Evidence, falls: Evidence, resamples: int, seed: int) -> AblationScores:
    accuracies = np.diagonal(before.cells())
    after = accuracies[:, None] - falls.cells()  # [concepts, concepts whose weights are removed]
    names = before.concepts
    return AblationScores(
        before=dict(zip(names, accuracies, strict=True)),
        after={removed: dict(zip(names, after[:, j], strict=True)) for j, removed in enumerate(names)},
        selectivity=gaps(falls, resamples, seed, column_gaps),
    )


def _overlap_scores(masks: MaskSet) -> OverlapScores:
    overlaps = compute_overlap(masks)
    pairs: dict[str, dict[str, PairScores]] = {}
    for (first, second), pair in overlaps.pairs.items():
        pairs.setdefault(first, {})[second] = PairScores(jaccard=pair.jaccard, chance=pair.chance)
    return OverlapScores(
        jaccard=overlaps.jaccard,
        chance=overlaps.chance,
        pairs=pairs,
        core=overlaps.core,
        exclusive=overlaps.exclusive,
    )
