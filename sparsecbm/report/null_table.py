"""Real concepts beside concepts without meaning: which masks stand out further than the search alone makes them."""

from collections.abc import Mapping

from sparsecbm.report.tables import Table, number

MEASURES = {"swap": ("swap", "gap"), "probe": ("probe", "gap"), "ablation": ("ablation", "selectivity")}


def null_table(record: Mapping) -> Table:
    """Each real concept, then each null concept, with what its mask shows.

    Args:
        record: `metrics/prune.json` of a run with `prune.null_concepts`; figures are those over random masks if the run
            has them
    """
    nulls, over = record["nulls"], record.get("excess")
    real = over or {measure: record["chosen"][part][key] for measure, (part, key) in MEASURES.items()}
    rows = []
    for name in record["chosen"]["density_by_concept"]:
        cells = [
            cell
            for measure in MEASURES
            for cell in (*_points(real[measure][name]), number(nulls["rank_p"][measure][name]))
        ]
        rows.append((name, *cells))
    for name, scores in nulls["chosen"].items():
        of_null = {measure: nulls["excess"][measure][name] if over else scores[measure] for measure in MEASURES}
        cells = [cell for measure in MEASURES for cell in (*_points(of_null[measure]), "")]
        rows.append((f"{name} (means nothing)", *cells))
    header = [title for measure in MEASURES for title in (measure, "95 %", "p")]
    compared = "more than under random masks" if over else "own mask against others"
    return Table(f"Real concepts beside meaningless ones: {compared}", ("", *header), tuple(rows))


def _points(estimate: Mapping) -> tuple[str, str]:
    return number(estimate["value"]), number(estimate["interval"])
