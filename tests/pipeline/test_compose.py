"""Profiles and settings over params.yaml."""

import shutil

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.params import load_params
from sparsecbm.pipeline.compose import compose
from tests.support.tiny_pipeline import ROOT, git, make_tiny_workspace


@pytest.fixture
def workspace(tmp_path):
    workspace = make_tiny_workspace(tmp_path / "ws")
    profiles = workspace.root / "profiles"
    profiles.mkdir()
    (profiles / "reviews.yaml").write_text("source:\n  name: cebab\n  path: data/cebab\nfinetune:\n  epochs: 7\n")
    (profiles / "short.yaml").write_text("model:\n  max_length: 32\nfinetune:\n  batch_size: 4\n")
    return workspace


def text(workspace):
    return workspace.params.read_text()


def test_no_profile_and_no_setting_change_nothing(workspace):
    before = text(workspace)
    assert compose(workspace) is False
    assert text(workspace) == before == (ROOT / "params.yaml").read_text()


def test_a_profile_replaces_a_source_of_another_kind_and_merges_the_rest(workspace):
    assert compose(workspace, ["reviews"]) is True
    params = load_params(workspace.params)
    assert (params.profile, params.source.name, params.source.path) == ("reviews", "cebab", "data/cebab")
    assert (params.finetune.epochs, params.finetune.batch_size) == (7, 16)
    assert "# written by `run --profile`" in text(workspace)
    assert "# largest gradient norm" in text(workspace)


@pytest.mark.parametrize("profile", sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml")))
def test_the_shipped_profiles_are_valid(workspace, profile):
    shutil.copy(ROOT / "profiles" / f"{profile}.yaml", workspace.root / "profiles")
    assert compose(workspace, [profile]) is True
    assert load_params(workspace.params).profile == profile


def test_a_source_of_the_same_kind_is_merged(workspace):
    (workspace.root / "profiles" / "elsewhere.yaml").write_text("source:\n  name: restaurants\n  path: other\n")
    (workspace.root / "profiles" / "path.yaml").write_text("source:\n  path: third\n")
    compose(workspace, ["elsewhere"])
    assert load_params(workspace.params).source.path == "other"
    compose(workspace, ["path"])
    assert load_params(workspace.params).source.model_dump() == {"name": "restaurants", "path": "third"}


def test_a_profile_replaces_the_previous_one(workspace):
    epochs = load_params(workspace.params).finetune.epochs
    compose(workspace, ["reviews"])
    assert load_params(workspace.params).finetune.epochs == 7 != epochs
    compose(workspace, ["short"])
    params = load_params(workspace.params)
    assert (params.profile, params.source.name, params.finetune.epochs) == ("short", "restaurants", epochs)
    assert (params.model.max_length, params.finetune.batch_size) == (32, 4)


def test_two_profiles_at_once_are_both_applied(workspace):
    compose(workspace, ["reviews", "short"])
    params = load_params(workspace.params)
    assert (params.profile, params.finetune.epochs, params.finetune.batch_size) == ("reviews+short", 7, 4)


def test_profile_none_restores_the_base(workspace):
    before = text(workspace)
    compose(workspace, ["reviews"], ["seed=5"])
    assert text(workspace) != before
    assert compose(workspace, ["none"]) is True
    assert text(workspace) == before


def test_settings_are_yaml_and_keep_the_profile(workspace):
    compose(workspace, ["reviews"])
    compose(workspace, [], ["finetune.learning_rate=1e-5", "source.path=null", "model.activation=hard"])
    params = load_params(workspace.params)
    assert params.profile == "reviews"
    assert params.finetune.learning_rate == 1e-5
    assert params.source.path is None
    assert params.model.activation == "hard"
    assert "learning_rate: 1.0e-05" in text(workspace)


@pytest.mark.parametrize(
    ("profiles", "settings", "message"),
    [
        (["review"], [], r"unknown profile 'review'. Did you mean 'reviews'\? Choices: reviews, short, none"),
        ([], ["finetune.epoch=2"], r"with --set finetune.epoch=2 is not valid:\n.*Did you mean 'epochs'"),
        ([], ["finetun.epochs=2"], r"unknown key 'finetun'. Did you mean 'finetune'"),
        ([], ["finetune.epochs=many"], r"finetune.epochs: must be a whole number, not 'many'"),
        ([], ["finetune.epochs"], r"--set takes KEY=VALUE"),
        ([], ["seed.value=1"], r"seed is a value, not a block"),
        ([], ["seed=[1"], r"the value of seed is not valid YAML"),
    ],
)
def test_an_error_names_the_fault_and_keeps_the_file(workspace, profiles, settings, message):
    before = text(workspace)
    with pytest.raises(ConfigError, match=message):
        compose(workspace, profiles, settings)
    assert text(workspace) == before


def test_without_a_base_in_git_the_error_says_what_to_do(workspace):
    compose(workspace, ["reviews"])
    git(workspace.root, "commit", "--quiet", "--all", "--message", "composed")
    before = text(workspace)
    with pytest.raises(ConfigError, match=r"in git holds profile 'reviews' as well; restore params.yaml"):
        compose(workspace, ["short"])
    git(workspace.root, "rm", "--quiet", "--cached", "params.yaml")
    git(workspace.root, "commit", "--quiet", "--message", "no params")
    with pytest.raises(ConfigError, match=r"git has no other version; restore params.yaml"):
        compose(workspace, ["none"])
    assert text(workspace) == before
