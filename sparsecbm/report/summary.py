"""The figures of a run that people compare, about forty: `metrics/summary.json`, which `dvc metrics diff` shows."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from sparsecbm.base.flat import flat_numbers

# Stage -> patterns of dotted keys in its `metrics/STAGE.json`; `*` is any name, such as that of a concept.
FIGURES = {
    "validate": ("rows.*.out", "rows.*.quarantined"),
    "finetune": ("best.epoch", "best.score", "parameters"),
    "prune": (
        "chosen.density", "chosen.overlap.core", "chosen.overlap.jaccard", "chosen.overlap.chance",
        "chosen.swap.own", "chosen.swap.others", "chosen.probe.own", "chosen.probe.others", "chosen.after.score",
        "random.after.score",
    ),
    "explain": ("words.label.gap", "faithfulness.methods.*.comprehensiveness.delete.mean.excess"),
    "intervene": (
        "gold_ceiling", "oracle_patches.reached", "oracle_patches.repaired", "oracle_patches.harm",
        "oracle_patches.restored",
    ),
    "evaluate": (
        "label.accuracy", "label.macro_f1", "label.calibration_error", "label_hard.accuracy",
        "label_hard_refitted.accuracy", "concepts.*.accuracy", "concepts.mean.macro_f1",
        "concepts.mean.calibration_error", "bag_of_words.label", "bag_of_words.concepts.mean", "dense.label.accuracy",
        "dense.concepts.mean.accuracy", "splits.*.label.accuracy", "splits.*.concepts.mean.accuracy",
    ),
}  # fmt: skip


def summarise(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Stage -> dotted key -> figure, for the figures that the stages wrote.

    Args:
        metrics: stage -> content of its `metrics/STAGE.json`; what is missing is left out
    """
    chosen = {}
    for stage, patterns in FIGURES.items():
        numbers = flat_numbers(metrics.get(stage, {}))
        chosen[stage] = {
            name: value for name, value in numbers.items() if any(fnmatchcase(name, pattern) for pattern in patterns)
        }
    return {stage: figures for stage, figures in chosen.items() if figures}
