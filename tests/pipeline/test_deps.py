"""The source files that a stage depends on, from its imports."""

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.pipeline.deps import StageDependencies, stage_dependencies, write_dependencies

GRAPH = """\
stages:
  fit:
    cmd: python -m sparsecbm.stages fit
    deps:
    - data
    - sparsecbm/old.py
  foreign:
    cmd: python other.py
"""


@pytest.fixture
def root(tmp_path):
    """Return a project whose stage `fit` imports `tools`, and not `old`."""
    (tmp_path / "sparsecbm" / "stages").mkdir(parents=True)
    files = {"stages/__init__": "", "stages/fit": "import sparsecbm.tools\n", "__init__": "", "tools": "", "old": ""}
    for name, text in files.items():
        (tmp_path / "sparsecbm" / f"{name}.py").write_text(text)
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    return tmp_path


def test_listed_and_derived_files_are_compared(root):
    (stage,) = stage_dependencies(root)  # a stage that is not of this package is left out
    assert stage.stage == "fit" and stage.listed == ("sparsecbm/old.py",)
    assert {*stage.missing} == {*stage.derived} and "sparsecbm/tools.py" in stage.derived
    assert stage.unneeded == ("sparsecbm/old.py",)
    assert StageDependencies("fit", ("a", "b"), ("b", "c")).missing == ("c",)


def test_written_files_are_those_that_are_derived_and_data_stays(root):
    assert write_dependencies(root) == ["fit"]
    (stage,) = stage_dependencies(root)
    assert stage.missing == stage.unneeded == ()
    assert "    - data\n" in (root / "dvc.yaml").read_text()
    assert write_dependencies(root) == []


def test_a_workspace_without_sources_is_an_error(tmp_path):
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    with pytest.raises(ConfigError, match="holds no sources of sparsecbm"):
        stage_dependencies(tmp_path)
