import re
from html.parser import HTMLParser

from sparsecbm.data.validation import validate
from sparsecbm.plots.validation import share_bars
from sparsecbm.report.validation_page import SHOWN_ROWS, validation_page
from tests.support.small_tables import CONCEPTS, MANIFEST, good_splits, limits


def page(splits=None, **changes) -> str:
    return validation_page(validate(splits or good_splits(), CONCEPTS, limits(**changes)), MANIFEST)


def tags(html: str) -> list[tuple[str, dict]]:
    """Every start tag with its attributes."""
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append((tag, dict(attributes)))
    parser.feed(html)
    return found


def test_the_page_needs_nothing_beside_it():
    html = page()
    for tag, attributes in tags(html):
        assert tag not in ("script", "link", "iframe")
        for key in ("src", "srcset", "href"):
            assert attributes.get(key, "data:").startswith("data:")
    assert not re.search(r"https?://|url\(|@import", html)


def test_there_is_a_picture_for_each_variable_in_both_themes_with_words():
    found = tags(page())
    images = [attributes for tag, attributes in found if tag == "img"]
    dark = [attributes for tag, attributes in found if tag == "source"]
    assert len(images) == len(dark) == 4  # label, food, price, lengths
    assert all("dark" in attributes["media"] for attributes in dark)
    assert images[2]["alt"] == "price. " + "; ".join(
        f"{split}: low 50%, high 50%, missing 0%" for split in ("train", "validation", "test")
    )
    assert all(light["src"] != other["srcset"] for light, other in zip(images, dark, strict=True))


def test_texts_from_the_data_cannot_become_markup():
    splits = good_splits()
    splits["train"].loc[1, ["text", "label"]] = ["<script>alert(1)</script>", "<b>"]
    html = page(splits)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html and "<script>" not in html and "<b>&#39;" not in html


def test_a_long_quarantine_is_cut_and_says_so():
    splits = good_splits()
    splits["test"] = splits["test"].loc[[0] * (SHOWN_ROWS + 6)].reset_index(drop=True)
    html = page(splits, quarantine_share=0.99)
    assert f"The first {SHOWN_ROWS} of {SHOWN_ROWS + 5} rows" in html
    assert html.count("repeated id: ") == SHOWN_ROWS


def test_a_refusal_is_said_first():
    splits = good_splits()
    splits["train"].loc[1, "text"] = " "
    assert "Accepted" in page(splits) and "Refused" not in page(splits)
    refused = page(splits, quarantine_share=0.01)
    assert "Accepted" not in refused and "more than validate.quarantine_share allows (1.0%)" in refused


def test_pictures_depend_on_the_data_alone():
    rows = {"train": {"a": 3, "b": 1, "missing": 0}}
    assert share_bars("t", rows) == share_bars("t", rows)
    assert share_bars("t", rows).light != share_bars("t", {"train": {"a": 1, "b": 3, "missing": 0}}).light
