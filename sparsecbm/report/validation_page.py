"""The page of the stage `validate`: verdict, balance, warnings and quarantine on one screen."""

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.data.text_quality import word_counts
from sparsecbm.data.validation import Validated
from sparsecbm.plots.validation import Picture, length_curves, share_bars
from sparsecbm.report.render import render

SHOWN_ROWS = 50
SHOWN_LETTERS = 240


def validation_page(result: Validated, manifest: dict) -> str:
    """The whole page as HTML; a function of the data alone, to the byte."""
    report = result.report
    states = _states_by_column(report["balance"])
    rows = [
        {"column": column, "state": state, "counts": [split[state] for split in by_split.values()]}
        for column, by_split in states.items()
        for state in next(iter(by_split.values()))
    ]
    shown = result.quarantine.head(SHOWN_ROWS)
    return render(
        "validation.html.jinja",
        manifest=manifest,
        report=report,
        refusal=result.refusal,
        total={key: sum(counts[key] for counts in report["rows"].values()) for key in ("in", "out", "quarantined")},
        splits=list(result.splits.items()),
        pictures=_pictures(result, ConceptSet.from_dict(manifest["vocabulary"]), states),
        balance_rows=rows,
        quarantine=[
            {"split": row.split, "file": row.file, "row": row.row, "text": _short(row.text), "reasons": row.reasons}
            for row in shown.itertuples()
        ],
        hidden=len(result.quarantine) - len(shown),
    )


def _states_by_column(balance: dict) -> dict[str, dict[str, dict[str, int]]]:
    """Column -> split -> state -> rows, with `missing` as the last state."""
    columns = next(iter(balance.values()))
    return {
        column: {
            split: {**counts[column]["states"], "missing": counts[column]["missing"]}
            for split, counts in balance.items()
        }
        for column in columns
    }


def _pictures(result: Validated, concept_set: ConceptSet, states: dict) -> list[Picture]:
    titles = {"label": f"{concept_set.label.name} (label)"}
    pictures = [
        share_bars(titles.get(column, column.removeprefix("concept.")), by_split) for column, by_split in states.items()
    ]
    lengths = {name: word_counts(frame["text"]).to_numpy() for name, frame in result.splits.items() if len(frame)}
    if lengths:
        pictures.append(length_curves("length of texts", lengths, "words"))
    return pictures


def _short(text: object) -> str:
    if not isinstance(text, str):
        return ""
    return text if len(text) <= SHOWN_LETTERS else text[: SHOWN_LETTERS - 1] + "…"
