"""The stage `report`: plots, pages and the model card from the files of the workspace, with repeatable bytes."""

import json

import pytest

from sparsecbm.base.files import write_json, write_text
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import write_splits
from sparsecbm.explain.export import LINES
from sparsecbm.model.storage import save as save_model
from sparsecbm.report.name_order import merge_orders
from sparsecbm.stages import report
from tests.support import report_inputs
from tests.support.data_workspace import files_of
from tests.support.tiny_models import CONCEPTS, tiny_model
from tests.support.tiny_tables import annotated

PARAMS = load_params(Workspace.find().params)
PLOTS = {
    f"{stage}/{name}"
    for stage, names in {
        "finetune": ("curves",),
        "prune": ("curves", "exclusive", "probe", "swap"),
        "explain": ("calibration", "effects", "faithfulness", "heads", "heads-exclusive", "waterfall"),
        "intervene": ("memory", "patches", "people", "policies"),
        "evaluate": ("accuracy-test", "accuracy-validation", "confusion-test", "confusion-validation"),
    }.items()
    for name in names
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, backbone):
    """Return a workspace in which the stage has run after the others and has removed an old plot."""
    workspace = make_workspace(tmp_path_factory.mktemp("finished"), backbone)
    report_inputs.write_plots(workspace.plots, "prune/of-another-run")
    report.run(PARAMS, workspace)
    return workspace


@pytest.fixture
def workspace(tmp_path, backbone):
    """Return a workspace with the outputs of the other stages."""
    return make_workspace(tmp_path, backbone)


def make_workspace(root, backbone):
    workspace = Workspace(root)
    manifest = {"source": "tiny", "vocabulary": CONCEPTS.to_dict()}
    write_splits(workspace.annotated, {"train": annotated(4, 1)}, manifest)
    report_inputs.write_validation(workspace)
    for stage, figures in report_inputs.metrics().items():
        write_json(workspace.metrics(stage), figures)
    for name, table in report_inputs.intervention_tables().items():
        write_text(workspace.interventions / f"{name}.csv", table.to_csv(index=False))
    write_explanations(workspace, [explanation.to_json() for explanation in report_inputs.explanations()])
    save_model(tiny_model(backbone), workspace.sparse)
    return workspace


def write_explanations(workspace, lines):
    workspace.explanations.mkdir(parents=True, exist_ok=True)
    (workspace.explanations / LINES).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def page(workspace) -> str:
    report.run(PARAMS, workspace)
    return workspace.report.read_text(encoding="utf-8")


def drawn(workspace) -> set[str]:
    return {str(path.relative_to(workspace.plots).with_suffix("")) for path in workspace.plots.rglob("*.png")}


def test_the_page_shows_the_outputs_of_the_stages(finished):
    html = finished.report.read_text(encoding="utf-8")
    assert "<title>Report: tiny</title>" in html
    assert html.count('<details class="card"') == 4 and html.count("<img ") == len(PLOTS)
    assert "Verdict by gates: failed" in html and str(finished.root) not in html


def test_every_plot_is_drawn_and_old_plots_are_removed(finished):
    """There is no plot prune/density, since thresholds by layer give equal densities."""
    assert drawn(finished) == PLOTS


def test_the_validation_page_shows_accepted_data_in_the_order_of_the_source(finished):
    html = finished.validation_page.read_text(encoding="utf-8")
    assert "Accepted" in html and "empty: text is white space" in html
    # Sorted JSON has `high` before `low` and `test` before `train`.
    assert 'alt="price. train: low 60%, high 40%, missing 0%; validation: low 50%' in html


def test_the_model_card_describes_the_sparse_model(finished):
    card = finished.model_card.read_text(encoding="utf-8")
    assert "| noise | loud, quiet |" in card and "- label `rating`: 1, 2, 3" in card
    assert not (finished.sparse / "README.md").exists()


def test_a_second_run_writes_the_same_bytes(finished):
    before = files_of(finished.root)
    report.run(PARAMS, finished)
    assert files_of(finished.root) == before


def test_a_line_separator_in_a_text_does_not_end_a_line(workspace):
    row = report_inputs.explanation("good soup\u2028and\x85tea", *report_inputs.ROWS[0][1:])
    assert "\u2028" in row.to_json()
    for stage in report_inputs.metrics():
        workspace.metrics(stage).unlink()
    write_explanations(workspace, [row.to_json(), json.dumps(row.to_dict())])
    assert page(workspace).count('<details class="card"') == 2


def test_without_explanations_and_interventions_the_rest_is_shown(workspace):
    write_explanations(workspace, [])
    workspace.metrics("intervene").unlink()
    for table in workspace.interventions.iterdir():
        table.unlink()
    html = page(workspace)
    assert 'id="scores"' in html and 'id="cards"' not in html and 'id="interventions"' not in html
    assert drawn(workspace) == {name for name in PLOTS if not name.startswith("intervene/")} - {"explain/waterfall"}


def test_a_black_box_has_curves_and_scores_of_the_label(workspace):
    figures = report_inputs.metrics()
    scores = {**figures["evaluate"], "concepts": {}, "label_hard": None, "splits": {}}
    write_json(workspace.metrics("evaluate"), scores)
    write_json(workspace.metrics("prune"), {"chosen": None})
    for stage in ("explain", "intervene"):
        write_json(workspace.metrics(stage), {"note": "no concepts"})
    for table in workspace.interventions.iterdir():
        table.unlink()
    write_explanations(workspace, [])
    report.run(PARAMS, workspace)
    assert drawn(workspace) == {"finetune/curves", "evaluate/accuracy-test", "evaluate/confusion-test"}


@pytest.mark.parametrize(
    ("orders", "merged"),
    [
        ([("slow", "fast", "unknown"), ("confusing", "clear", "unknown")], {"unknown": 4}),
        ([("unknown", "slow"), ("clear", "unknown")], {"clear": 0, "unknown": 1, "slow": 2}),
        ([("a", "b"), ("b", "a")], {"a": 0, "b": 1}),  # they contradict each other
    ],
)
def test_the_orders_of_states_are_merged(orders, merged):
    names = merge_orders(orders)
    assert {name: names.index(name) for name in merged} == merged and len(names) == len(set(names))
