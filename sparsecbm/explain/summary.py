"""What explanations say of a model as a whole, as `metrics/explain.json` holds it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from sparsecbm.explain.calibration import Calibration, calibration
from sparsecbm.explain.contributions import contributions_from, effects
from sparsecbm.explain.explanation import Explanation, plain
from sparsecbm.explain.subnetworks import Subnetworks
from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.prediction import softmax


@dataclass(frozen=True)
class ConceptSummary:
    """One concept over many texts.

    Attributes:
        read: state -> share of the texts in which it was read
        contribution: mean size of the contribution to the logit of the predicted class
        hard_contribution: the same of the bare state, through `hard_head`; None where the model has no such head
        calibration: of the activations, against the annotated states
    """

    read: dict[str, float]
    contribution: float
    hard_contribution: float | None
    calibration: Calibration


def concept_summaries(
    model: ConceptBottleneck, read: Logits, gold: Mapping[str, np.ndarray], bins: int
) -> dict[str, ConceptSummary]:
    """Summaries of all concepts.

    Args:
        read: what `model.logits` gave for the texts
        gold: concept -> places of the annotated states, [texts]; `MISSING` where unknown
        bins: of the calibration
    """
    soft = contributions_from(model, read)
    hard = None if model.hard_head is None else contributions_from(model, read, "hard_head")
    labels = [model.concept_set.label.states[winner] for winner in read.label.argmax(-1)]

    def size(found: list, name: str) -> float:
        return float(np.mean([abs(of.steps[name][label]) for of, label in zip(found, labels, strict=True)]))

    summaries = {}
    for concept in model.concept_set:
        logits = read.concepts[concept.name]
        shares = np.bincount(logits.argmax(-1), minlength=len(concept)) / len(logits)
        summaries[concept.name] = ConceptSummary(
            dict(zip(concept.states, shares.tolist(), strict=True)),
            size(soft, concept.name),
            None if hard is None else size(hard, concept.name),
            calibration(softmax(logits), gold[concept.name], bins),
        )
    return summaries


def model_summary(
    model: ConceptBottleneck,
    split: str,
    explanations: Sequence[Explanation],
    concepts: Mapping[str, ConceptSummary],
    found: Subnetworks | None,
) -> dict:
    """The plain form of everything that was found; numbers have six decimals.

    Args:
        split: that the texts are of
        concepts: as `concept_summaries` gives them
        found: subnetworks; None for a model without masks
    """
    hard = None if model.hard_head is None else effects(model, "hard_head").values
    whole = {
        "split": split,
        "texts": len(explanations),
        "method": explanations[0].origin.method if explanations else None,
        "model": explanations[0].origin.model if explanations else None,
        "concepts": {name: asdict(summary) for name, summary in concepts.items()},
        "effects": effects(model).values,
        "effects_hard": hard,
        "words": _words(explanations),
        "subnetworks": None if found is None else _regions(found),
    }
    return plain(whole)


def _words(explanations: Sequence[Explanation]) -> dict:
    """For each concept and the label: how exact the scores of words are, and what they cost."""
    scores = {name: [of.concepts[name].words for of in explanations] for name in explanations[0].concepts}
    scores["label"] = [of.label.words for of in explanations]
    return {
        name: {
            "gap": float(np.mean([abs(words.gap) for words in of])),
            "above_tolerance": float(np.mean([one.rough(words) for one, words in zip(explanations, of, strict=True)])),
            "change": float(np.mean([abs(words.change) for words in of])),
            "steps": float(np.mean([words.steps for words in of])),
        }
        for name, of in scores.items()
    }


def _regions(found: Subnetworks) -> dict:
    """The whole, blocks and modules, and what each head keeps; layers and neurons are left out, they are many."""
    every = found.to_dict()
    heads = {
        name: {block: {kind: shares[kind] for kind in ("density", "exclusive")} for block, shares in by_block.items()}
        for name, by_block in every["heads"].items()
    }
    return {**{part: every[part] for part in ("whole", "blocks", "modules")}, "heads": heads}
