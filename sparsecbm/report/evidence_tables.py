"""What speaks for the explanations: faithfulness beside random attributions, and errors of causal effects."""

from collections.abc import Mapping

from sparsecbm.report.tables import Table, number

MEASURES = ("comprehensiveness", "sufficiency")


def faithfulness_tables(found: Mapping) -> list[Table]:
    """Each method under each operator, mean over the concepts, beside matched random attributions.

    Args:
        found: `faithfulness` of `metrics/explain.json`
    """
    tables = []
    for measure, better in zip(MEASURES, ("more", "less"), strict=True):
        rows = []
        for method, scores in found.get("methods", {}).items():
            for operator, by_concept in scores.get(measure, {}).items():
                mean = by_concept.get("mean")
                if mean:
                    keys = ("value", "random", "excess", "excess_interval", "win_rate", "win_rate_interval")
                    rows.append((method, operator, *(number(mean.get(key)) for key in keys)))
        header = ("method", "words replaced by", measure, "random", "ahead of random", "95 %", "win rate", "95 %")
        if rows:
            tables.append(Table(f"{measure.capitalize()}: {better} is better", header, tuple(rows), 2))
    agreed = _edited_words(found.get("methods", {}))
    return [*tables, agreed] if agreed.rows else tables


def _edited_words(methods: Mapping) -> Table:
    """How high each method ranks the words that somebody edited to change a concept."""
    measures = {"hit_at_1": "first", "hit_at_3": "in the first three", "reciprocal_rank": "reciprocal rank"}
    rows = []
    for method, scores in methods.items():
        found = scores.get("edited_words", {}).get("all")
        if found:
            cells = [number(found[key].get(part)) for key in measures for part in ("value", "interval", "chance")]
            rows.append((method, number(found.get("edits")), *cells))
    header = [name for measure in measures.values() for name in (measure, "95 %", "by chance")]
    return Table("Edited words among those that a method ranks first", ("method", "edits", *header), tuple(rows))


def causal_tables(found: Mapping) -> list[Table]:
    """Errors of each explainer's causal effects, and by how much another explainer leads it.

    Args:
        found: `causal` of `metrics/evaluate.json`
    """
    titles = {"pairs": "All pairs", "losing": "Pairs in which the text loses the concept"}
    tables = []
    for key, title in titles.items():
        of = found.get(key)
        if of:
            rows = [
                (explainer, *_errors(errors), *_lead(of["lead"].get(explainer)))
                for explainer, errors in of["errors"].items()
            ]
            header = ("explainer", "L2", "95 %", "cosine", "norm", f"L2 above {of['reference']}", "95 %")
            tables.append(Table(f"{title} ({of['pairs']:,}): less is better", header, tuple(rows)))
    return tables


def _errors(errors: Mapping) -> tuple[str, ...]:
    l2 = errors["l2"]
    return (number(l2["value"]), number(l2["interval"]), *(number(errors[key]["value"]) for key in ("cosine", "norm")))


def _lead(lead: Mapping | None) -> tuple[str, str]:
    l2 = (lead or {}).get("l2") or {}
    return number(l2.get("value")), number(l2.get("interval"))
