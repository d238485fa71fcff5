"""By what a command recognises its own earlier output, which it may replace."""

import re
from pathlib import Path

from sparsecbm.base.files import read_json
from sparsecbm.base.outputs import Recogniser, json_of

_SCHEMAS = Path(__file__).parents[1] / "schemas"
_CARDS = re.compile(rb'\s*<!doctype html>\s*<html lang="en">\s*<head>\s*(<meta [^>]*>\s*)*<title>Explanations?</title>')
_DRIFT = re.compile(rb'\s*<!doctype html>\s*<html lang="en">\s*<head>\s*(<meta [^>]*>\s*)*<title>Drift check: ')


def published(schema: str) -> Recogniser:
    """Recognise JSON, or lines of JSON, by the keys that a published schema requires: these, and no others."""
    return json_of(read_json(_SCHEMAS / f"{schema}.schema.json")["required"])


def cards(head: bytes) -> bool:
    """Recognise a page that `sparsecbm explain --html` wrote; the report holds such cards, too, and is none."""
    return _CARDS.match(head) is not None and b"x-card" in head


def drift_pages(head: bytes) -> bool:
    """Recognise a page that `sparsecbm drift --output` wrote."""
    return _DRIFT.match(head) is not None
