"""ICaCE errors of a trained model on a split with counterfactual pairs, as the stage `evaluate` reports them.

Explainers that edit a concept, and the baselines, estimate the effects of all pairs. Explainers that remove a concept
do not use the new state. So they estimate only pairs whose text loses the concept (the new state is `unknown`).
All other explainers are measured on these pairs, too:

mask_ablation  the concept's activations through its mask without its exclusive weights
word_removal   the concept's activations for the text without the fifth of its words that most support the old state
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from sparsecbm.base.errors import DataError
from sparsecbm.base.form import Form
from sparsecbm.base.params import Evaluate
from sparsecbm.evaluate.causal.counterfactuals import Pairs, pairs_if_any
from sparsecbm.evaluate.causal.effects import Explainer, concept_replacement, predict_texts
from sparsecbm.evaluate.causal.icace import IcaceScores, make_explainers, measure_icace
from sparsecbm.evaluate.causal.lost_states import ablated_model
from sparsecbm.evaluate.faithfulness.aopc import UNKNOWN, rank_words, top_words
from sparsecbm.evaluate.faithfulness.batched_inference import concept_logits_for
from sparsecbm.evaluate.faithfulness.perturbations import Perturber
from sparsecbm.evaluate.specificity.probes import sample
from sparsecbm.explain.attribution import attribute
from sparsecbm.explain.methods import AttributionOptions
from sparsecbm.explain.subject import prepared
from sparsecbm.explain.words import TokenizedText, tokenize_words
from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.heads import activate

# How word_removal ranks words. Few gradients make it fast; a single one at the text itself is misleading
# (docs/benchmarks.md).
METHOD, QUICK, SHARE = "integrated_gradients", AttributionOptions(steps=4, max_steps=4), 0.2
MOST = 128  # pairs for explainers that remove a concept, since word attributions take many forward passes


class CausalScores(Form):
    """ICaCE errors on the counterfactual pairs of one split."""

    training_texts: int = Field(description="what conexp, s_learner and the typical concept edit were fitted on")
    skipped: str | None = Field(description="why nothing could be measured")
    pairs: IcaceScores | None
    losing: IcaceScores | None = Field(
        description="a sample of the pairs whose new state is `unknown`; two more explainers"
    )


def causal_scores(
    model: ConceptBottleneck,
    training: pd.DataFrame,
    frame: pd.DataFrame,
    logits: Logits,
    params: Evaluate,
    seed: int,
) -> CausalScores | None:
    """Measure all explainers of the model; None without a bottleneck or without pairs.

    Args:
        training: the table from which the texts that explainers are fitted on are sampled
        frame: the split
        logits: of the split's texts
        params: `effect_texts` is the most texts that explainers are fitted on
        seed: of the sampled texts and the resamples
    """
    pairs = pairs_if_any(frame, model.concept_set) if model.has_bottleneck else None
    if pairs is None:
        return None
    fitting = sample(training, params.effect_texts, seed)
    with prepared(model) as ready:
        fitting_logits = ready.logits(fitting["text"].tolist())
    try:
        explainers = make_explainers(model, predict_texts(model, fitting, logits=fitting_logits), seed)
    except DataError as error:  # a poor model or too few texts; the other scores of the split are still valid
        return CausalScores(training_texts=len(fitting), skipped=str(error), pairs=None, losing=None)
    texts = predict_texts(model, frame, logits=logits)
    losing, losing_scores = _losing_pairs(pairs, seed), None
    if len(losing):
        all_explainers = explainers | removal_explainers(model, frame["text"].tolist(), texts.activations, losing)
        losing_scores = measure_icace(model, texts, losing, all_explainers, params.bootstrap, seed)
    return CausalScores(
        training_texts=len(fitting),
        skipped=None,
        pairs=measure_icace(model, texts, pairs, explainers, params.bootstrap, seed),
        losing=losing_scores,
    )


def removal_explainers(
    model: ConceptBottleneck, texts: Sequence[str], activations: Mapping[str, np.ndarray], losing: Pairs
) -> dict[str, Explainer]:
    """Explainers that remove a concept's subnetwork (of a masked model) or its words.

    Args:
        texts: of the table of the pairs
        activations: of these texts, concept -> [texts, states]
        losing: pairs; only their base texts and concepts are predicted again
    """
    cells = sorted(set(zip(losing.base.tolist(), losing.concept.tolist(), losing.before.tolist(), strict=True)))
    rows = sorted({row for row, _, _ in cells})
    tokenized = tokenize_words(model.tokenizer, [texts[row] for row in rows], model.settings.max_length)
    by_row = dict(zip(rows, tokenized, strict=True))

    def explainer(other: ConceptBottleneck, ids: Sequence[tuple[int, ...]]) -> Explainer:
        """Replaces the activation of each cell by that of another model or of other token ids."""
        with prepared(other) as ready:
            cell_logits = concept_logits_for(ready, [(row, name) for row, (_, name, _) in zip(ids, cells, strict=True)])
        changed = {name: values.copy() for name, values in activations.items()}
        for (row, name, _), logits in zip(cells, cell_logits, strict=True):
            changed[name][row] = activate(torch.from_numpy(logits), model.settings.activation).numpy()
        return concept_replacement(model.label_head, changed)

    explainers = {"word_removal": explainer(model, _without_top_words(model, by_row, cells))}
    if model.masks is not None:
        explainers["mask_ablation"] = explainer(ablated_model(model), [by_row[row].ids for row, _, _ in cells])
    return explainers


def _losing_pairs(pairs: Pairs, seed: int) -> Pairs:
    """Pairs whose new state is `unknown`; at most `MOST` of them, drawn at random."""
    rows = np.flatnonzero(pairs.after == UNKNOWN)
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST, replace=False))
    return pairs.where(rows)


def _without_top_words(
    model: ConceptBottleneck, by_row: Mapping[int, TokenizedText], cells: Sequence[tuple[int, str, str]]
) -> list[tuple[int, ...]]:
    """For each (row, concept, state), the token ids of the text without the words that most support the state."""
    texts = list(by_row.values())
    text_indices, perturber = {row: i for i, row in enumerate(by_row)}, Perturber(model.tokenizer, texts, ["delete"], 0)
    scores = {}
    for concept in sorted({name for _, name, _ in cells}):
        concept_cells = [(row, state) for row, name, state in cells if name == concept]
        concept_texts = [by_row[row].text for row, _ in concept_cells]
        states = {concept: [state for _, state in concept_cells]}
        attributions = attribute(model, concept_texts, [concept], states, METHOD, QUICK)
        for (row, _), attribution in zip(concept_cells, attributions, strict=True):
            scores[row, concept] = attribution[concept].scores
    return [
        perturber.without(text_indices[row], top_words(rank_words(scores[row, name]), SHARE), "delete")
        for row, name, _ in cells
    ]
