"""`sparsecbm pipeline deps`: dvc.yaml lists the source files that a stage imports."""

import subprocess
import sys

import pytest

from tests.support.tiny_pipeline import ROOT

GRAPH = """\
# the pipeline
stages:
  fit:
    cmd: python -m sparsecbm.stages fit
    deps:
    - data
    - sparsecbm/old.py
"""


@pytest.fixture
def project(tmp_path):
    """Return a project whose stage `fit` imports `tools`, which imports `other`."""
    stages = tmp_path / "sparsecbm" / "stages"
    stages.mkdir(parents=True)
    (stages / "__init__.py").write_text("")
    (stages / "fit.py").write_text("from sparsecbm import tools\n")
    (stages / "other.py").write_text("")
    (stages.parent / "__init__.py").write_text("")
    (stages.parent / "tools.py").write_text("def f():\n    import sparsecbm.other\n")
    (stages.parent / "other.py").write_text("")
    (stages.parent / "old.py").write_text("")
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    return tmp_path


def deps(project, *options):
    command = [sys.executable, "-P", "-m", "sparsecbm", "pipeline", "deps", *options]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True)
    return result.returncode, result.stdout.splitlines(), result.stderr


def test_check_prints_each_fault_and_deps_fixes_them(project):
    assert deps(project, "--check") == (
        1,
        [
            "stage 'fit' imports sparsecbm/other.py, which dvc.yaml does not list",
            "stage 'fit' imports sparsecbm/stages/__init__.py, which dvc.yaml does not list",
            "stage 'fit' imports sparsecbm/stages/fit.py, which dvc.yaml does not list",
            "stage 'fit' imports sparsecbm/tools.py, which dvc.yaml does not list",
            "stage 'fit' does not import sparsecbm/old.py, which dvc.yaml lists",
            "`sparsecbm pipeline deps` corrects this",
        ],
        "",
    )
    assert (project / "dvc.yaml").read_text() == GRAPH
    assert deps(project) == (0, ["dvc.yaml updated: fit"], "")
    assert (project / "dvc.yaml").read_text() == GRAPH.replace(
        "    - sparsecbm/old.py\n",
        "    - sparsecbm/other.py\n    - sparsecbm/stages/__init__.py\n    - sparsecbm/stages/fit.py\n"
        "    - sparsecbm/tools.py\n",
    )
    assert deps(project, "--check") == (0, ["dvc.yaml lists exactly the source files that the stages import"], "")
    assert deps(project) == (0, ["dvc.yaml is up to date"], "")


def test_the_dvc_yaml_of_this_project_is_correct():
    assert deps(ROOT, "--check")[:2] == (0, ["dvc.yaml lists exactly the source files that the stages import"])
