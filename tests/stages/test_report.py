"""The stage `report`: one page from what lies in the workspace, the same to the byte, whatever is missing."""

import json

import pytest

from sparsecbm.base.files import write_json
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import write_splits
from sparsecbm.explain.export import LINES
from sparsecbm.stages import report
from tests.support import report_inputs as made
from tests.support.tiny_models import CONCEPTS
from tests.support.tiny_tables import annotated

PARAMS = load_params(Workspace.find().params)


@pytest.fixture
def workspace(tmp_path):
    """A workspace as the stages leave it, with plots of two of them."""
    workspace = Workspace(tmp_path)
    manifest = {"source": "tiny", "vocabulary": CONCEPTS.to_dict()}
    write_splits(workspace.annotated, {"train": annotated(4, 1)}, manifest)
    for stage, figures in made.metrics().items():
        write_json(workspace.metrics(stage), figures)
    made.write_plots(workspace.plots, "prune/swap", "intervene/policies")
    write_explanations(workspace, [found.to_json() for found in made.explanations()])
    return workspace


def write_explanations(workspace, lines):
    workspace.explanations.mkdir(parents=True, exist_ok=True)
    (workspace.explanations / LINES).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def page(workspace) -> str:
    report.run(PARAMS, workspace)
    return workspace.report.read_text(encoding="utf-8")


def test_the_page_holds_what_the_stages_wrote(workspace):
    html = page(workspace)
    assert "<title>Report: tiny</title>" in html
    assert html.count('<details class="card"') == 4 and html.count("<img ") == 2
    assert "Verdict by gates: failed" in html and str(workspace.root) not in html
    assert page(workspace) == html


def test_a_line_separator_in_a_text_is_no_end_of_a_line(workspace):
    row = made.explanation("good soup\u2028and\x85tea", *made.ROWS[0][1:])
    assert "\u2028" in row.to_json()
    write_explanations(workspace, [row.to_json(), json.dumps(row.to_dict())])
    assert page(workspace).count('<details class="card"') == 2


def test_without_explanations_and_interventions_the_rest_stands(workspace):
    write_explanations(workspace, [])
    workspace.metrics("intervene").unlink()
    for picture in (workspace.plots / "intervene").iterdir():
        picture.unlink()
    html = page(workspace)
    assert 'id="scores"' in html and 'id="cards"' not in html and 'id="interventions"' not in html
