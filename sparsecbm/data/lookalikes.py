"""States that a person takes for one: spellings that differ in case, blanks, Unicode form or the style of numbers."""

import unicodedata
from collections.abc import Callable, Sequence
from decimal import Context, Decimal

import pandas as pd
import regex

_INVISIBLE = regex.compile(r"\p{Default_Ignorable_Code_Point}+")
_NUMBER = regex.compile(r"[+-]?(\d{1,40}[.,]?\d{0,40}|[.,]\d{1,40})(e[+-]?\d{1,2})?", regex.ASCII)
_THOUSANDS = regex.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+", regex.ASCII)
_EXACT = Context(prec=200)  # more digits than `_NUMBER` allows
_TRUTH = {"true": "1", "false": "0"}
_DASHES = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
_QUOTES = dict.fromkeys("\u2018\u2019\u201a\u201b\u2032`\u00b4", "'") | dict.fromkeys(
    "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'
)
# Letters of other alphabets that look like Latin ones, in small or in capitals.
_LETTERS = dict(zip("авеёкмнорстухіјѕһԁαβεζηικμνορτυχı", "abeekmhopctyxijshdabezhikmnoptyxi", strict=True))
_LOOKS = str.maketrans(_DASHES | _QUOTES | _LETTERS)
MANY_STATES, LEAST_ROWS = 20, 5  # more states than this, each in fewer rows than this on average, are no classes
FEW_ROWS = 10  # so few rows say nothing about how many states there are


def visible_form(text: str) -> str:
    """A text without what nobody sees: case, white space at its ends, invisible characters, Unicode variants."""
    folded = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def normal_form(state: str) -> str:
    """What look-alike states have in common: their visible form, with one style of what people write in several.

    These are numbers, truth values, dashes, quotes, underscores, a full stop at the end, and letters of other alphabets
    that look like Latin ones.
    """
    form = "".join(_ascii_digit(character) for character in visible_form(state)).replace("i\u0307", "i")
    form = form.translate(_LOOKS)
    bare = " ".join(form.strip("\"' ").rstrip(".;,:! ").replace("_", " ").split())
    form = bare or form
    form = _TRUTH.get(form, form)
    if _THOUSANDS.fullmatch(form):
        form = form.replace(",", "")
    if _NUMBER.fullmatch(form):
        number = _EXACT.normalize(Decimal(form.replace(",", ".")))
        return format(_EXACT.add(number, Decimal(0)), "f")  # + 0 turns -0 into 0
    return form


def _ascii_digit(character: str) -> str:
    return character if character.isascii() or not character.isdecimal() else str(unicodedata.decimal(character))


def group_lookalikes(cells: pd.Series) -> list[list[str]]:
    """The states that look alike, most frequent spelling first; states that no other one looks like are left out."""
    groups: dict[str, list[str]] = {}
    counts = cells.dropna().value_counts()
    for state in sorted(counts.index, key=lambda state: (-counts[state], len(state), state)):
        groups.setdefault(normal_form(state), []).append(state)
    return [group for group in groups.values() if len(group) > 1]


def plainest(group: Sequence[str]) -> str:
    """The spelling to keep of a group: `true` or `false`, the shortest form of a number, else the most frequent one."""
    truth = [state for state in group if state in _TRUTH]
    number = [state for state in group if state == normal_form(state) and _NUMBER.fullmatch(state)]
    return (truth or number or [group[0]])[0]


def show_lookalikes(group: Sequence[str]) -> str:
    """The spellings of a group, with characters escaped where the spellings look the same."""
    drawn = {unicodedata.normalize("NFC", state.casefold()).translate(_LOOKS): state.casefold() for state in group}
    shown = {unicodedata.normalize("NFC", state) for state in group}
    same = len(shown) < len(group) or not set(drawn.values()).issuperset(state.casefold() for state in group)
    return ", ".join(ascii(state) if same else repr(state) for state in group)


def state_meant(states: Sequence[str]) -> Callable[[str], str]:
    """A function from a cell to the named state that it looks like.

    A cell that looks like none or several of them stays as it is.
    """
    by_form: dict[str, list[str]] = {}
    for state in states:
        by_form.setdefault(normal_form(state), []).append(state)

    def meant(cell: str) -> str:
        matches = by_form.get(normal_form(cell), [])
        return matches[0] if cell not in states and len(matches) == 1 else cell

    return meant


def fold_lookalikes(cells: pd.Series, states: Sequence[str]) -> pd.Series:
    """Cells in the spelling of the named states (see `state_meant`)."""
    meant = state_meant(states)
    changed = {cell: meant(cell) for cell in cells.dropna().unique() if meant(cell) != cell}
    return cells.replace(changed) if changed else cells


def are_classes(cells: pd.Series) -> bool:
    """Whether a column's cells repeat as classes do. Scores, remarks and ids do not."""
    rows, states = cells.notna().sum(), cells.nunique()
    many = states > MANY_STATES and rows < LEAST_ROWS * states
    return not many and not (rows >= FEW_ROWS and 2 * states > rows)
