"""Profiles and settings are laid over params.yaml for one run; the file itself stays as it was."""

import shutil
from pathlib import Path

import pytest

from sparsecbm.base.errors import ConfigError
from sparsecbm.base.files import read_json
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import RUN_PARAMS, Workspace
from sparsecbm.pipeline.compose import compose, run_environment
from tests.support.tiny_pipeline import ROOT, make_tiny_workspace


@pytest.fixture
def workspace(tmp_path):
    workspace = make_tiny_workspace(tmp_path / "ws")
    profiles = workspace.root / "profiles"
    profiles.mkdir()
    (profiles / "reviews.yaml").write_text("source:\n  name: cebab\n  path: data/cebab\nfinetune:\n  epochs: 7\n")
    (profiles / "short.yaml").write_text("model:\n  max_length: 32\nfinetune:\n  batch_size: 4\n")
    return workspace


def params_of(workspace, *profiles, **settings):
    return compose(workspace, profiles, [f"{key.replace('__', '.')}={value}" for key, value in settings.items()]).params


def test_without_profiles_and_settings_params_yaml_is_in_force(workspace):
    for composed in (compose(workspace), compose(workspace, ["none"])):
        assert composed.params == load_params(ROOT / "params.yaml")
        assert composed.changes == ()


def test_a_profile_replaces_a_source_of_another_kind_and_merges_the_rest(workspace):
    params = params_of(workspace, "reviews")
    assert (params.profile, params.source.name, params.source.path) == ("reviews", "cebab", "data/cebab")
    assert (params.finetune.epochs, params.finetune.batch_size) == (7, 16)


@pytest.mark.parametrize("profile", sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml")))
def test_the_shipped_profiles_are_valid(workspace, profile):
    shutil.copy(ROOT / "profiles" / f"{profile}.yaml", workspace.root / "profiles")
    assert params_of(workspace, profile).profile == profile


def test_a_source_of_the_same_kind_is_merged(workspace):
    (workspace.root / "profiles" / "elsewhere.yaml").write_text("source:\n  name: restaurants\n  path: other\n")
    (workspace.root / "profiles" / "path.yaml").write_text("source:\n  path: third\n")
    assert params_of(workspace, "elsewhere").source.path == "other"
    assert params_of(workspace, "elsewhere", "path").source.model_dump() == {"name": "restaurants", "path": "third"}


def test_two_profiles_and_a_setting_are_applied_in_their_order(workspace):
    params = params_of(workspace, "reviews", "short", finetune__epochs=2, source__path="null", model__activation="hard")
    assert (params.profile, params.finetune.epochs, params.finetune.batch_size) == ("reviews+short", 2, 4)
    assert (params.source.path, params.model.activation) == (None, "hard")


def test_what_a_person_wrote_is_kept_whatever_is_laid_over_it(workspace):
    """A hand-written source came back as `restaurants` after a second profile, and a setting stayed for good."""
    written = workspace.params.read_text().replace("path: data/restaurants", "path: data/mine   # my own folder")
    written = written.replace("epochs: 3", "epochs:    5")
    workspace.params.write_text(written)
    assert params_of(workspace, "reviews").source.path == "data/cebab"
    assert params_of(workspace, "short", seed=99).source.path == "data/mine"
    assert params_of(workspace, "short").seed == 13
    assert params_of(workspace, "none").finetune.epochs == 5
    assert workspace.params.read_text() == written


def test_the_changes_name_each_key_with_both_values(workspace):
    assert compose(workspace, ["reviews"], ["finetune.batch_size=16", "prune.layers=[a]", "seed=5"]).changes == (
        "seed: 13 -> 5",
        "source.name: 'restaurants' -> 'cebab'",
        "source.path: 'data/restaurants' -> 'data/cebab'",
        "finetune.epochs: 3 -> 7",
        "prune.layers: ['*'] -> ['a']",
    )


def test_a_profile_in_the_file_is_part_of_the_name(workspace):
    text = workspace.params.read_text()
    workspace.params.write_text(text.replace("profile: null", "profile: mine"))
    assert params_of(workspace).profile == "mine"
    assert params_of(workspace, "short").profile == "mine+short"


def test_states_keep_their_spelling(workspace):
    """YAML 1.1 makes True, False and 90 of them."""
    columns = "{text: t, label: l, concepts: {food: {column: f, states: [yes, no]}, wait: {column: w, states: %s}}}"
    (workspace.root / "profiles" / "table.yaml").write_text(
        "source:\n  name: table\n  path: t.csv\n  columns: " + columns % '["0:20", "1:30"]'
    )
    settings = ["source.columns.labels=[on, 'off', y, 1_000x, '010', '1e3', 'null', 'a, b']"]
    environment = run_environment(workspace, compose(workspace, ["table"], settings).params)
    written = read_json(Path(environment[RUN_PARAMS]))["source"]["columns"]
    assert written["concepts"]["food"]["states"] == ["yes", "no"]
    assert written["concepts"]["wait"]["states"] == ["0:20", "1:30"]
    assert written["labels"] == ["on", "off", "y", "1_000x", "010", "1e3", "null", "a, b"]


def test_concepts_keep_their_order(workspace):
    concepts = "{zebra: {column: z}, ant: {column: a}}"
    setting = f"source={{name: table, path: t, columns: {{text: t, label: l, concepts: {concepts}}}}}"
    environment = run_environment(workspace, compose(workspace, [], [setting]).params)
    written = read_json(Path(environment[RUN_PARAMS]))
    assert list(written["source"]["columns"]["concepts"]) == ["zebra", "ant"]


@pytest.mark.parametrize(
    ("profiles", "settings", "message"),
    [
        (["review"], [], r"unknown profile 'review'. Did you mean 'reviews'\? Choices: reviews, short, none"),
        (["../params"], [], r"unknown profile '../params'. .*Choices: reviews, short, none"),
        (["short", "none"], [], r"--profile none means params.yaml alone; leave it out, or leave out short"),
        (["short", "short"], [], r"a profile is named twice: short, short"),
        ([], ["finetune.epoch=2"], r"with --set finetune.epoch=2 is not valid:\n.*Did you mean 'epochs'"),
        ([], ["finetun.epochs=2"], r"unknown key 'finetun'. Did you mean 'finetune'"),
        ([], ["finetune.epochs=many"], r"finetune.epochs: must be a whole number, not 'many'"),
        ([], ["finetune.epochs"], r"--set takes KEY=VALUE"),
        ([], ["=1"], r"--set takes KEY=VALUE"),
        ([], ["finetune..epochs=1"], r"--set takes KEY=VALUE"),
        ([], ["seed.value=1"], r"seed is a value, not a block"),
        ([], ["seed=[1"], r"^--set seed: the value is not valid YAML: line 2: "),
        ([], ["seed=&a 1"], r"^--set seed: the value, line 1: anchors"),
        (
            [],
            ["model.backbone=010"],
            r'model.backbone: must be text, not the number 10; quote it as it is spelt, as in "10"',
        ),
        ([], ["seed=1", "seed=2"], r"^--set seed and --set seed set the same key; give it one value$"),
        ([], ["seed=1", "seed=1"], r"^--set seed and --set seed set the same key"),
        (
            [],
            ["finetune={epochs: 2}", "finetune.epochs=1"],
            r"--set finetune.epochs and --set finetune set the same key",
        ),
        ([], ["split.test=.1", "split={test: .2}"], r"--set split and --set split.test set the same key"),
    ],
)
def test_an_error_names_the_fault_and_changes_no_file(workspace, profiles, settings, message):
    before = {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=message):
        compose(workspace, profiles, settings)
    assert {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()} == before


def test_keys_with_a_common_beginning_can_both_be_set(workspace):
    """Control for the refusals above."""
    params = params_of(workspace, finetune__epochs=2, prune__epochs=4, prune__score_learning_rate=0.5)
    assert (params.finetune.epochs, params.prune.epochs, params.prune.score_learning_rate) == (2, 4, 0.5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"finetune:\n\tepochs: 2\n", r"profiles/bad\.yaml is not valid YAML: line 2: a tab"),
        (
            b"finetune: {epochs: 2}\nfinetune: {epochs: 3}\n",
            r"bad\.yaml is not valid YAML: line 2: found duplicate key",
        ),
        (b"x: &x 1\nseed: *x\n", r"bad\.yaml, line 1: anchors"),
        (b"seed: \xff\n", r"bad\.yaml is not UTF-8 text \(line 1\)"),
        (b"- seed\n", r"bad\.yaml must hold a mapping"),
        (b"profile: other\n", r"bad\.yaml: remove the key `profile`"),
        (b"a: " + b"[" * 5000, r"bad\.yaml, line 1: blocks are nested"),
    ],
)
def test_a_bad_profile_is_one_message(workspace, content, message):
    (workspace.root / "profiles" / "bad.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        compose(workspace, ["bad"])


def test_only_a_file_of_the_same_workspace_replaces_params_yaml(workspace, monkeypatch):
    environment = run_environment(workspace, params_of(workspace, seed=5))
    assert workspace.params == workspace.root / "params.yaml"
    monkeypatch.setenv(RUN_PARAMS, environment[RUN_PARAMS])
    assert load_params(workspace.params).seed == 5
    inner = Workspace(workspace.state / "scheduled")
    assert inner.params == inner.root / "params.yaml"
    assert run_environment(workspace, params_of(workspace, seed=5)) == environment
    assert run_environment(workspace, params_of(workspace, seed=6)) != environment


def test_a_profile_cannot_be_named_without_its_settings(workspace):
    with pytest.raises(ConfigError, match="--set profile would only name a profile; --profile NAME takes its settings"):
        compose(workspace, settings=["profile=sparse-50"])
