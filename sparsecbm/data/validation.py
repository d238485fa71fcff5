"""Check split tables. Bad rows go to quarantine with their reasons, good rows go on, and no row is lost."""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import DataError
from sparsecbm.base.params import Validate
from sparsecbm.data import repeats, schemas, text_quality
from sparsecbm.data.balance import count_states, find_rare_states, require_variation
from sparsecbm.data.source_table import BROKEN_ROW

WRONG_TYPE = "wrong type"
NO_STATE = "no state"
_FAULTY_COLUMN = re.compile(r"column (['\"])(.+?)\1 holds ", re.DOTALL)
EXAMPLES = 5

REMEDIES = {
    BROKEN_ROW: "quote cells that hold separators, quotes or line ends",
    WRONG_TYPE: "write the cell as text",
    NO_STATE: "leave the cell empty, or name the state under source.columns",
    schemas.MISSING: "fill the cell",
    schemas.EMPTY: "fill in the text, or remove the row",
    schemas.OVERLONG: "cut the text, or raise validate.max_words",
    schemas.DAMAGED: "restore the text from an intact copy",
    schemas.UNKNOWN_STATE: "correct the spelling, or add the state under source.columns",
    repeats.REPEATED_ID: "give each row an id of its own",
    repeats.REPEATED_TEXT: "keep one of the copies, or give copies that belong together one group",
    repeats.STRADDLING: "put all rows of a group into one split",
}


@dataclass
class _Faults:
    """The reasons why rows are bad, by index label, each as (code, column, message)."""

    reasons: dict[int, list[tuple[str, str, str]]] = field(default_factory=dict)

    def add(self, label: int, code: str, column: str, message: str) -> None:
        self.reasons.setdefault(label, []).append((code, column, message))

    def good_rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows[~rows.index.isin(list(self.reasons))]


@dataclass(frozen=True)
class Validated:
    """The result of validation.

    Attributes:
        splits: the good rows
        quarantine: the bad rows, with `split` and `reasons`
        report: the content of `metrics/validate.json`
        refusal: why the data cannot be used; None if it can
    """

    splits: dict[str, pd.DataFrame]
    quarantine: pd.DataFrame
    report: dict
    refusal: str | None


def validate(
    splits: dict[str, pd.DataFrame],
    concept_set: ConceptSet,
    params: Validate,
    blank_is_state: bool = True,
    defined: Collection[str] = (),
) -> Validated:
    """Check every row of every split, alone and against the others.

    Args:
        blank_is_state: whether an empty cell of a concept gets the state `unknown` later
        defined: concepts that are labelled later, so that their states need neither vary nor be frequent

    Raises:
        DataError: a whole table is wrong: a column is absent or of the wrong type, a split has no rows, or the label
            or a concept never varies.
    """
    judged = concept_set.without(defined)
    for name, frame in splits.items():
        if frame.empty:
            raise DataError(f"split {name!r} has no rows; add some, or remove the split from the source")
    rows = pd.concat([frame.assign(split=name) for name, frame in splits.items()], ignore_index=True)
    faults = _cell_faults(rows, concept_set, params.max_words)
    for code, column, find_faults in (
        (repeats.REPEATED_ID, "id", repeats.repeated_ids),
        (repeats.STRADDLING, "group", repeats.straddling_groups),
        (repeats.REPEATED_TEXT, "text", lambda good: repeats.repeated_texts(good).removable),
    ):
        for label, message in find_faults(faults.good_rows(rows)).items():
            faults.add(label, code, column, message)

    rows = rows.drop(columns="fault", errors="ignore")
    kept = faults.good_rows(rows)
    good = {name: kept[kept["split"] == name].drop(columns="split").reset_index(drop=True) for name in splits}
    bad = rows[rows.index.isin(list(faults.reasons))]
    reasons = ["; ".join(f"{code}: {message}" for code, _, message in faults.reasons[label]) for label in bad.index]
    quarantine = bad.assign(reasons=pd.Series(reasons, index=bad.index, dtype="str")).reset_index(drop=True)
    assert len(rows) == sum(map(len, good.values())) + len(quarantine), "a row is lost"

    refusal = _refusal(rows, good, faults, params.quarantine_share)
    if refusal is None and "train" in good:
        require_variation(good["train"], judged, blank_is_state)
    counts = {name: count_states(frame, concept_set) for name, frame in good.items()}
    report = {
        "accepted": refusal is None,
        "rows": {
            name: {"in": len(frame), "out": len(good[name]), "quarantined": len(frame) - len(good[name])}
            for name, frame in splits.items()
        },
        "reasons": _count_reasons(bad, faults),
        "warnings": _warnings(kept, counts, judged, params, blank_is_state),
        "balance": counts,
        "words": {name: _word_summary(frame) for name, frame in good.items()},
    }
    return Validated(good, quarantine, report, refusal)


def _cell_faults(rows: pd.DataFrame, concept_set: ConceptSet, max_words: int) -> _Faults:
    """Faults that show in a row alone."""
    faults = _Faults()
    if "fault" in rows:
        for label, fault in rows["fault"].dropna().items():
            code, _, message = fault.partition(": ")
            if code not in (BROKEN_ROW, schemas.DAMAGED):
                code, message = WRONG_TYPE, fault
            column = _FAULTY_COLUMN.match(message)
            code = NO_STATE if message.endswith(", which is no state") else code
            faults.add(label, code, column[2] if column else "text", message)
    good = faults.good_rows(rows)
    files = ", ".join(sorted(rows["file"].unique())) if "file" in rows else "the table"
    failures = schemas.failures(good, schemas.schema(schemas.RawTable, concept_set, max_words), files)
    for failure in failures.itertuples(index=False):
        faults.add(failure.index, failure.check, failure.column, _message(failure, concept_set, max_words))
    return faults


def _message(failure: Any, concept_set: ConceptSet, max_words: int) -> str:
    """What is wrong with one cell, from a row of `schemas.failures`."""
    if failure.check == schemas.UNKNOWN_STATE:
        return schemas.unknown_state(failure.column, failure.value, concept_set)
    if failure.check == schemas.OVERLONG:
        return f"text has {len(failure.value.split())} words, more than {max_words}"
    if failure.check == schemas.DAMAGED:
        return "text holds replacement or control characters"
    if failure.check == schemas.EMPTY:
        return "text is white space"
    if failure.check == schemas.MISSING:
        return f"column {failure.column!r} is missing"
    return f"column {failure.column!r} breaks {failure.check}: {failure.value!r}"


def _count_reasons(bad: pd.DataFrame, faults: _Faults) -> dict[str, dict[str, int]]:
    """The number of rows by split and reason. A row with two reasons counts for both."""
    counts: dict[str, Counter] = {}
    for label, split in bad["split"].items():
        counts.setdefault(split, Counter()).update({code for code, _, _ in faults.reasons[label]})
    return {split: dict(counter) for split, counter in counts.items()}


def _refusal(rows: pd.DataFrame, good: dict[str, pd.DataFrame], faults: _Faults, allowed: float) -> str | None:
    """Why the data cannot be used, with file, column, first row and remedy of each fault; None if it can.

    Rows that only repeat a text are left out, but they are not bad: short reviews are often the same.
    """
    copies = [label for label, reasons in faults.reasons.items() if all(r[0] == repeats.REPEATED_TEXT for r in reasons)]
    bad = len(faults.reasons) - len(copies)
    share = bad / len(rows)
    emptied = [name for name, frame in good.items() if frame.empty]
    if share <= allowed and not emptied:
        return None
    groups: dict[tuple, list[int]] = {}
    for label in sorted(faults.reasons):
        for code, column, _ in faults.reasons[label]:
            groups.setdefault((rows.at[label, "file"], column, code), []).append(label)
    lines = []
    for (file, column, code), labels in sorted(groups.items(), key=lambda item: -len(item[1])):
        message = next(text for c, k, text in faults.reasons[labels[0]] if (k, c) == (column, code))
        first = rows.at[labels[0], "row"]
        remedy = REMEDIES.get(code, "correct the cell")
        lines.append(
            f"  {file}, column {column!r}: {code} in {len(labels)} row(s); row {first}: {message}. Remedy: {remedy}"
        )
    head = f"{bad} of {len(rows)} rows are bad ({share:.1%})"
    if share > allowed:
        head += f", more than validate.quarantine_share allows ({allowed:.1%})"
    if emptied:
        head += f"; no row is left in {', '.join(map(repr, emptied))}"
    if copies:
        head += f"; {len(copies)} more repeat a text"
    return "\n".join([head + ":", *lines])


def _warnings(
    kept: pd.DataFrame, counts: dict, concept_set: ConceptSet, params: Validate, blank_is_state: bool
) -> list[dict]:
    """What a person should look at although the rows go on: by code and split, with the first rows."""
    warnings = []

    def warn_of_rows(code: str, labels: list[int], message: str, column: str = "text") -> None:
        for split, part in kept.loc[labels].groupby("split", sort=False):
            examples = [f"{row.file}, row {row.row}" for row in part.head(EXAMPLES).itertuples()]
            about = {"rows": len(part), "message": f"{len(part)} row(s) {message}", "examples": examples}
            warnings.append({"code": code, "split": split, "column": column, **about})

    repeated = repeats.repeated_texts(kept)
    shared = repeats.shared_groups(kept)
    mojibake, foreign = text_quality.is_mojibake(kept["text"]), text_quality.is_foreign(kept["text"])
    warn_of_rows("repeated text in a group", list(repeated.in_group), "repeat a text of their own group")
    warn_of_rows(
        "repeated text in evaluation", list(repeated.in_evaluation), "repeat another text; such splits stay whole"
    )
    warn_of_rows("shared group", shared, "belong to a group that lies in another evaluation split, too", "group")
    warn_of_rows("decoding", kept.index[mojibake].tolist(), "look decoded by the wrong table, as in 'donâ€™t'")
    warn_of_rows("language", kept.index[foreign].tolist(), "look written in another language than most")
    for split, by_column in counts.items():
        rare = find_rare_states(by_column, concept_set, split, params.min_state_share, blank_is_state)
        for column, message in rare:
            entry = {"code": "rare state", "split": split, "column": column, "message": message, "examples": []}
            warnings.append(entry)
    return warnings


def _word_summary(frame: pd.DataFrame) -> dict[str, float]:
    """The minimum, median, 95th percentile and maximum of the texts' lengths in words."""
    counts = text_quality.word_counts(frame["text"])
    if counts.empty:
        return {}
    return {
        "min": int(counts.min()),
        "median": float(counts.median()),
        "p95": round(float(counts.quantile(0.95)), 1),
        "max": int(counts.max()),
    }
