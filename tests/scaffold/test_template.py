"""The template is that of the project's own workspace, but that its stages depend on `code.json`."""

import shutil

import pytest
import yaml

from sparsecbm.scaffold.template_files import SHARED, template_faults, template_files, write_template
from tests.support.tiny_pipeline import ROOT


@pytest.fixture
def project(tmp_path):
    """Return a copy of what the template is made from."""
    for pattern in (*SHARED, "dvc.yaml", "sparsecbm/scaffold/template/**/*"):
        for path in ROOT.glob(pattern):
            if path.is_file():
                target = tmp_path / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
    return tmp_path


def test_the_template_of_this_project_is_correct():
    assert template_faults(ROOT) == [], "run `sparsecbm pipeline deps`"


def test_changed_new_and_removed_files_are_found_and_copied(project):
    (project / "prefect.yaml").write_text("other")
    (project / "flows" / "extra.py").write_text("extra")
    (project / "profiles" / "sparse-50.yaml").unlink()
    (project / "flows" / "__init__.py").unlink()
    expected = ["flows/__init__.py", "flows/extra.py", "prefect.yaml", "profiles/sparse-50.yaml"]
    assert template_faults(project) == expected
    assert write_template(project) == expected
    assert template_faults(project) == write_template(project) == []
    folder = project / "sparsecbm" / "scaffold" / "template"
    assert (folder / "flows" / "extra.py").read_text() == "extra" and not (folder / "profiles/sparse-50.yaml").exists()


def test_stages_have_the_same_commands_data_and_parameters_and_no_source_files():
    here = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    template = yaml.safe_load(template_files()["dvc.yaml"])["stages"]
    assert list(here) == list(template)
    for name, stage in here.items():
        code = {"code.json": [f"stages.{name}"]}
        data = [dep for dep in stage["deps"] if not dep.startswith("sparsecbm/")]
        expected = {**stage, "deps": data, "params": [*stage.get("params", []), code]}
        assert {"deps": [], **template[name]} == expected


def test_hidden_files_have_their_names_in_a_workspace():
    assert {".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore"} < set(template_files())
    assert template_files()[".dvc/config"] == (ROOT / ".dvc" / "config").read_bytes()
