"""Explanations, figures and plots made by hand, for tests of the report."""

from pathlib import Path

from PIL import Image

from sparsecbm.explain.explanation import (
    AblatedUnit,
    ConceptExplanation,
    Explanation,
    HardLabel,
    LabelExplanation,
    Origin,
    Subnetwork,
    Word,
    WordScores,
)
from sparsecbm.explain.methods import AttributionOptions

_HITS = ("hit_at_1", "hit_at_3", "reciprocal_rank")
_DISTANCES = {"l2": 0.0, "cosine": 0.01, "norm": 0.02}
STATES = {"food": ("Negative", "Positive", "unknown"), "noise": ("loud", "quiet")}
CLASSES = ("1", "2", "3")
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)> the food was good </template></script>"
# text; label read, gold, confidence; food read, gold, confidence; noise likewise
ROWS = (
    ("the soup was superb and the room calm", ("3", "3", 0.9), ("Positive", "Positive", 0.95), ("quiet", "quiet", 0.8)),
    ("the soup was cold", ("1", "2", 0.7), ("Negative", "Negative", 0.6), ("quiet", "loud", 0.55)),
    ("a loud room", ("2", "1", 0.85), ("Positive", "unknown", 0.45), ("loud", "loud", 0.99)),
    (EVIL, ("3", None, 0.4), ("Positive", None, 0.7), ("quiet", None, 0.6)),
)


def explanation(text: str, label: tuple, food: tuple, noise: tuple, number: int = 0) -> Explanation:
    """An explanation that reads the label and two concepts as given: state, gold, probability of the state."""
    words, at = [], 0
    for word in text.split():
        start = text.index(word, at)
        at = start + len(word)
        words.append(Word(word, start, at))
    scores = WordScores(tuple((-1) ** i * 0.1 * i for i in range(len(words))), (0.01, -0.02), 1.0, 0.001, 16)
    units = {"head": (AblatedUnit(1, 0, 0.4, food[0], 0.5),)}
    concepts = {
        name: ConceptExplanation(
            state=state,
            probabilities=_shares(STATES[name], state, confidence),
            gold=gold,
            explained=state,
            contributions={c: round(0.2 * i - 0.2, 3) for i, c in enumerate(CLASSES)},
            contribution=0.2,
            hard_contribution=0.3,
            words=scores,
            subnetwork=Subnetwork(0.25, units),
        )
        for name, (state, gold, confidence) in {"food": food, "noise": noise}.items()
    }
    state, gold, confidence = label
    probabilities = _shares(CLASSES, state, confidence)
    return Explanation(
        text=text,
        truncated=False,
        id=f"row-{number}",
        split="test",
        words=tuple(words),
        special=("[CLS]", "[SEP]"),
        label=LabelExplanation("rating", state, probabilities, gold, 0.1, 0.5, HardLabel(state, probabilities), scores),
        concepts=concepts,
        origin=Origin("a" * 64, "b" * 64, "c" * 64, True, "integrated_gradients", AttributionOptions()),
    )


def explanations() -> list[Explanation]:
    """One for each of `ROWS`."""
    return [explanation(*row, number=number) for number, row in enumerate(ROWS)]


def score(accuracy: float = 0.75) -> dict:
    """Scores of the label or of one concept, as `metrics/evaluate.json` holds them."""
    return {
        "accuracy": accuracy, "accuracy_interval": [0.5, 0.9], "macro_f1": 0.7, "macro_f1_interval": [None, None],
        "macro_f1_ovr": 0.8, "majority": 0.4, "calibration_error": 0.05, "texts": 4, "confusion": None, "states": None,
    }  # fmt: skip


def metrics() -> dict[str, dict]:
    """Figures of every stage that the report shows, with concepts and masks."""
    square = {"food": {"food": 0.9, "noise": 0.31}, "noise": {"food": 0.52, "noise": 0.8}}
    scores = {"label": score(0.625), "label_hard": score(0.5), "label_hard_refitted": None}
    scores |= {"concepts": {"food": score(0.8), "mean": score(0.77), "noise": score(0.74)}}
    gap = {name: {"value": 0.4, "interval": [0.3, 0.5]} for name in ("food", "noise", "mean")}
    chosen = {
        "density": 0.25,
        "density_by_concept": {"food": 0.25, "noise": 0.25},
        "overlap": {"pairs": {"food": {"noise": {"jaccard": 0.512, "chance": 0.143}}}},
        "swap": {"matrix": square, "gap": gap},
        "probe": {"matrix": square, "gap": gap},
    }
    gates = [
        {"name": "protection", "value": 0.25, "at_least": 0.5, "passed": False, "reason": "two of eight readings held"},
        {"name": "harm", "value": 0.01, "at_most": 0.02, "passed": True, "reason": ""},
    ]
    distances = {
        explainer: {key: {"value": value + more, "interval": [value, 0.9]} for key, more in _DISTANCES.items()}
        for explainer, value in (("concept_edit", 0.61), ("zero", 0.8))
    }
    pairs = {"pairs": 12, "reference": "concept_edit", "errors": distances}
    pairs["lead"] = {"zero": {"l2": {"value": 0.19, "interval": [0.1, 0.3]}}}
    compared = {"value": 0.4, "random": 0.1, "excess": 0.3, "excess_interval": [0.2, 0.4], "win_rate": 0.9}
    hits = {key: {"value": 0.5, "interval": [0.4, 0.6], "chance": 0.1} for key in _HITS}
    methods = {
        "integrated_gradients": {
            "comprehensiveness": {"delete": {"food": compared, "mean": compared}},
            "edited_words": {"all": {"edits": 80, **hits}},
        }
    }
    return {
        "evaluate": {
            "split": "test",
            "bag_of_words": None,
            "causal": {"pairs": pairs, "losing": None},
            "dense": scores,
            **scores,
        },
        "prune": {"chosen": chosen},
        "explain": {"faithfulness": {"methods": methods}},
        "intervene": {"verdict": "failed", "gates": gates},
    }


def write_plots(root: Path, *names: str) -> None:
    """Small PNGs as stages write them: STAGE/NAME below `root`."""
    for name in names:
        path = root / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20), (10, 90, 160)).save(path)


def _shares(states: tuple[str, ...], state: str, confidence: float) -> dict[str, float]:
    rest = (1 - confidence) / (len(states) - 1)
    return {each: confidence if each == state else rest for each in states}
