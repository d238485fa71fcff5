"""Replace personal data in a text by placeholders such as `<EMAIL_1>`, before the text leaves this machine.

E-mail addresses, phone numbers, cards, bank accounts, and addresses of the web and of machines are found by their form
and their checksums. Names of people need a spaCy pipeline that the user names. Nothing here opens a connection. What is
written in another form ("jo at example dot org") is not found.
"""

import ipaddress
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.extras import require

REDACTION_VERSION = "1"  # raise it when other things are found, since answers of machines are kept by it
KINDS = ("email", "phone", "card", "url", "iban", "ip", "name")
PLACEHOLDER = re.compile(rf"<(?:{'|'.join(kind.upper() for kind in KINDS)})_[0-9]{{1,9}}>")

# Presidio's own patterns of these kinds take the square of a text's length for "a.a.a.", and give up in silence after a
# minute. Here a match begins only where a run of its characters begins. Presidio's also drop local hosts, and find an
# address in "the steak.In the bar"; here a host without scheme and `www.` needs one of the common endings.
_EMAIL = re.compile(r"(?<![\w.+\-])[\w.!#$%&'*+/=?^`{|}~\-]{1,256}@(?:[\w\-]{1,63}\.){1,20}[^\W\d_][\w\-]{1,62}")
_ENDINGS = "com|org|net|edu|gov|info|biz|io|app|dev|uk|de|fr|nl|ch|eu|ca|au|jp"
_URL = re.compile(
    r"\b(?:[Hh][Tt][Tt][Pp][Ss]?://|[Ww]{3}\d?\.)[^\s<>\"']*[^\s<>\"'.,;:!?)\]]"
    rf"|(?<![\w@.\-])(?:[a-z0-9\-]{{1,63}}\.){{1,20}}(?:{_ENDINGS})(?![\w\-])(?:/[^\s<>\"']*[^\s<>\"'.,;:!?)\]])?"
)
_IP = re.compile(
    r"(?<![\w:.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\w)"
    r"|(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:\.\d{1,3}){0,3}(?![\w:])"
)
# Words that make the run of digits behind them no phone number, and how many characters before it they may begin.
_ORDER = re.compile(r"\b(?:order|booking|invoice|ticket|case|reference|ref|serial|tracking|article|item)\b", re.I)
_NEAR = 30


@dataclass(frozen=True)
class Redacted:
    """A text without personal data.

    Attributes:
        text: with placeholders
        found: placeholder -> what it stands for
    """

    text: str
    found: dict[str, str] = field(repr=False)

    def restore(self, text: str) -> str:
        """A text, such as an answer to the redacted one, with all that was found in its old place."""
        return PLACEHOLDER.sub(lambda match: self.found.get(match[0], match[0]), text)


@dataclass(frozen=True)
class Span:
    """Where a text holds personal data: from `start` up to `end`."""

    start: int
    end: int
    kind: str


class Redactor:
    """Replaces personal data of given kinds.

    Args:
        kinds: some of `KINDS`
        names_model: an installed spaCy pipeline, or a folder with one, that finds names; only with the kind `name`

    Raises:
        ConfigError: a kind is unknown, the kind `name` has no pipeline, or the pipeline is not there or finds no names.
        MissingExtraError: Presidio or spaCy is not installed.
    """

    def __init__(self, kinds: Sequence[str], names_model: str | None = None) -> None:
        for kind in kinds:
            if kind not in KINDS:
                raise ConfigError(f"annotate.redact: {unknown('kind', kind, KINDS)}")
        if ("name" in kinds) != (names_model is not None):
            raise ConfigError(
                "annotate.redact: the kind name and annotate.names_model, a spaCy pipeline that finds names, go "
                "together; set both or none"
            )
        require("presidio_analyzer", "spacy")
        self.kinds = tuple(kinds)
        finders = _make_finders() | ({"name": _make_name_finder(names_model)} if names_model is not None else {})
        self._finders = {kind: finders[kind] for kind in self.kinds}

    def redact(self, text: str) -> Redacted:
        """Replace personal data; what occurs twice in a text gets one placeholder.

        Placeholders that the text has already stay, and their numbers are not given again. So
        `redacted.restore(redacted.text)` is the text itself.
        """
        spans = [Span(start, end, kind) for kind, find in self._finders.items() for start, end in find(text)]
        taken = set(PLACEHOLDER.findall(text))
        placeholders: dict[tuple[str, str], str] = {}
        parts, end = [], 0
        for span in join_overlaps(spans):
            original = text[span.start : span.end]
            if (span.kind, original) not in placeholders:
                candidates = (f"<{span.kind.upper()}_{number}>" for number in count(1))
                placeholder = next(each for each in candidates if each not in taken)
                placeholders[span.kind, original] = placeholder
                taken.add(placeholder)
            parts += [text[end : span.start], placeholders[span.kind, original]]
            end = span.end
        found = {placeholder: original for (_, original), placeholder in placeholders.items()}
        return Redacted("".join([*parts, text[end:]]), found)


def join_overlaps(spans: Iterable[Span]) -> list[Span]:
    """Spans in order; those that overlap become one, of the kind of the longest."""
    joined: list[Span] = []
    longest = 0
    for span in sorted(spans, key=lambda each: (each.start, -each.end)):
        length = span.end - span.start
        if not joined or span.start >= joined[-1].end:
            joined.append(span)
            longest = length
            continue
        kind = span.kind if length > longest else joined[-1].kind
        longest = max(longest, length)
        joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end), kind)
    return joined


Finder = Callable[[str], Iterator[tuple[int, int]]]  # a text -> start and end of each find


def _make_finders() -> dict[str, Finder]:
    """A finder for each kind but names. Presidio's recognisers know phone numbers, cards and bank accounts."""
    from presidio_analyzer.predefined_recognizers import CreditCardRecognizer, IbanRecognizer, PhoneRecognizer

    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL)  # its messages quote what it found

    def by_recognizer(recognizer: Any) -> Finder:
        return lambda text: ((each.start, each.end) for each in recognizer.analyze(text, recognizer.supported_entities))

    phones = by_recognizer(PhoneRecognizer())
    return {
        "email": lambda text: (match.span() for match in _EMAIL.finditer(text)),
        "phone": lambda text: (span for span in phones(text) if not _is_order(text, *span)),
        "card": by_recognizer(CreditCardRecognizer()),
        "url": lambda text: (match.span() for match in _URL.finditer(text)),
        "iban": by_recognizer(IbanRecognizer()),
        "ip": lambda text: (match.span() for match in _IP.finditer(text) if is_address(match[0])),
    }


def _is_order(text: str, start: int, end: int) -> bool:
    """Whether the words before a plain run of digits say that it is the number of an order."""
    digits = text[start:end]
    return digits.isdigit() and digits[0] != "0" and bool(_ORDER.search(text, max(0, start - _NEAR), start))


def is_address(text: str) -> bool:
    """Whether a text is the address of a machine, of version 4 or 6; the empty address `::` is none."""
    try:
        return not ipaddress.ip_address(text).is_unspecified
    except ValueError:
        return False


def _make_name_finder(name: str) -> Finder:
    """A finder of names, by a spaCy pipeline."""
    import spacy

    try:
        pipeline = spacy.load(name)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"annotate.names_model: {name!r} is no spaCy pipeline ({str(error).splitlines()[0]}); install one, or name "
            "its folder"
        ) from None
    people = {"PERSON", "PER"}
    if not people & {label for labels in pipeline.pipe_labels.values() for label in labels}:
        raise ConfigError(
            f"annotate.names_model: the spaCy pipeline {name!r} finds no names: none of its labels is PERSON or PER; "
            "name another one"
        )
    return lambda text: ((each.start_char, each.end_char) for each in pipeline(text).ents if each.label_ in people)
