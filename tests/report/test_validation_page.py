"""The page about the data is self-contained, escapes texts, and describes accepted and refused data."""

import re
from html.parser import HTMLParser

import pandas as pd

from sparsecbm.base.concepts import Concept, ConceptSet
from sparsecbm.data.validation import Validated, validate
from sparsecbm.report.data_name import data_name
from sparsecbm.report.validation_page import MAX_PICTURES, SHOWN_ROWS, validation_page
from tests.support.small_tables import CONCEPTS, MANIFEST, good_splits, limits


def page(splits=None, **changes) -> str:
    return validation_page(validate(splits or good_splits(), CONCEPTS, limits(**changes)), MANIFEST)


def tags(html: str) -> list[tuple[str, dict]]:
    """Return every start tag with its attributes."""
    elements = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: elements.append((tag, dict(attributes)))
    parser.feed(html)
    return elements


def test_the_page_needs_no_other_file():
    html = page()
    for tag, attributes in tags(html):
        assert tag not in ("script", "link", "iframe")
        for key in ("src", "srcset", "href"):
            assert attributes.get(key, "data:").startswith("data:")
    assert not re.search(r"https?://|url\(|@import", html)


def test_each_variable_has_a_picture_in_both_themes_with_a_text():
    elements = tags(page())
    images = [attributes for tag, attributes in elements if tag == "img"]
    dark = [attributes for tag, attributes in elements if tag == "source"]
    assert len(images) == len(dark) == 4  # label, food, price, lengths
    assert all("dark" in attributes["media"] for attributes in dark)
    assert images[2]["alt"] == "price. " + "; ".join(
        f"{split}: low 50%, high 50%, missing 0%" for split in ("train", "validation", "test")
    )
    assert all(light["src"] != other["srcset"] for light, other in zip(images, dark, strict=True))


def test_a_concept_without_any_label_is_named_and_has_no_picture():
    result = validate(good_splits(), CONCEPTS, limits())
    for by_column in result.report["balance"].values():
        food = by_column["concept.food"]
        by_column["concept.food"] = {
            "states": dict.fromkeys(food["states"], 0),
            "missing": sum(food["states"].values()),
        }
    html = validation_page(result, MANIFEST)
    assert [attributes["alt"][:6] for tag, attributes in tags(html) if tag == "img"] == ["rating", "price.", "length"]
    assert "The table has no label of food." in html and "has no label of" not in page()


def test_the_title_is_the_file_of_a_table_or_the_name_of_the_source():
    assert data_name({"source": "table", "files": [{"name": "reviews.csv"}]}) == "reviews.csv"
    assert data_name({"source": "cebab", "files": [{"name": "dev.json"}, {"name": "train.json"}]}) == "cebab"


def test_markup_in_the_data_is_escaped():
    splits = good_splits()
    splits["train"].loc[1, ["text", "label"]] = ["<script>alert(1)</script>", "<b>"]
    html = page(splits)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html and "<script>" not in html and "<b>&#39;" not in html


def test_a_long_quarantine_is_cut_with_a_note():
    splits = good_splits()
    splits["test"] = splits["test"].loc[[0] * (SHOWN_ROWS + 6)].reset_index(drop=True)
    html = page(splits, quarantine_share=0.99)
    assert f"The first {SHOWN_ROWS} of {SHOWN_ROWS + 5} rows" in html
    assert html.count("repeated id: ") == SHOWN_ROWS


def test_a_refusal_is_at_the_top():
    splits = good_splits()
    splits["train"].loc[1, "text"] = " "
    assert "Accepted" in page(splits) and "Refused" not in page(splits)
    refused = page(splits, quarantine_share=0.01)
    assert "Accepted" not in refused and "more than validate.quarantine_share allows (1.0%)" in refused


def test_the_page_depends_on_the_data_only():
    assert page() == page()


def test_only_the_least_balanced_of_many_concepts_get_a_picture():
    """Concept c0 has its rarer state in 1 of 40 rows, c1 in 2, and so on; the table holds all of them."""
    names = [f"c{i}" for i in range(20)]
    vocabulary = ConceptSet(tuple(Concept(name, ("a", "b")) for name in names), Concept("rating", ("1", "2")))
    balance = {"label": {"states": {"1": 20, "2": 20}, "missing": 0}}
    balance |= {f"concept.c{i}": {"states": {"a": i + 1, "b": 39 - i}, "missing": 0} for i in range(20)}
    report = {"balance": {"train": balance}, "rows": {"train": {"in": 40, "out": 40, "quarantined": 0}},
              "words": {"train": {}}, "warnings": []}  # fmt: skip
    result = Validated({"train": pd.DataFrame({"text": []})}, pd.DataFrame(), report, None)
    html = validation_page(result, {**MANIFEST, "vocabulary": vocabulary.to_dict()})
    alts = [attributes["alt"].partition(".")[0] for tag, attributes in tags(html) if tag == "img"]
    assert alts == ["rating (label)", *(f"c{i}" for i in range(MAX_PICTURES - 1))]
    assert all(f"<td>concept.{name}</td>" in html for name in names)
