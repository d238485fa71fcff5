"""The page about the data: verdict, balance, warnings and quarantine on one screen."""

import base64
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.data.text_quality import word_counts
from sparsecbm.data.validation import Validated
from sparsecbm.plots.validation import plot_lengths, plot_shares
from sparsecbm.report.data_name import data_name
from sparsecbm.report.render import render

SHOWN_ROWS = 50
SHOWN_LETTERS = 240
MAX_PICTURES = 8  # of variables; the numbers of all of them are in a table

Counts = dict[str, dict[str, int]]  # split -> state -> rows


@dataclass(frozen=True)
class Picture:
    """One plot as PNG in base64, for a light and for a dark page, and what it says in words."""

    light: str
    dark: str
    alt: str


def validation_page(result: Validated, manifest: dict) -> str:
    """The whole page as HTML; a function of the data alone, to the byte."""
    report = result.report
    counts = _counts_by_column(report["balance"])
    labelled = {column: by_split for column, by_split in counts.items() if _has_states(by_split)}
    rows = [
        {"column": column, "state": state, "counts": [by_state[state] for by_state in by_split.values()]}
        for column, by_split in counts.items()
        for state in next(iter(by_split.values()))
    ]
    shown = result.quarantine.head(SHOWN_ROWS)
    return render(
        "validation.html.jinja",
        title=data_name(manifest),
        manifest=manifest,
        unlabelled=[column.removeprefix("concept.") for column in counts if column not in labelled],
        report=report,
        refusal=result.refusal,
        total={key: sum(counts[key] for counts in report["rows"].values()) for key in ("in", "out", "quarantined")},
        splits=list(result.splits),
        pictures=_pictures(result, ConceptSet.from_dict(manifest["vocabulary"]), labelled),
        balance_rows=rows,
        quarantine=[
            {"split": row.split, "file": row.file, "row": row.row, "text": _short(row.text), "reasons": row.reasons}
            for row in shown.itertuples()
        ],
        hidden=len(result.quarantine) - len(shown),
    )


def _counts_by_column(balance: dict) -> dict[str, Counts]:
    """Column -> split -> state -> rows, with `missing` as the last state."""
    columns = next(iter(balance.values()))
    return {
        column: {
            split: {**by_column[column]["states"], "missing": by_column[column]["missing"]}
            for split, by_column in balance.items()
        }
        for column in columns
    }


def _has_states(by_split: Counts) -> bool:
    return any(count for by_state in by_split.values() for state, count in by_state.items() if state != "missing")


def _pictures(result: Validated, concept_set: ConceptSet, counts: Mapping[str, Counts]) -> list[Picture]:
    """The balance of the label and of the least balanced concepts, and the lengths of the texts."""
    rarest = sorted((column for column in counts if column != "label"), key=lambda column: _least_share(counts[column]))
    drawn = {"label", *rarest[: MAX_PICTURES - 1]}
    titles = {"label": f"{concept_set.label.name} (label)"}
    pictures = [
        _shares_picture(titles.get(column, column.removeprefix("concept.")), by_split)
        for column, by_split in counts.items()
        if column in drawn
    ]
    lengths = {name: word_counts(frame["text"]).to_numpy() for name, frame in result.splits.items() if len(frame)}
    return [*pictures, _lengths_picture(lengths)] if lengths else pictures


def _shares_picture(title: str, counts: Counts) -> Picture:
    shares = {
        split: {state: count / max(sum(by_state.values()), 1) for state, count in by_state.items()}
        for split, by_state in counts.items()
    }
    sentences = [
        f"{split}: " + ", ".join(f"{state} {share:.0%}" for state, share in by_state.items())
        for split, by_state in shares.items()
    ]
    alt = f"{title}. " + "; ".join(sentences)
    return _picture(lambda target, theme: plot_shares(title, counts, target, theme), alt)


def _lengths_picture(lengths: dict[str, np.ndarray]) -> Picture:
    title, unit = "length of texts", "words"
    sentences = [f"{split}: median {np.median(values):g} {unit}" for split, values in lengths.items()]
    alt = f"{title}. " + "; ".join(sentences)
    return _picture(lambda target, theme: plot_lengths(title, lengths, unit, target, theme), alt)


def _picture(plot: Callable[[io.BytesIO, str], Figure], alt: str) -> Picture:
    return Picture(_base64_png(plot, "light"), _base64_png(plot, "dark"), alt)


def _base64_png(plot: Callable[[io.BytesIO, str], Figure], theme: str) -> str:
    stream = io.BytesIO()
    plot(stream, theme)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def _least_share(counts: Counts) -> float:
    """Share of the rarest state in any split; `missing` is not a state."""
    shares = [
        min(count for state, count in by_state.items() if state != "missing") / max(sum(by_state.values()), 1)
        for by_state in counts.values()
    ]
    return min(shares)


def _short(text: object) -> str:
    if not isinstance(text, str):
        return ""
    return text if len(text) <= SHOWN_LETTERS else text[: SHOWN_LETTERS - 1] + "…"
