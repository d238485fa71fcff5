"""Check split tables: bad rows go to quarantine with their reasons, the rest goes on, nothing vanishes."""

from collections import Counter
from dataclasses import dataclass, field

import pandas as pd

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import DataError
from sparsecbm.base.params import Validate
from sparsecbm.data import repeats, schemas
from sparsecbm.data import text_quality as texts
from sparsecbm.data.balance import balance, rare_states, require_variation

WRONG_TYPE = "wrong type"
EXAMPLES = 5

REMEDIES = {
    WRONG_TYPE: "write the cell as text",
    schemas.MISSING: "fill the cell",
    schemas.EMPTY: "fill in the text, or remove the row",
    schemas.OVERLONG: "cut the text, or raise validate.max_words",
    schemas.DAMAGED: "restore the text from a copy that is whole",
    schemas.UNKNOWN_STATE: "correct the spelling, or add the state under source.columns",
    repeats.REPEATED_ID: "give each row an id of its own",
    repeats.REPEATED_TEXT: "keep one of the copies, or give copies that belong together one group",
    repeats.STRADDLING: "put all rows of a group into one split",
}


@dataclass
class _Faults:
    """Reasons against rows, by index label: (code, column, sentence)."""

    reasons: dict[int, list[tuple[str, str, str]]] = field(default_factory=dict)

    def add(self, label: int, code: str, column: str, sentence: str) -> None:
        self.reasons.setdefault(label, []).append((code, column, sentence))

    def survivors(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows[~rows.index.isin(list(self.reasons))]


@dataclass(frozen=True)
class Validated:
    """What validation found.

    `quarantine` holds the bad rows with `split` and `reasons`, `report` what `metrics/validate.json` holds.
    `refusal` says why the data cannot be used, if it cannot.
    """

    splits: dict[str, pd.DataFrame]
    quarantine: pd.DataFrame
    report: dict
    refusal: str | None


def validate(splits: dict[str, pd.DataFrame], concept_set: ConceptSet, params: Validate) -> Validated:
    """Check every row of every split, alone and against the others.

    Raises:
        DataError: a fault of a whole table: a column is absent or of the wrong type, a split has no rows, a label or
            concept never varies.
    """
    for name, frame in splits.items():
        if frame.empty:
            raise DataError(f"split {name!r} has no rows; bring some, or take the split out of the source")
    rows = pd.concat([frame.assign(split=name) for name, frame in splits.items()], ignore_index=True)
    faults = _cell_faults(rows, concept_set, params.max_words)
    for code, column, find in (
        (repeats.REPEATED_ID, "id", repeats.repeated_ids),
        (repeats.STRADDLING, "group", repeats.straddling_groups),
        (repeats.REPEATED_TEXT, "text", lambda left: repeats.repeated_texts(left).removable),
    ):
        for label, sentence in find(faults.survivors(rows)).items():
            faults.add(label, code, column, sentence)

    rows = rows.drop(columns="fault", errors="ignore")
    kept = faults.survivors(rows)
    good = {name: kept[kept["split"] == name].drop(columns="split").reset_index(drop=True) for name in splits}
    bad = rows[rows.index.isin(list(faults.reasons))]
    sentences = ["; ".join(f"{code}: {said}" for code, _, said in faults.reasons[label]) for label in bad.index]
    quarantine = bad.assign(reasons=pd.Series(sentences, index=bad.index, dtype="str")).reset_index(drop=True)
    assert len(rows) == sum(map(len, good.values())) + len(quarantine), "a row vanished"

    refusal = _refusal(rows, good, faults, params.quarantine_share)
    if refusal is None and "train" in good:
        require_variation(good["train"], concept_set)
    counts = {name: balance(frame, concept_set) for name, frame in good.items()}
    report = {
        "accepted": refusal is None,
        "rows": {
            name: {"in": len(frame), "out": len(good[name]), "quarantined": len(frame) - len(good[name])}
            for name, frame in splits.items()
        },
        "reasons": _count_reasons(bad, faults),
        "warnings": _warnings(kept, counts, concept_set, params),
        "balance": counts,
        "words": {name: _word_summary(frame) for name, frame in good.items()},
    }
    return Validated(good, quarantine, report, refusal)


def _cell_faults(rows: pd.DataFrame, concept_set: ConceptSet, max_words: int) -> _Faults:
    """Faults that a row shows by itself."""
    faults = _Faults()
    if "fault" in rows:
        for label, said in rows["fault"].dropna().items():
            faults.add(label, WRONG_TYPE, "text", said)
    left = faults.survivors(rows)
    files = ", ".join(sorted(rows["file"].unique())) if "file" in rows else "the table"
    found = schemas.failures(left, schemas.schema(schemas.RawTable, concept_set, max_words), files)
    for case in found.itertuples(index=False):
        faults.add(case.index, case.check, case.column, _sentence(case, rows, concept_set, max_words))
    return faults


def _sentence(case, rows: pd.DataFrame, concept_set: ConceptSet, max_words: int) -> str:
    """What is wrong with one cell, for a person."""
    if case.check == schemas.UNKNOWN_STATE:
        return schemas.unknown_state(case.column, case.value, concept_set)
    if case.check == schemas.OVERLONG:
        return f"text has {len(case.value.split())} words, more than {max_words}"
    if case.check == schemas.DAMAGED:
        return "text holds replacement or control characters"
    if case.check == schemas.EMPTY:
        return "text is white space"
    if case.check == schemas.MISSING:
        return f"column {case.column!r} is missing"
    return f"column {case.column!r} breaks {case.check}: {case.value!r}"


def _count_reasons(bad: pd.DataFrame, faults: _Faults) -> dict[str, dict[str, int]]:
    """Rows by split and reason; a row with two reasons counts under both."""
    counts: dict[str, Counter] = {}
    for label, split in bad["split"].items():
        counts.setdefault(split, Counter()).update({code for code, _, _ in faults.reasons[label]})
    return {split: dict(counter) for split, counter in counts.items()}


def _refusal(rows: pd.DataFrame, good: dict[str, pd.DataFrame], faults: _Faults, allowed: float) -> str | None:
    """Why the data cannot be used as a whole, with file, column, first row and remedy of each fault."""
    share = len(faults.reasons) / len(rows)
    emptied = [name for name, frame in good.items() if frame.empty]
    if share <= allowed and not emptied:
        return None
    groups: dict[tuple, list[int]] = {}
    for label in sorted(faults.reasons):
        for code, column, _ in faults.reasons[label]:
            groups.setdefault((rows.at[label, "file"], column, code), []).append(label)
    lines = []
    for (file, column, code), labels in sorted(groups.items(), key=lambda item: -len(item[1])):
        said = next(said for c, k, said in faults.reasons[labels[0]] if (k, c) == (column, code))
        first = rows.at[labels[0], "row"]
        remedy = REMEDIES.get(code, "correct the cell")
        lines.append(
            f"  {file}, column {column!r}: {code} in {len(labels)} row(s); row {first}: {said}. Remedy: {remedy}"
        )
    head = f"{len(faults.reasons)} of {len(rows)} rows are bad ({share:.1%})"
    if share > allowed:
        head += f", more than validate.quarantine_share allows ({allowed:.1%})"
    if emptied:
        head += f"; no row is left in {', '.join(map(repr, emptied))}"
    return "\n".join([head + ":", *lines])


def _warnings(kept: pd.DataFrame, counts: dict, concept_set: ConceptSet, params: Validate) -> list[dict]:
    """What a person should look at, though the rows go on: by code and split, with the first places."""
    found = []

    def rows_warning(code: str, labels: list[int], sentence: str, column: str = "text") -> None:
        for split, part in kept.loc[labels].groupby("split", sort=False):
            places = [f"{row.file}, row {row.row}" for row in part.head(EXAMPLES).itertuples()]
            said = {"rows": len(part), "message": f"{len(part)} row(s) {sentence}", "examples": places}
            found.append({"code": code, "split": split, "column": column, **said})

    same = repeats.repeated_texts(kept)
    shared = repeats.shared_groups(kept)
    mojibake, foreign = texts.is_mojibake(kept["text"]), texts.is_foreign(kept["text"])
    rows_warning("repeated text in a group", list(same.in_group), "repeat a text of their own group")
    rows_warning("repeated text in evaluation", list(same.in_evaluation), "repeat another text; such splits stay whole")
    rows_warning("shared group", shared, "belong to a group that lies in another evaluation split, too", "group")
    rows_warning("decoding", kept.index[mojibake].tolist(), "look decoded by the wrong table, as in 'donâ€™t'")
    rows_warning("language", kept.index[foreign].tolist(), "look written in another language than most")
    for split, by_column in counts.items():
        for column, message in rare_states(by_column, concept_set, split, params.min_state_share):
            entry = {"code": "rare state", "split": split, "column": column, "message": message, "examples": []}
            found.append(entry)
    return found


def _word_summary(frame: pd.DataFrame) -> dict[str, float]:
    """Shortest, middle, 95th percentile and longest text, in words."""
    counts = texts.word_counts(frame["text"])
    if counts.empty:
        return {}
    return {
        "min": int(counts.min()),
        "median": float(counts.median()),
        "p95": round(float(counts.quantile(0.95)), 1),
        "max": int(counts.max()),
    }
