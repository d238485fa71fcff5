"""The graph of stages, and the stages that DVC reports as out of date."""

import sys
from pathlib import Path

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.workspace import Workspace
from sparsecbm.pipeline.graph import outputs, param_files, pending, stage_order, tool_environment
from tests.support.tiny_pipeline import set_run_seed

GRAPH = """
stages:
  late:
    cmd: c
    deps: [mid/inside/file.txt, other]
  other:
    cmd: c
    outs: [other]
  mid:
    cmd: c
    deps: [start]
    outs: [mid]
  start:
    cmd: c
    metrics:
    - start: {cache: false}
  after:
    cmd: c
    params:
    - seed
    - start/params.json: [train]
"""

CIRCLE = """
stages:
  a: {cmd: c, deps: [y], outs: [x]}
  b: {cmd: c, deps: [x], outs: [y]}
"""


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    return Workspace(tmp_path)


def test_each_stage_follows_its_inputs(workspace):
    assert stage_order(workspace) == ("other", "start", "mid", "late", "after")


def test_named_stages_include_their_inputs(workspace):
    assert stage_order(workspace, ["mid"]) == ("start", "mid")
    assert stage_order(workspace, ["after"]) == ("start", "after"), "parameters can be an output, too"
    assert stage_order(workspace, ["other", "start"]) == ("other", "start")
    with pytest.raises(ConfigError, match=r"unknown stage 'lat'. Did you mean 'late'"):
        stage_order(workspace, ["lat"])


def test_the_error_names_a_cycle(workspace):
    (workspace.root / "dvc.yaml").write_text(CIRCLE)
    with pytest.raises(ConfigError, match="cycle: a -> b -> a"):
        stage_order(workspace)


def test_outputs_include_outs_metrics_and_plots():
    assert outputs({"outs": ["a", {"b": {"cache": False}}], "metrics": [{"c": None}], "plots": ["d"]}) == tuple("abcd")


def test_parameters_are_grouped_by_their_file():
    definition = {"params": ["seed", {"a.json": ["x.y", "z"]}, "train", {"b.json": None}]}
    assert param_files(definition) == {"params.yaml": ["seed", "train"], "a.json": ["x.y", "z"], "b.json": []}
    assert param_files({}) == {}


def test_pending_stages_are_the_stages_out_of_date(finished_workspace):
    assert pending(finished_workspace) == {}
    set_run_seed(finished_workspace, 14)
    assert list(pending(finished_workspace)) == ["finetune"]
    set_run_seed(finished_workspace, 13)
    assert pending(finished_workspace) == {}
    (finished_workspace.root / "data/ingested/train.txt").write_text("other")
    assert {"ingest", "validate"} <= set(pending(finished_workspace))


def test_a_broken_graph_is_an_error(finished_workspace):
    (finished_workspace.root / "dvc.yaml").write_text("stages: [")
    with pytest.raises(ConfigError, match="dvc status failed: "):
        pending(finished_workspace)


def test_stages_run_with_this_python():
    assert tool_environment()["PATH"].startswith(str(Path(sys.executable).parent))
