"""Explanations, figures, tables and plots by hand, for tests of the report."""

from pathlib import Path

import pandas as pd
from PIL import Image

from sparsecbm.base.files import write_json
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import write_splits
from sparsecbm.data.validation import validate
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
from tests.support.small_tables import CONCEPTS, MANIFEST, good_splits, limits

_HITS = ("hit_at_1", "hit_at_3", "reciprocal_rank")
_DISTANCES = {"l2": 0.0, "cosine": 0.01, "norm": 0.02}
STATES = {"food": ("Negative", "Positive", "unknown"), "noise": ("loud", "quiet")}
CLASSES = ("1", "2", "3")
# Layers of two blocks; all densities are equal, as with thresholds by layer.
LAYERS = {
    f"encoder.layer.{block}.{part}": {
        "density": {"food": 0.25, "noise": 0.25},
        "exclusive": {"food": exclusive + block / 10, "noise": 0.02},
    }
    for block in (0, 1)
    for part, exclusive in (("attention.self.query", 0.1), ("output.dense", 0.05))
}
# A training of two epochs; the first epoch is selected.
TRAINING = {
    "best": {"epoch": 1, "step": 10},
    "curves": [
        {"step": step, "train.loss": loss, "train.label_loss": loss - 0.5, "train.concept_loss": 0.5}
        for step, loss in ((5, 2.0), (10, 1.5), (20, 1.0))
    ],
    "epochs": [
        {"step": step, "validation.label.accuracy": label, "validation.concepts.mean.accuracy": 0.75}
        for step, label in ((10, 0.5), (20, 0.25))
    ],
    "events": [{"step": 0, "prune.sparsity": 0.0}, {"step": 10, "prune.sparsity": 0.75}],
}
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)> the food was good </template></script>"
# text; label: state, gold, confidence; food: likewise; noise: likewise
ROWS = (
    ("the soup was superb and the room calm", ("3", "3", 0.9), ("Positive", "Positive", 0.95), ("quiet", "quiet", 0.8)),
    ("the soup was cold", ("1", "2", 0.7), ("Negative", "Negative", 0.6), ("quiet", "loud", 0.55)),
    ("a loud room", ("2", "1", 0.85), ("Positive", "unknown", 0.45), ("loud", "loud", 0.99)),
    (EVIL, ("3", None, 0.4), ("Positive", None, 0.7), ("quiet", None, 0.6)),
)


def explanation(text: str, label: tuple, food: tuple, noise: tuple, number: int = 0) -> Explanation:
    """Return an explanation with the given predictions (state, gold, probability) of the label and two concepts."""
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
    """Return one explanation for each of `ROWS`."""
    return [explanation(*row, number=number) for number, row in enumerate(ROWS)]


def score(accuracy: float = 0.75, states: tuple[str, ...] | None = None) -> dict:
    """Return scores of the label or one concept in the form of `metrics/evaluate.json`; the mean has no states."""
    confusion = states and [[3 if gold == state else 1 for state in states] for gold in states]
    return {
        "accuracy": accuracy, "accuracy_interval": [0.5, 0.9], "macro_f1": 0.7, "macro_f1_interval": [None, None],
        "macro_f1_ovr": 0.8, "majority": 0.4, "calibration_error": 0.05, "texts": 4, "confusion": confusion,
        "states": states and list(states),
    }  # fmt: skip


def metrics() -> dict[str, dict]:
    """Return the figures of every stage in the report, with concepts and masks."""
    square = {"food": {"food": 0.9, "noise": 0.31}, "noise": {"food": 0.52, "noise": 0.8}}
    scores = {"label": score(0.625, CLASSES), "label_hard": score(0.5, CLASSES), "label_hard_refitted": None}
    concepts = {"food": score(0.8, STATES["food"]), "mean": score(0.77), "noise": score(0.74, STATES["noise"])}
    scores |= {"concepts": concepts}
    gap = {name: {"value": 0.4, "interval": [0.3, 0.5]} for name in ("food", "noise", "mean")}
    chosen = {
        "density": 0.25,
        "texts": 30,
        "density_by_concept": {"food": 0.25, "noise": 0.25},
        "overlap": {
            "pairs": {"food": {"noise": {"jaccard": 0.512, "chance": 0.143}}},
            "core": 0.1,
            "exclusive": {"food": 0.15, "noise": 0.12},
        },
        "swap": {"matrix": square, "gap": gap},
        "probe": {"matrix": square, "gap": gap},
        "layers": LAYERS,
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
            "sufficiency": {},
            "edited_words": {"all": {"edits": 80, **hits}},
        }
    }
    effects = {
        name: {state: {c: 0.5 * i - 0.5 for i, c in enumerate(CLASSES)} for state in states}
        for name, states in STATES.items()
    }
    bins = [{"low": 0.8, "high": 0.9, "texts": 4, "confidence": 0.85, "accuracy": 0.75}]
    heads = {name: {"0": {"density": [0.25, 0.5], "exclusive": [0.1, 0.0]}} for name in STATES}
    return {
        "finetune": TRAINING,
        "evaluate": {
            "split": "test",
            "bag_of_words": None,
            "causal": {"pairs": pairs, "losing": None},
            "dense": scores,
            "splits": {"validation": {"split": "validation", "bag_of_words": None, **scores}},
            **scores,
        },
        "prune": {"chosen": chosen, **TRAINING},
        "explain": {
            "faithfulness": {"methods": methods, "operators": ["delete"], "items": 4},
            "effects": effects,
            "effects_hard": None,
            "concepts": {name: {"calibration": {"error": 0.1, "bins": bins}} for name in STATES},
            "subnetworks": {"heads": heads},
        },
        "intervene": {
            "verdict": "failed",
            "gates": gates,
            "gold_ceiling": 0.8,
            "patch_limits": {"bits": 100, "max_harm": 0.01},
        },
    }


def intervention_tables() -> dict[str, pd.DataFrame]:
    """Return tables of `reports/interventions` with two policies, two error rates and one setting."""
    curves = [
        {"policy": policy, "setting": "one_hot", "person_error": error, "edits": edits, "label_accuracy": accuracy}
        for policy, start in (("random", 0.5), ("cooperative", 0.6))
        for error in (0.0, 0.1)
        for edits, accuracy in enumerate((start, start + 0.1 - error))
    ]
    memory = [
        {"control": control, "threshold": threshold, "fixed": fixed, "harmed": harmed}
        for control, fixed, harmed in (("corrections", 5, 2), ("wrong_state", 0, 4))
        for threshold in (0.7, 0.9)
    ]
    patches = [
        {"reached": True, "repaired": True, "bits": 40, "harmed": 0, "right_before": 200},
        {"reached": True, "repaired": False, "bits": 90, "harmed": 10, "right_before": 200},
        {"reached": False, "repaired": False, "bits": None, "harmed": None, "right_before": None},
    ]
    tables = {"oracle_curves": curves, "oracle_memory": memory, "oracle_patches": patches}
    return {name: pd.DataFrame(rows) for name, rows in tables.items()}


def write_validation(workspace: Workspace) -> None:
    """Write outputs of the stage `validate`: small tables with one row in quarantine, and their figures."""
    splits = good_splits()
    splits["train"].loc[1, "text"] = " "
    result = validate(splits, CONCEPTS, limits())
    write_splits(workspace.validated, result.splits, MANIFEST, quarantine=result.quarantine)
    write_json(workspace.metrics("validate"), result.report)


def write_plots(root: Path, *names: str) -> None:
    """Write small PNGs like those of the stage `report`: STAGE/NAME below `root`."""
    for name in names:
        path = root / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20), (10, 90, 160)).save(path)


def _shares(states: tuple[str, ...], state: str, confidence: float) -> dict[str, float]:
    rest = (1 - confidence) / (len(states) - 1)
    return {each: confidence if each == state else rest for each in states}
