"""Tables of evidence for the explanations: faithfulness next to random attributions, and errors of causal effects."""

from collections.abc import Mapping

from sparsecbm.report.tables import Table, number

MEASURES = {"comprehensiveness": "more", "sufficiency": "less"}  # and which values are better
HITS = {"hit_at_1": "first", "hit_at_3": "in the first three", "reciprocal_rank": "reciprocal rank"}
PAIRS = {"pairs": "All pairs", "losing": "Pairs in which the text loses the concept"}
EXPLAINERS = {  # those that are shown at once, in words; docs/metrics.md has all
    "concept_edit": "the concept is set in the model",
    "s_learner": "a logistic regression from states to labels",
    "conexp": "difference between texts of either state",
    "zero": "no effect",
    "random": "a random effect",
}


def faithfulness_tables(faithfulness: Mapping) -> list[Table]:
    """Each method under each operator, mean over the concepts, next to matched random attributions.

    Args:
        faithfulness: `faithfulness` of `metrics/explain.json`
    """
    methods = faithfulness.get("methods", {})
    tables = [_measure_table(methods, measure, better) for measure, better in MEASURES.items()]
    return [table for table in (*tables, _edited_words_table(methods)) if table.rows]


def _measure_table(methods: Mapping, measure: str, better: str) -> Table:
    keys = ("value", "random", "excess", "excess_interval", "win_rate", "win_rate_interval")
    rows = [
        (method, operator, *(number(by_concept["mean"].get(key)) for key in keys))
        for method, scores in methods.items()
        for operator, by_concept in scores.get(measure, {}).items()
        if by_concept.get("mean")
    ]
    header = ("method", "words replaced by", measure, "random", "lead over random", "95 %", "win rate", "95 %")
    return Table(f"{measure.capitalize()}: {better} is better", header, tuple(rows), 2)


def _edited_words_table(methods: Mapping) -> Table:
    """How high each method ranks the words that a person edited to change a concept."""
    rows = []
    for method, scores in methods.items():
        hits = scores.get("edited_words", {}).get("all")
        if hits:
            cells = [number(hits[key].get(part)) for key in HITS for part in ("value", "interval", "chance")]
            rows.append((method, number(hits.get("edits")), *cells))
    header = [name for measure in HITS.values() for name in (measure, "95 %", "by chance")]
    return Table("Edited words among those that a method ranks first", ("method", "edits", *header), tuple(rows))


def causal_summary(causal: Mapping) -> Table | None:
    """The error of a few explainers on all pairs, the smallest first; None if nothing was measured.

    Args:
        causal: `causal` of `metrics/evaluate.json`
    """
    scores = causal.get("pairs")
    if not scores:
        return None
    errors = {name: scores["errors"][name]["l2"] for name in EXPLAINERS if name in scores["errors"]}
    rows = [
        (EXPLAINERS[name], name, number(errors[name]["value"]), number(errors[name]["interval"]))
        for name in sorted(errors, key=lambda name: errors[name]["value"])
    ]
    header = ("the effect is estimated by", "name", "error (L2)", "95 %")
    return Table(f"Error on all pairs ({scores['pairs']:,}): less is better", header, tuple(rows), 2)


def causal_tables(causal: Mapping) -> list[Table]:
    """Errors of each explainer's causal effects, and by how much another explainer leads it.

    Args:
        causal: `causal` of `metrics/evaluate.json`
    """
    tables = []
    for key, title in PAIRS.items():
        scores = causal.get(key)
        if scores:
            rows = [
                (explainer, *_error_cells(errors), *_lead_cells(scores["lead"].get(explainer)))
                for explainer, errors in scores["errors"].items()
            ]
            header = ("explainer", "L2", "95 %", "cosine", "norm", f"L2 above {scores['reference']}", "95 %")
            tables.append(Table(f"{title} ({scores['pairs']:,}): less is better", header, tuple(rows)))
    return tables


def _error_cells(errors: Mapping) -> tuple[str, ...]:
    l2 = errors["l2"]
    return (number(l2["value"]), number(l2["interval"]), *(number(errors[key]["value"]) for key in ("cosine", "norm")))


def _lead_cells(lead: Mapping | None) -> tuple[str, str]:
    l2 = (lead or {}).get("l2") or {}
    return number(l2.get("value")), number(l2.get("interval"))
