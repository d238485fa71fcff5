"""A summary of explanations over many texts, for `metrics/explain.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from sparsecbm.explain.calibration import Calibration, compute_calibration
from sparsecbm.explain.contributions import Contributions, compute_state_effects, contributions_from_logits
from sparsecbm.explain.explanation import Explanation, plain
from sparsecbm.explain.subnetworks import Subnetworks
from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.prediction import softmax


@dataclass(frozen=True)
class ConceptSummary:
    """One concept over many texts.

    Attributes:
        read: state -> share of the texts for which it is predicted
        contribution: mean absolute contribution to the logit of the predicted class
        hard_contribution: the same for hard activations, through the head `hard`; None without that head
        calibration: of the activations, compared with the annotated states
    """

    read: dict[str, float]
    contribution: float
    hard_contribution: float | None
    calibration: Calibration


def summarize_concepts(
    model: ConceptBottleneck, logits: Logits, gold: Mapping[str, np.ndarray], bins: int
) -> dict[str, ConceptSummary]:
    """Summaries of all concepts.

    Args:
        logits: of the texts, as `model.logits` returns them
        gold: concept -> indices of the annotated states, [texts]; `MISSING` where unknown
        bins: number of bins of the calibration
    """
    soft = contributions_from_logits(model, logits)
    hard = None if model.hard_head is None else contributions_from_logits(model, logits, "hard")
    labels = [model.concept_set.label.states[index] for index in logits.label.argmax(-1)]

    def mean_size(contributions: list[Contributions], name: str) -> float:
        return float(np.mean([abs(c.steps[name][label]) for c, label in zip(contributions, labels, strict=True)]))

    summaries = {}
    for concept in model.concept_set:
        concept_logits = logits.concepts[concept.name]
        shares = np.bincount(concept_logits.argmax(-1), minlength=len(concept)) / len(concept_logits)
        summaries[concept.name] = ConceptSummary(
            dict(zip(concept.states, shares.tolist(), strict=True)),
            mean_size(soft, concept.name),
            None if hard is None else mean_size(hard, concept.name),
            compute_calibration(softmax(concept_logits), gold[concept.name], bins),
        )
    return summaries


def summarize_model(
    model: ConceptBottleneck,
    split: str,
    explanations: Sequence[Explanation],
    concepts: Mapping[str, ConceptSummary],
    subnetworks: Subnetworks | None,
) -> dict:
    """Plain form of the summary; numbers have six decimals.

    Args:
        split: the split of the texts
        concepts: from `summarize_concepts`
        subnetworks: None for a model without masks
    """
    hard = None if model.hard_head is None else compute_state_effects(model, "hard").values
    summary = {
        "split": split,
        "texts": len(explanations),
        "method": explanations[0].origin.method if explanations else None,
        "model": explanations[0].origin.model if explanations else None,
        "concepts": {name: asdict(summary) for name, summary in concepts.items()},
        "effects": compute_state_effects(model).values,
        "effects_hard": hard,
        "words": _words(explanations),
        "subnetworks": None if subnetworks is None else _regions(subnetworks),
    }
    return plain(summary)


def _words(explanations: Sequence[Explanation]) -> dict:
    """For each concept and the label: how exact the word scores are, and how many gradients they took."""
    scores = {name: [each.concepts[name].words for each in explanations] for name in explanations[0].concepts}
    scores["label"] = [each.label.words for each in explanations]
    return {
        name: {
            "gap": float(np.mean([abs(words.gap) for words in word_scores])),
            "above_tolerance": float(
                np.mean([e.exceeds_tolerance(words) for e, words in zip(explanations, word_scores, strict=True)])
            ),
            "change": float(np.mean([abs(words.change) for words in word_scores])),
            "steps": float(np.mean([words.steps for words in word_scores])),
        }
        for name, word_scores in scores.items()
    }


def _regions(subnetworks: Subnetworks) -> dict:
    """The whole, blocks and modules, and the shares of each head; layers and neurons are too many for the metrics."""
    regions = subnetworks.to_dict()
    heads = {
        name: {block: {kind: shares[kind] for kind in ("density", "exclusive")} for block, shares in by_block.items()}
        for name, by_block in regions["heads"].items()
    }
    return {**{part: regions[part] for part in ("whole", "blocks", "modules")}, "heads": heads}
