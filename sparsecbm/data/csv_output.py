"""csv files that people open in spreadsheets."""

import pandas as pd

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(rows: list[dict]) -> str:
    """Rows as csv. A text that a spreadsheet would take for a formula gets an apostrophe in front.

    Numbers stay as they are, negative ones too.
    """
    frame = pd.DataFrame([{_safe(key): _safe(cell) for key, cell in row.items()} for row in rows])
    return frame.to_csv(index=False, lineterminator="\n")


def _safe(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def without_apostrophe(cell: str) -> str:
    """A cell as it was before `csv_text` put an apostrophe in front."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
