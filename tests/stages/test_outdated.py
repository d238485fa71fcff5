"""A changed drawing, template or card makes only the stage `report` out of date."""

import shutil

import pytest

from sparsecbm.base.params import load_params, read_yaml, write_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.deps import stage_dependencies, write_dependencies
from sparsecbm.pipeline.graph import outputs, pending, run_dvc
from tests.support.data_workspace import REPOSITORY

DRAWING = ("sparsecbm/plots", "sparsecbm/report", "sparsecbm/display")


def commit(workspace: Workspace) -> None:
    """Derive the sources of each stage, and record in dvc.lock that every stage is up to date."""
    write_dependencies(workspace.root)
    result = run_dvc(workspace.root, "commit", "--force")
    assert result.returncode == 0, result.stdout + result.stderr
    assert pending(workspace) == {}


def edit(workspace: Workspace, file: str, old: str, new: str) -> None:
    path = workspace.root / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="module")
def committed(tmp_path_factory) -> Workspace:
    """Return a project with the real sources and graph, and one-line files instead of real outputs."""
    root = tmp_path_factory.mktemp("outdated")
    shutil.copytree(REPOSITORY / "sparsecbm", root / "sparsecbm", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copy(REPOSITORY / name, root)
    shutil.copytree(REPOSITORY / "data" / "annotations", root / "data" / "annotations")
    for definition in read_yaml(root / "dvc.yaml")["stages"].values():
        for output in outputs(definition):
            path = root / output
            file = path if path.suffix else path / "manifest.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("{}\n", encoding="utf-8")
    write_params(Workspace(root).run_params, load_params(root / "params.yaml"))
    assert run_dvc(root, "init", "--no-scm", "--quiet").returncode == 0
    workspace = Workspace(root)
    commit(workspace)
    return workspace


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("sparsecbm/plots/style.py", "#0072b2", "#112233"),
        ("sparsecbm/report/index.html.jinja", "<h1>", '<h1 class="large">'),
        ("sparsecbm/report/validation.html.jinja", "Accepted.", "Fine."),
        ("sparsecbm/display/model_card.py", "# A concept bottleneck", "# One concept bottleneck"),
    ],
)
def test_a_changed_drawing_makes_only_the_report_out_of_date(committed, file, old, new):
    edit(committed, file, old, new)
    try:
        assert set(pending(committed)) == {"report"}
    finally:
        edit(committed, file, new, old)


def test_a_changed_plot_makes_a_compute_stage_that_imports_it_out_of_date(committed):
    """Control for the test above: the imports of a stage count, not a list kept by hand."""
    with open(committed.root / "sparsecbm/stages/evaluate.py", "a", encoding="utf-8") as source:
        source.write("\nimport sparsecbm.plots.style\n")
    commit(committed)
    edit(committed, "sparsecbm/plots/style.py", "#0072b2", "#112233")
    assert set(pending(committed)) == {"evaluate", "report"}


def test_only_the_report_depends_on_drawing_code():
    drawing = {
        stage.stage: [path for path in stage.derived if path.startswith(DRAWING)]
        for stage in stage_dependencies(REPOSITORY)
    }
    assert {path.split("/")[1] for path in drawing.pop("report")} == {folder.split("/")[1] for folder in DRAWING}
    assert set(drawing) == {"ingest", "validate", "annotate", "finetune", "prune", "explain", "intervene", "evaluate"}
    assert all(paths == [] for paths in drawing.values()), drawing


def test_the_graph_lists_the_imported_sources():
    for stage in stage_dependencies(REPOSITORY):
        assert (stage.missing, stage.unneeded) == ((), ()), stage.stage


def test_the_report_uses_outputs_of_other_stages_and_writes_all_plots():
    stages = read_yaml(REPOSITORY / "dvc.yaml")["stages"]
    report = stages.pop("report")
    data = {dep for dep in report["deps"] if not dep.startswith("sparsecbm")}
    written = {output for definition in stages.values() for output in outputs(definition)}
    assert data - written == {"data/annotated/manifest.json"}, "a file within an output"
    assert not any("plots" in definition for definition in stages.values())
    assert outputs(report) == (
        "reports/index.html",
        "reports/validation.html",
        "reports/model-card.md",
        "reports/data-card.md",
        "metrics/summary.json",
        "plots",
    )
