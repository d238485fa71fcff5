"""Concepts whose scores say little, since people labelled too few texts of the split."""

from sparsecbm.evaluate.scores.scores import SplitScores

MIN_TEXTS = 20


def find_unmeasured(scores: SplitScores) -> dict[str, str]:
    """Concept -> why it is not measured, and the command that labels texts of the split."""
    labelled = {**scores.concepts, **scores.concepts_annotated}
    return {
        name: f"not measured: people labelled {score.texts} text(s) of the split {scores.split!r}, and {MIN_TEXTS} are "
        f"needed; label some with `sparsecbm annotate review --split {scores.split} --concept {name}`"
        for name, score in labelled.items()
        if name != "mean" and score.texts < MIN_TEXTS
    }
