"""ICaCE errors of a trained model on a split that has counterfactual pairs, as the stage `evaluate` reports them.

Explainers that edit a concept, and the baselines, are asked about all pairs. Those that take a concept away know of no
new state: they are asked about the pairs in which the text loses the concept (its new state is `unknown`), beside the
others:

mask_ablation  the concept through its mask without the weights that it alone keeps
word_removal   the concept in the text without the fifth of its words that speak most for the old state
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from sparsecbm.base.errors import DataError
from sparsecbm.evaluate.causal.counterfactuals import Pairs, pairs_if_any
from sparsecbm.evaluate.causal.effects import Explainer, concept_reread, read_texts
from sparsecbm.evaluate.causal.icace import IcaceScores, explainers, measure_icace
from sparsecbm.evaluate.causal.lost_states import without_exclusive
from sparsecbm.evaluate.evidence import Form
from sparsecbm.evaluate.faithfulness.aopc import UNKNOWN, order_of, top_words
from sparsecbm.evaluate.faithfulness.batched_inference import read_asked
from sparsecbm.evaluate.faithfulness.perturbations import Perturber
from sparsecbm.evaluate.specificity.probes import sample
from sparsecbm.explain.attribution import attribute
from sparsecbm.explain.methods import AttributionOptions
from sparsecbm.explain.subject import prepared
from sparsecbm.explain.words import TokenizedText, tokenize_words
from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.heads import activate

# Which words word_removal takes away: by few gradients, for speed; one at the text alone misleads (docs/benchmarks.md).
METHOD, QUICK, SHARE = "integrated_gradients", AttributionOptions(steps=4, max_steps=4), 0.2
MOST = 128  # pairs that are asked about what is taken away: attributions of a text cost many readings of it


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
    training_texts: int,
    resamples: int,
    seed: int,
) -> CausalScores | None:
    """Measure all explainers that the model has; None without a bottleneck or without pairs.

    Args:
        training: where the texts come from that explainers are fitted on
        frame, logits: the split, and how the model reads it
        training_texts: how many of them at most
        resamples: bootstrap resamples behind each interval
    """
    pairs = pairs_if_any(frame, model.concept_set) if model.has_bottleneck else None
    if pairs is None:
        return None
    fitting = sample(training, training_texts, seed)
    with prepared(model) as ready:
        read = ready.logits(fitting["text"].tolist())
    try:
        asked = explainers(model, read_texts(model, fitting, logits=read), seed)
    except DataError as error:  # of a poor model or too few texts; the other scores of the split stand
        return CausalScores(training_texts=len(fitting), skipped=str(error), pairs=None, losing=None)
    texts = read_texts(model, frame, logits=logits)
    losing, of_losing = _losing(pairs, seed), None
    if len(losing):
        also = asked | taking_away(model, frame["text"].tolist(), texts.activations, losing)
        of_losing = measure_icace(model, texts, losing, also, resamples=resamples, seed=seed)
    return CausalScores(
        training_texts=len(fitting),
        skipped=None,
        pairs=measure_icace(model, texts, pairs, asked, resamples=resamples, seed=seed),
        losing=of_losing,
    )


def _losing(pairs: Pairs, seed: int) -> Pairs:
    """Pairs whose new state is `unknown`, at most `MOST` of them, drawn at random."""
    rows = np.flatnonzero(pairs.after == UNKNOWN)
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST, replace=False))
    return pairs.where(rows)


def taking_away(
    model: ConceptBottleneck, texts: Sequence[str], activations: Mapping[str, np.ndarray], losing: Pairs
) -> dict[str, Explainer]:
    """Explainers by what a concept reads when its subnetwork (of a masked model) or its words are taken away.

    Args:
        texts: of the table of the pairs
        activations: what they read, concept -> [texts, states]
        losing: pairs; only base texts and concepts in them are read again
    """
    cells = sorted(set(zip(losing.base.tolist(), losing.concept.tolist(), losing.before.tolist(), strict=True)))
    rows = sorted({row for row, _, _ in cells})
    words = tokenize_words(model.tokenizer, [texts[row] for row in rows], model.settings.max_length)
    worded = dict(zip(rows, words, strict=True))

    def reread(other: ConceptBottleneck, ids: Sequence[tuple[int, ...]]) -> Explainer:
        with prepared(other) as ready:
            read = read_asked(ready, [(of, name) for of, (_, name, _) in zip(ids, cells, strict=True)])
        changed = {name: values.copy() for name, values in activations.items()}
        for (row, name, _), logits in zip(cells, read, strict=True):
            changed[name][row] = activate(torch.from_numpy(logits), model.settings.activation).numpy()
        return concept_reread(model.label_head, changed)

    found = {"word_removal": reread(model, _without_top_words(model, worded, cells))}
    if model.masks is not None:
        found["mask_ablation"] = reread(without_exclusive(model), [worded[row].ids for row, _, _ in cells])
    return found


def _without_top_words(
    model: ConceptBottleneck, worded: Mapping[int, TokenizedText], cells: Sequence[tuple[int, str, str]]
) -> list[tuple[int, ...]]:
    """Token ids of the text of each (row, concept, state) without the words that speak most for the state."""
    texts = list(worded.values())
    places, perturber = {row: i for i, row in enumerate(worded)}, Perturber(model.tokenizer, texts, ["delete"], 0)
    scores = {}
    for concept in sorted({name for _, name, _ in cells}):
        own = [(row, state) for row, name, state in cells if name == concept]
        states = {concept: [state for _, state in own]}
        explained = attribute(model, [worded[row].text for row, _ in own], [concept], states, METHOD, QUICK)
        scores |= {(row, concept): of[concept].scores for (row, _), of in zip(own, explained, strict=True)}
    gone = [(places[row], top_words(order_of(scores[row, name]), SHARE)) for row, name, _ in cells]
    return [perturber.without(place, top, "delete") for place, top in gone]
