"""Made-up figures of a run with many concepts of many states each, in the form of `metrics/STAGE.json`."""

from dataclasses import replace
from itertools import combinations

import numpy as np

from sparsecbm.explain.explanation import Explanation
from tests.support import report_inputs

PARTS = (
    "attention.output.dense",
    "attention.self.key",
    "attention.self.query",
    "attention.self.value",
    "intermediate.dense",
    "output.dense",
)
CLASSES = tuple(str(number) for number in range(1, 21))


def concept_names(count: int) -> list[str]:
    """Return names as long as those of a survey's questions."""
    return [f"aspect {number:02d} of the service" for number in range(count)]


def metrics(concepts: int = 50, states: int = 20, blocks: int = 12, heads: int = 12) -> dict[str, dict]:
    """Return the figures of every stage; all densities differ, so every plot is drawn."""
    draw = np.random.default_rng(0)
    names, record = concept_names(concepts), report_inputs.metrics()
    state_names = tuple(f"state {number}" for number in range(states))
    square = {a: {b: round(float(draw.uniform(0.05, 0.99)), 6) for b in names} for a in names}
    gap = {name: {"value": 0.4, "interval": [0.3, 0.5]} for name in (*names, "mean")}
    pairs: dict[str, dict] = {}
    for first, second in combinations(names, 2):
        pairs.setdefault(first, {})[second] = {"jaccard": float(draw.uniform(0.2, 0.6)), "chance": 0.143}
    record["prune"]["chosen"] = {
        "density": 0.25,
        "texts": 30,
        "density_by_concept": dict.fromkeys(names, 0.25),
        "overlap": {"pairs": pairs, "core": 0.1, "exclusive": dict.fromkeys(names, 0.02)},
        "swap": {"matrix": square, "gap": gap},
        "probe": {"matrix": square, "gap": gap},
        "layers": {
            f"encoder.layer.{block}.{part}": {
                kind: {name: float(draw.uniform(0, 0.5)) for name in names} for kind in ("density", "exclusive")
            }
            for block in range(blocks)
            for part in PARTS
        },
    }
    bins = [{"low": low / 10, "high": low / 10 + 0.1, "texts": 4, "confidence": low / 10 + 0.05, "accuracy": 0.75}
            for low in range(10)]  # fmt: skip
    effects = {
        name: {state: {label: float(draw.normal()) for label in CLASSES} for state in state_names} for name in names
    }
    record["explain"] |= {
        "effects": effects,
        "effects_hard": effects,
        "concepts": {name: {"calibration": {"error": float(draw.uniform(0, 0.3)), "bins": bins}} for name in names},
        "subnetworks": {
            "heads": {
                name: {
                    str(block): {kind: draw.uniform(0, 1, heads).tolist() for kind in ("density", "exclusive")}
                    for block in range(blocks)
                }
                for name in names
            }
        },
    }
    by_concept = {name: report_inputs.score(float(draw.uniform(0.3, 0.99)), state_names) for name in names}
    scores = {
        "label": report_inputs.score(0.625, CLASSES),
        "concepts": by_concept | {"mean": report_inputs.score(0.77)},
        "bag_of_words": {"label": 0.5, "concepts": dict.fromkeys(names, 0.55)},
    }
    record["evaluate"] |= scores
    record["evaluate"]["splits"]["validation"] |= scores
    return record


def explanation(concepts: int = 50, states: int = 20) -> Explanation:
    """Return an explanation in which every concept has contributions, words and a probability for each state."""
    first = report_inputs.explanations()[0]
    template, state_names = first.concepts["food"], [f"state {number}" for number in range(states)]
    probabilities = dict.fromkeys(state_names, 0.01) | {state_names[3]: 1 - 0.01 * (states - 1)}
    explained = {
        name: replace(
            template, state=state_names[3], explained=state_names[3], gold=state_names[3 if number % 5 else 4],
            probabilities=probabilities, contribution=(number - concepts / 2) / 100,
        )
        for number, name in enumerate(concept_names(concepts))
    }  # fmt: skip
    return replace(first, concepts=explained)
