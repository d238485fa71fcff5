"""CONTRIBUTING.md: its examples work as described, and the files that it names exist."""

import re
import textwrap
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from sparsecbm.annotate.concept_file import ConceptDefinition
from tests.support.project import ROOT, pyproject, requirements

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
# Files that the reader of a guide writes.
NEW_FILES = {
    "sparsecbm/annotate/keywords.py", "sparsecbm/data/sources/hotels.py", "tests/annotate/test_keywords.py",
}  # fmt: skip


def run_example(heading: str) -> dict:
    """Run the Python of one guide and return the names that it defines."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"^ *```python\n(.*?)^ *```$", section, re.DOTALL | re.MULTILINE)
    names: dict = {}
    exec(compile(textwrap.dedent(code), f"CONTRIBUTING.md, {heading}", "exec"), names)
    return names


def test_the_example_of_a_saliency_works():
    names = run_example("Add a saliency")
    gradients = torch.tensor([[1.0, -2.0], [2.0, -3.0]])
    scores = names["score_by_gradient_size"](torch.zeros(2), gradients, names["SaliencySettings"](), "layer")
    assert scores.tolist() == [3.0, 5.0]


def test_the_example_of_an_annotator_works():
    annotator = run_example("Add an annotator")["KeywordAnnotator"](
        {"food": {"Positive": "tasty", "Negative": "bland"}}
    )
    texts = pd.DataFrame({"key": ["a", "b", "c"], "text": ["A tasty soup.", "Bland rice", "We came again."]})
    food = ConceptDefinition("food", "", {"Positive": "It is praised.", "Negative": "It is criticised."})
    labels = annotator.annotate(texts, [food], pd.DataFrame())
    assert [None if pd.isna(state) else state for state in labels["state"]] == ["Positive", "Negative", None]
    assert labels["definition"].tolist() == [food.hash] * 3


def test_the_example_of_a_source_works(tmp_path):
    (tmp_path / "hotels.csv").write_text("review,stars,room,staff\nClean room.,3,Positive,\nRude staff.,1,,Negative\n")
    names = run_example("Add a source")
    table = names["load_hotels"](names["HotelsSource"](name="hotels", path="."), tmp_path)
    assert table.frame["text"].tolist() == ["Clean room.", "Rude staff."]
    assert table.frame["id"].tolist() == ["hotel-1", "hotel-2"]
    assert table.frame["source.staff"].tolist() == ["blank", "human"]
    assert table.manifest()["files"][0]["rows"] == 2


@pytest.mark.parametrize(("texts", "outcome", "effect"), [(3, "passed", ""), (2, "failed", "hold")])
def test_the_example_of_a_gate_works(texts, outcome, effect):
    names = run_example("Add a gate")
    gate = names["TextsGate"](kind="texts", name="enough texts", at_least=3)
    row = names["judge_texts"](gate, SimpleNamespace(frame=range(texts)))
    assert (row.outcome, row.effect, row.value) == (outcome, effect, texts)


def test_the_example_of_an_attribution_method_works():
    names = run_example("Add an attribution method")
    signed = names["TokenScores"](np.array([[[-2.0, 1.0]]]), np.array([[1]]))
    names["mid_path_gradients"] = lambda subject: signed
    scores = names["gradient_magnitude"](None)
    assert scores.tokens.tolist() == [[[2.0, 1.0]]]
    assert scores.steps.tolist() == [[1]]


def test_the_files_that_the_page_names_exist():
    paths = set(re.findall(r"`((?:sparsecbm|tests|docs|benchmarks|tools)/[\w./]+\.\w+)`", PAGE))
    assert paths >= NEW_FILES
    assert sorted(path for path in paths - NEW_FILES if not (ROOT / path).is_file()) == []


def test_the_page_names_the_extras_that_make_setup_leaves_out():
    (installed,) = re.findall(r"--editable '\.\[([\w,]+)\]'", (ROOT / "Makefile").read_text(encoding="utf-8"))
    present = requirements(*installed.split(","))
    missing = [name for name in pyproject()["project"]["optional-dependencies"] if requirements(name) - present]
    (named,) = re.findall(r"with every extra but (.+), at the versions", PAGE)
    assert sorted(named.split(" and ")) == sorted(missing)
