"""docs/configuration.md holds the tables of the typed sections."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from sparsecbm.base.params import document
from sparsecbm.base.params.document import END, START, fill_tables, tables
from sparsecbm.base.params.params import Params
from sparsecbm.base.params.section import Section
from tests.support.tiny_pipeline import ROOT


def test_the_page_holds_the_tables_of_the_code():
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert fill_tables(page) == page, "run `python -m sparsecbm.base.params.document`"


def test_tables_go_between_the_markers_and_the_rest_of_the_page_stays():
    page = fill_tables(f"# Head\n{START}\nstale tables\n{END}\n## Tail\n")
    assert page.startswith(f"# Head\n{START}\n\n### At the top\n") and page.endswith(f"\n{END}\n## Tail\n")
    assert "stale" not in page and fill_tables(page) == page


def test_every_key_has_a_description():
    sections = [field.annotation for field in Params.model_fields.values()]
    sections = [section for section in sections if isinstance(section, type) and issubclass(section, Section)]
    assert len(sections) == 14
    for section in sections:
        for name, field in section.model_fields.items():
            assert field.description, (section.__name__, name)
    assert "None" not in tables()


def test_a_row_by_hand():
    class Block(Section):
        share: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.25, description="how much")
        kind: Literal["a", "b"] = Field(description="which")
        sizes: list[Annotated[int, Field(gt=0)]] = Field(default=[1, 2], description="how many")
        note: str | None = Field(default=None, description="why")

    assert document._table(Block.model_fields).splitlines()[2:] == [
        "| `share` | `0.25` | number, at least 0, below 1 | how much |",
        "| `kind` | required | `a`, `b` | which |",
        "| `sizes` | `[1, 2]` | list of whole numbers, above 0 | how many |",
        "| `note` | `null` | text or `null` | why |",
    ]


@pytest.mark.parametrize("key", ["gates.concept_rise", "blank", "times", "train", "state"])
def test_keys_of_every_level_are_listed(key):
    assert (f"| `{key}` |" in tables()) == (key != "state")
