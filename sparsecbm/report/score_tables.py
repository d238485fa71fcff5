"""Scores as the report shows them: the figures at the top, the table of the label, the table of the concepts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sparsecbm.report.tables import Table, matrix_table, number
from sparsecbm.report.variation import densities_vary, overlaps_vary

HEADER = ("texts", "accuracy", "95 %", "macro-F1", "majority", "bag of words", "dense model", "calibration error")
LABEL_ROWS = {
    "label": "label",
    "label_hard": "label, hard concepts",
    "label_hard_refitted": "label, hard, head refitted",
}


@dataclass(frozen=True)
class Tile:
    """One figure at the top of the page; its tone is good, bad or empty.

    Attributes:
        beside: what others reach, to compare with
    """

    figure: str
    meaning: str
    beside: str = ""
    tone: str = ""


def tiles(metrics: Mapping[str, Mapping]) -> list[Tile]:
    """The figures at the top of the page: scores, then verdicts; those of missing stages are left out.

    Args:
        metrics: stage -> content of its `metrics/STAGE.json`
    """
    scores = metrics.get("evaluate", {})
    refitted = scores.get("label_hard_refitted")
    hard = refitted or scores.get("label_hard")
    dense, words = scores.get("dense") or {}, scores.get("bag_of_words") or {}
    shown = []
    if scores:
        beside = _beside(scores["label"], words.get("label"), dense.get("label"))
        shown.append(Tile(_percent(scores["label"]["accuracy"]), "label right", beside))
    if scores.get("concepts"):
        mean, means = scores["concepts"]["mean"], words.get("concepts", {}).get("mean")
        beside = _beside(mean, means, dense.get("concepts", {}).get("mean"))
        shown.append(Tile(_percent(mean["accuracy"]), "concepts right, mean", beside))
    if hard:
        beside = "each concept as its likeliest state, without probabilities"
        meaning = f"label right from hard concepts{', head refitted' if refitted else ''}"
        shown.append(Tile(_percent(hard["accuracy"]), meaning, beside))
    return [*shown, *verdicts(metrics)]


def verdicts(metrics: Mapping[str, Mapping]) -> list[Tile]:
    """What was judged: own weights of concepts, explanations by words, edits and patches.

    Args:
        metrics: stage -> content of its `metrics/STAGE.json`
    """
    shown = []
    own = (metrics.get("prune", {}).get("chosen") or {}).get("own_weights") or {}
    if own:
        without = [name for name, judged in own.items() if not judged["earned"]]
        beside = f"not {', '.join(without)}" if without else "better than random masks, and needed"
        shown.append(_share_tile(len(own), len(without), "concepts that have earned weights of their own", beside))
    explain = metrics.get("explain", {})
    scores = explain.get("faithfulness", {}).get("methods", {}).get(explain.get("method"), {})
    lowest = [of["mean"]["excess_interval"][0] for of in scores.get("comprehensiveness", {}).values() if of.get("mean")]
    if lowest:
        weak = sum(low is None or low <= 0 for low in lowest)
        beside = "without the marked words a prediction falls more than without random ones"
        shown.append(_share_tile(len(lowest), weak, "ways to remove words that confirm the explanations", beside))
    edits = metrics.get("intervene", {})
    if edits.get("gates"):
        failed = ", ".join(gate["name"] for gate in edits["gates"] if not gate["passed"])
        tone = "good" if edits["verdict"] == "passed" else "bad"
        beside = f"failed gates: {failed}" if failed else ""
        shown.append(Tile(edits["verdict"], "tests of edits and patches", beside, tone))
    return shown


def _share_tile(all_of: int, failed: int, meaning: str, beside: str) -> Tile:
    return Tile(f"{all_of - failed} of {all_of}", meaning, beside, "bad" if failed else "good")


def _beside(score: Mapping, words: float | None, dense: Mapping | None) -> str:
    """What always answering the most frequent state, a bag of words and the dense model reach."""
    others = {
        "always the commonest": score.get("majority"),
        "bag of words": words,
        "dense model": (dense or {}).get("accuracy"),
    }
    return ", ".join(f"{name} {_percent(share)}" for name, share in others.items() if share is not None)


def label_table(scores: Mapping) -> Table:
    """The label from soft and from hard concepts."""
    dense, words = scores.get("dense") or {}, scores.get("bag_of_words") or {}
    rows = [
        (title, *_cells(scores[key], words.get("label") if key == "label" else None, dense.get(key)))
        for key, title in LABEL_ROWS.items()
        if scores.get(key)
    ]
    return Table(f"The label on the split {scores['split']}", ("", *HEADER), tuple(rows))


def concept_table(scores: Mapping, masks: Mapping | None) -> Table:
    """Each concept and the mean: its scores, the density of its subnetwork, and the gap of its swap.

    Args:
        masks: `chosen` of `metrics/prune.json`; None for a model without masks
    """
    dense, words = (scores.get("dense") or {}).get("concepts", {}), scores.get("bag_of_words") or {"concepts": {}}
    kept = masks["density_by_concept"] if masks and densities_vary(masks["density_by_concept"]) else None
    rows = []
    for name, score in sorted(scores["concepts"].items(), key=lambda item: item[0] == "mean"):  # the mean comes last
        cells = _cells(score, words["concepts"].get(name), dense.get(name))
        if kept:
            cells = (*cells, number(masks["density"] if name == "mean" else kept.get(name)))
        if masks:
            cells = (*cells, number(masks["swap"]["gap"].get(name, {}).get("value")))
        rows.append((name, *cells))
    mask_columns = (*(("weights kept",) if kept else ()), *(("own mask minus others'",) if masks else ()))
    return Table(f"The concepts on the split {scores['split']}", ("", *HEADER, *mask_columns), tuple(rows))


def lead_in_words(scores: Mapping) -> str:
    """How far the concepts lead a bag of words, as a sentence; empty if that was not measured."""
    lead = (scores.get("bag_of_words") or {}).get("concepts_lead", {}).get("mean")
    if not lead or None in (lead["accuracy"], *lead["interval"]):
        return ""
    points, (low, high) = 100 * lead["accuracy"], (100 * end for end in lead["interval"])
    if high < 0:
        return f"On average the bag of words is better by {-points:.1f} points ({-high:.1f} to {-low:.1f})."
    if low > 0:
        return f"On average the model leads the bag of words by {points:.1f} points ({low:.1f} to {high:.1f})."
    place = "behind" if points < 0 else "ahead of"
    return (
        f"On average the model is {abs(points):.1f} points {place} the bag of words (its lead: {low:.1f} to "
        f"{high:.1f}): these texts do not show that the transformer reads more than words."
    )


def subgroup_table(subgroups: Mapping[str, Mapping]) -> Table:
    """Every subgroup of every column, the lowest accuracy of the label first.

    Args:
        subgroups: `subgroups` of `metrics/evaluate.json`
    """
    scores = [(column, value, score) for column, values in subgroups.items() for value, score in values.items()]
    scores.sort(key=lambda each: math.inf if each[2]["label"]["accuracy"] is None else each[2]["label"]["accuracy"])
    rows = []
    for column, value, score in scores:
        accuracies = [score["label"], score["concepts"].get("mean") or {}]
        cells = [number(each.get(key)) for each in accuracies for key in ("accuracy", "accuracy_interval")]
        rows.append((column, value, number(score["texts"]), *cells))
    header = ("column", "subgroup", "texts", "label accuracy", "95 %", "mean of concepts", "95 %")
    return Table("Accuracy by subgroup, the worst first", header, tuple(rows), 2)


def mask_tables(masks: Mapping) -> list[Table]:
    """The numbers behind the heat maps of swap and probe, and of overlap if pairs of masks differ in it.

    Args:
        masks: `chosen` or `random` of `metrics/prune.json`
    """
    names = list(masks["density_by_concept"])
    pairs = {
        (first, second): pair
        for one, others in masks["overlap"]["pairs"].items()
        for other, pair in others.items()
        for first, second in ((one, other), (other, one))
    }
    overlap = {a: {b: pairs.get((a, b), {}).get("jaccard") for b in names} for a in names}
    under = "of a concept (row) under the mask of a concept (column): accuracy"
    return [
        *(
            [matrix_table("Overlap of two masks (Jaccard)", "mask of", overlap)]
            if overlaps_vary(masks["overlap"])
            else []
        ),
        matrix_table(f"Trained head {under}", "", masks["swap"]["matrix"]),
        matrix_table(f"Fresh probe {under}", "", masks["probe"]["matrix"]),
    ]


def _cells(score: Mapping, words: float | None, dense: Mapping | None) -> tuple[str, ...]:
    dense_accuracy = (dense or {}).get("accuracy")
    figures = (score["texts"], score["accuracy"], score["accuracy_interval"], score["macro_f1"], score["majority"],
               words, dense_accuracy, score["calibration_error"])  # fmt: skip
    return tuple(number(figure) for figure in figures)


def _percent(share: float | None) -> str:
    return number(share) if share is None else f"{share:.1%}"
