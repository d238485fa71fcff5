"""An upgrade renews what nobody changed, and leaves and names the rest."""

import json

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.pipeline import installed_code
from sparsecbm.pipeline.installed_code import check_code, read_code, renew_code
from sparsecbm.scaffold import upgrade as module
from sparsecbm.scaffold.template_files import template_files
from sparsecbm.scaffold.upgrade import Upgraded, upgrade
from sparsecbm.stages import STAGES
from tests.support.tiny_pipeline import git


@pytest.fixture
def newer(monkeypatch):
    """Let the installed package be another one, whose template has other files."""

    def change(**files):
        fresh = {**template_files(), **{name: text.encode() for name, text in files.items()}}
        monkeypatch.setattr(module, "template_files", lambda: fresh)

    return change


def record(root, **changes):
    plain = json.loads((root / "code.json").read_text())
    (root / "code.json").write_text(json.dumps({**plain, **changes}))


def test_nothing_to_do(made):
    before = (made / "code.json").read_bytes()
    version = read_code(made).version
    assert upgrade(made) == Upgraded(version, version, (), (), ())
    assert (made / "code.json").read_bytes() == before
    assert git(made, "status", "--porcelain") == ""


def test_unchanged_files_are_renewed_and_changed_ones_are_kept_and_named(made, newer):
    mine = (made / "flows" / "retrain.py").read_text() + "# mine\n"
    (made / "flows" / "retrain.py").write_text(mine)
    (made / "flows" / "serve.py").unlink()
    (made / "README.md").write_text("mine")  # the template does not change it, so there is nothing to say
    (made / "params.yaml").write_text("mine")
    newer(**{
        "flows/retrain.py": "new", "flows/serve.py": "new", "flows/annotate.py": "new", "prefect.yaml": "new",
        "params.yaml": "new",
    })  # fmt: skip
    done = upgrade(made)
    assert (done.written, done.kept) == (("flows/annotate.py", "prefect.yaml"), ("flows/retrain.py", "flows/serve.py"))
    assert (made / "prefect.yaml").read_text() == (made / "flows" / "annotate.py").read_text() == "new"
    assert (made / "flows" / "retrain.py").read_text() == mine and not (made / "flows" / "serve.py").exists()
    assert (made / "README.md").read_text() == (made / "params.yaml").read_text() == "mine"
    assert upgrade(made).kept == done.kept, "it is said again until a person has looked"
    (made / "flows" / "retrain.py").write_text("new")
    assert upgrade(made).kept == ("flows/serve.py",)
    newer(**{"flows/retrain.py": "newer"})
    assert "flows/retrain.py" in upgrade(made).written


def test_a_file_of_a_person_where_the_template_has_a_new_one_is_kept(made, newer):
    (made / "flows" / "annotate.py").write_text("mine")
    newer(**{"flows/annotate.py": "new"})
    assert upgrade(made).kept == ("flows/annotate.py",)
    assert (made / "flows" / "annotate.py").read_text() == "mine"


def test_other_code_is_refused_until_it_is_renewed(made):
    stages = {**read_code(made).stages, "prune": "0" * 16}
    record(made, stages=stages)
    check_code(made, STAGES)  # the hash of the whole package is equal, so no stage is compared
    record(made, stages=stages, package="0" * 16, version="0.0.1")
    check_code(made, ["ingest", "finetune"])
    with pytest.raises(ConfigError, match=r"instead of 0\.0\.1\) is not the one in code\.json, for: prune; `spars"):
        check_code(made, STAGES)
    done = upgrade(made)
    assert (done.before, done.stages) == ("0.0.1", ("prune",))
    check_code(made, STAGES)
    record(made, stages=stages, package="0" * 16)
    assert renew_code(made) == ["prune"]
    check_code(made, STAGES)
    assert renew_code(made) == []


def test_the_hash_of_a_stage_is_that_of_the_files_that_it_imports(tmp_path, monkeypatch):
    package = tmp_path / "sparsecbm"
    (package / "stages").mkdir(parents=True)
    for name in ("__init__", "tools", "stages/__init__", "stages/other"):
        (package / f"{name}.py").write_text("")
    (package / "stages" / "fit.py").write_text("import sparsecbm.tools\n")
    monkeypatch.setattr(installed_code, "package_folder", lambda: package)

    def hashes():
        return installed_code._stage_hashes(["fit", "other"])

    first = hashes()
    (package / "tools.py").write_text("x = 1\n")
    second = hashes()
    assert first["fit"] != second["fit"] and first["other"] == second["other"]
    (package / "unused.py").write_text("")
    assert hashes() == second
    with pytest.raises(ConfigError, match="names the stage 'fitt', which sparsecbm"):
        installed_code._stage_hashes(["fitt"])


@pytest.mark.parametrize("text", ['{"version": "1"}', '{"version": 1, "package": "a", "stages": {}, "files": {}}'])
def test_a_damaged_record_is_an_error_with_its_remedy(made, text):
    (made / "code.json").write_text(text)
    with pytest.raises(ConfigError, match=r"restore it: git checkout code\.json"):
        check_code(made, STAGES)


def test_a_clone_of_the_project_is_not_upgraded_and_not_checked(tmp_path):
    check_code(tmp_path, STAGES)
    with pytest.raises(ConfigError, match=r"is no workspace of `sparsecbm init`"):
        upgrade(tmp_path)
