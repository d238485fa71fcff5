"""What can be wrong with a text that is there: damage, a wrong decoding, another language."""

import re
import unicodedata
from collections import Counter

import pandas as pd

from sparsecbm.data.lookalikes import visible_form

# Signs of lost characters: the replacement character, and control characters other than white space.
_DAMAGE = r"[\ufffd\x00-\x08\x0e-\x1f\x7f]"

# UTF-8 read as Windows-1252 or Latin-1 ("donâ€™t", "cafÃ©"), and C1 controls, which are Windows-1252 read as Latin-1.
_MOJIBAKE = r"â€.|Ã[\u0080-\u00bf\u0152-\u2122]|Â[\u0080-\u00bf]|[\u0080-\u009f]"

# Frequent function words. A text counts as one language's only if it has several of its words.
_FUNCTION_WORDS = {
    "Dutch": "de het een en niet met voor van ook wij zeer op dat maar zijn te er aan heel werd",
    "English": "the and of to was is it that for with this but we were they our not have very had",
    "French": "le la les des et est une pour dans pas était très nous que qui avec sur ce du",
    "German": "der die das und ist nicht war sehr ein eine mit auf wir ich auch für den dem sie es",
    "Italian": "il la di è una per con che molto non era ci del gli sono della anche questo",
    "Portuguese": "é uma um para com que muito não foi eu mas são está ele ela isso também bem",
    "Spanish": "el la los las es una para con que muy por pero nos del fue está en y como",
}
_WORDS = {language: frozenset(words.split()) for language, words in _FUNCTION_WORDS.items()}
_LEAST_HITS = 3


def word_counts(texts: pd.Series) -> pd.Series:
    """The number of words of each text, separated by white space."""
    return texts.str.split().str.len()


def is_damaged(texts: pd.Series) -> pd.Series:
    """Whether a text has lost characters, so that it cannot be repaired."""
    return texts.str.contains(_DAMAGE, regex=True).fillna(False).astype(bool)


def is_mojibake(texts: pd.Series) -> pd.Series:
    """Whether a text looks wrongly decoded. It is still readable, and its source can repair it."""
    return texts.str.contains(_MOJIBAKE, regex=True).fillna(False).astype(bool)


def comparable(texts: pd.Series) -> pd.Series:
    """Texts in a form that ignores case, spacing, invisible characters and variants of Unicode."""
    return texts.map(visible_form)


def is_blank(texts: pd.Series) -> pd.Series:
    """Whether a text shows nothing: it has only white space and invisible characters."""
    return texts.map(visible_form, na_action="ignore").fillna("-") == ""


def script(text: str) -> str | None:
    """The script of most letters (Latin, Cyrillic, Cjk, ...), or None without letters."""
    if text.isascii():
        return "Latin" if re.search("[A-Za-z]", text) else None
    counts = Counter(
        "Latin" if letter.isascii() else unicodedata.name(letter, "?").split()[0].title()
        for letter in text
        if letter.isalpha()
    )
    return counts.most_common(1)[0][0] if counts else None


def language(text: str) -> str | None:
    """The language whose function words a text uses, or None where they are few or ambiguous."""
    words = set(re.findall(r"[^\W\d_]+", text.casefold()))
    hits = sorted(((len(words & known), name) for name, known in _WORDS.items()), reverse=True)
    (most, name), (second, _) = hits[:2]
    return name if most >= _LEAST_HITS and most >= 2 * second else None


def is_foreign(texts: pd.Series) -> pd.Series:
    """Whether a text is in another script or language than most texts. This is a hint: short texts have few words."""
    foreign = pd.Series(False, index=texts.index)
    for guess in (texts.map(script), texts.map(language)):
        known = guess.dropna()
        if len(known):
            foreign |= guess.notna() & (guess != known.mode().iloc[0])
    return foreign
